# SPDX-License-Identifier: Apache-2.0
"""The registries of emulator/sites.py as users have them: what to call there,
what each is expected to answer; and one mount of all of them."""
import base64
import json
import os
import random
from dataclasses import dataclass
from pathlib import Path

import mounting
from emulator.world import World
from images import Layout, make_tar, skopeo_env
from tools import run

MIB = 1 << 20
ECR = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"


@dataclass
class Case:
    """What is expected of one site.  Names as `ls` shows them; where a step is
    refused, the name of the errno, and "" where it works."""
    title: str
    repo: str                       # of all steps
    user: str = "jo"                # "": there are no accounts
    word: str = "secret"
    scheme: str = "Bearer"          # how it is told: Bearer, Basic, ""
    lists: str = "all"              # all; namespace: what is in one; seen: nobody
                                    # tells, what was looked at is shown
    top: tuple = ()                 # names in the host's directory, if not all
    anonymous: str = ""             # reading without an account
    wrong: str = ""                 # reading with a wrong password
    missing: str = "ENOENT"         # a stranger's repository that is not there
    storage: str = "same"           # or elsewhere: other hosts have the blobs
    read_only: bool = False
    immutable: int = 0              # the status that protects a tag
    remove: tuple = ("", "", "")    # a tag of two, the manifest, a blob
    absent: str = ""                # writing where there is no such repository
    family: str = None              # its hosts for people, None: just this; "": any


def private(title, repo, **more):
    """Passwords go to the registry itself, and nobody reads without one."""
    return Case(title, repo, scheme="Basic", anonymous="EACCES", wrong="EACCES",
                **more)


def public(title, repo, **more):
    """Everybody reads, nobody writes."""
    return Case(title, repo, "", scheme="", read_only=True,
                remove=("EPERM", "EROFS", "EROFS"), **more)


NO_REMOVAL = ("EPERM", "EROFS", "EROFS")
CASES = {
    "docker.io": Case("Docker Hub", "jo/app", lists="namespace",
                      top=("jo", "library"), missing="EACCES", storage="elsewhere",
                      immutable=403, remove=NO_REMOVAL),
    "gcr.io": Case("Google", "proj/app", "oauth2accesstoken", "ya29.token",
                   lists="namespace", storage="elsewhere", remove=("", "EPERM", "")),
    "europe-docker.pkg.dev": Case(
        "Google Artifact Registry", "proj/repo/app", "_json_key",
        '{"type": "service_account"}', lists="namespace", remove=("", "EPERM", ""),
        family="*-docker.pkg.dev"),
    ECR: private("Amazon ECR", "team/app", user="AWS", storage="elsewhere",
                 immutable=400, remove=NO_REMOVAL, absent="ENOENT",
                 family="*.dkr.ecr.*.amazonaws.com"),
    "public.ecr.aws": Case("Amazon ECR Public", "a1b2c3d4/app", "AWS", lists="seen",
                           storage="elsewhere", remove=NO_REMOVAL, absent="ENOENT"),
    "team.azurecr.io": Case("Azure", "team/app", storage="elsewhere",
                            family="*.azurecr.io"),
    "registry.gitlab.com": Case("GitLab", "grp/proj", storage="elsewhere"),
    "ghcr.io": Case("GitHub", "jo/app", lists="namespace", top=("jo",),
                    storage="elsewhere", remove=NO_REMOVAL),
    "quay.io": Case("Quay", "jo/app", storage="elsewhere", immutable=409,
                    remove=("", "", "EROFS")),
    "harbor.example.com": Case("Harbor", "proj/app", immutable=412, absent="ENOENT",
                               family=""),
    "zot.example.com": private("zot", "team/app", family=""),
    "git.example.com": Case("Gitea, Forgejo", "jo/app", family=""),
    "nexus.example.com": private("Nexus", "team/app", family=""),
    "acme.jfrog.io": Case("Artifactory", "docker-local/app", family=""),
    "registry.example.com": private("distribution 2.8", "team/app",
                                    remove=("EPERM", "", ""), family=""),
    "registry3.example.com:5000": Case("distribution 3 on S3", "team/app",
                                       storage="elsewhere", family=""),
    "mirror.example.com": public("distribution as a cache", "library/app",
                                 family=""),
    "registry.k8s.io": public("Kubernetes", "ingress/app", lists="namespace",
                              storage="elsewhere"),
    "mcr.microsoft.com": public("Microsoft", "dotnet/app", storage="elsewhere"),
}
STRANGER = "stranger/in/here"       # somebody else's, in each of them


class Place:
    """One site: its emulator, its directory in the mount."""

    def __init__(self, net, name, emu, case):
        self.net, self.name, self.emu, self.case = net, name, emu, case
        self.repo = case.repo
        self.facts = {"host": name, "title": case.title, "user": case.user,
                      "family": name if case.family is None else case.family}

    def shows(self, **facts):
        """For the table: that, and no more, has been seen."""
        self.facts.update(facts)

    @property
    def top(self):
        return self.net.mount / self.name

    @property
    def tags(self):
        return self.top / self.repo / "_tags"

    def put(self, image, tag):
        """What somebody else pushed."""
        image.fill(self.emu, self.repo, tag)
        beside = self.net.manifests_of(self)
        if beside:
            image.fill(beside, f"k8s-artifacts-prod/images/{self.repo}", tag)

    def blob(self, size):
        """A blob of so many bytes, as nobody else has: its path and one
        mebibyte of it, of which all others are copies."""
        seed = sum(self.name.encode()) * 1000 + size // MIB
        digest = self.emu.call("blob_pattern", repo=self.repo, size=size, seed=seed)
        return (self.top / self.repo / "_blobs" / digest,
                random.Random(seed).randbytes(MIB))

    def skopeo(self, *words):
        """skopeo through the proxy."""
        env = {**skopeo_env(self.net.folder), **self.net.world.env}
        return run("skopeo", *words, env=env, text=False).stdout

    def account(self, option="--creds"):
        case = self.case
        return [option, f"{case.user}:{case.word}"] if case.user else []

    def raw(self, ref):
        """The manifest's bytes as skopeo gets them."""
        return self.skopeo("inspect", "--raw", *self.account(),
                           f"docker://{self.name}/{self.repo}:{ref}")

    def lines(self, *words, of=None):
        """What .registryfs/errors says of this host, with these words."""
        text = (of or self.net.mount).status("errors")
        return [line for line in text.splitlines()
                if self.name in line and all(w in line for w in words)]


class Net:
    """All sites, each started when it is asked for, and three mounts of all
    hosts: with the accounts, without, and with wrong passwords."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.world = World(self.folder / "world")
        self.places = {}
        self.mounts = {}
        self.images = 0

    def place(self, name):
        if name not in self.places:
            self.world.add(name)
            place = Place(self, name, self.world.sites[name], CASES[name])
            place.emu.call("raw_names", repos=[place.repo, STRANGER])
            self.places[name] = place
        return self.places[name]

    def manifests_of(self, place):
        if place.name != "registry.k8s.io":
            return None
        return self.world.sites["us-west1-docker.pkg.dev"]

    @property
    def mount(self):
        return self._mount("accounts")

    @property
    def nobody(self):
        return self._mount("nobody")

    @property
    def wrong(self):
        return self._mount("wrong")

    def _mount(self, kind):
        m = self.mounts.get(kind)
        if m is None or m.process.poll() is not None:
            self.mounts[kind] = m = mounting.Mount(
                self.folder / f"{kind}{len(self.mounts)}", timeout=15,
                allow_delete=True, authfile=self._accounts(kind),
                **self.world.options)
        return m

    def _accounts(self, kind):
        """The file that docker login and others would have left."""
        auths = {}
        for name, case in CASES.items():
            word = case.word if kind == "accounts" else "wrong"
            key = "https://index.docker.io/v1/" if name == "docker.io" else name
            if case.user and kind != "nobody":
                text = base64.b64encode(f"{case.user}:{word}".encode()).decode()
                auths[key] = {"auth": text}
        path = self.folder / f"{kind}.json"
        path.write_text(json.dumps({"auths": auths}))
        path.chmod(0o600)
        return path

    def image(self, size=300_000):
        """An image that no other is like: a layout on disk."""
        self.images += 1
        seed = random.Random(self.images)
        layout = Layout(self.folder / f"image{self.images}")
        etc = [("etc", None, 0o755),
               ("etc/number", f"{self.images}\n".encode(), 0o644)]
        more = [("noise", seed.randbytes(size), 0o644)]
        top = layout.add_image([make_tar(etc), make_tar(more)])
        return layout.finish(top, "1")

    def check(self):
        """After each test: nobody died, and nobody was asked who is not here."""
        for kind, m in self.mounts.items():
            alive = m.process.poll()
            assert alive is None, f"{kind}: exit {alive}:\n{m.log()[-4000:]}"
        self.world.check()

    def stop(self):
        problems = []
        for m in self.mounts.values():
            try:
                m.finish()
            except (AssertionError, OSError) as e:
                problems.append(str(e))
            finally:
                m.destroy()
        self.world.stop()
        assert not problems, "\n".join(problems)


def names(path):
    """What a directory lists, but for what every one has."""
    return tuple(sorted(n for n in os.listdir(path) if n[0] not in "._"))
