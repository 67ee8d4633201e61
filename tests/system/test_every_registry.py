# SPDX-License-Identifier: Apache-2.0
"""Every registry that people have, under its real name, through one scenario:
list, read, a range, copy in and out, retag, remove, be refused, tokens that end
in the middle, too many requests.  What was seen makes the README's table."""
import json
import os
import sys
import threading
import time
from pathlib import Path

import mounting
import pytest
from everysite import CASES, ECR, MIB, STRANGER, Net, names
from tools import errno_of, need, read_at, run, sha256, sha256sum, timed

TABLE = Path(__file__).resolve().parents[1] / "registry-table.py"


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    need("skopeo", "openssl")
    mounting.check_fuse()
    mounting.program()
    made = Net(tmp_path_factory.mktemp("net"))
    yield made
    made.stop()


@pytest.fixture(scope="module", params=CASES)
def place(request, net):
    return net.place(request.param)


@pytest.fixture(autouse=True)
def clean(net):
    yield
    for p in net.places.values():
        p.emu.clear_faults()
    net.check()


def writes(place):
    return not place.case.read_only


def moved(entries):
    """Requests that carried bytes of blobs to the registry."""
    return [e for e in entries if e["method"] in ("PATCH", "PUT", "POST")
            and "upload" in e["target"] and e["received"]]


def forget(m):
    """What of an image was accepted before the rest was refused."""
    folder = m / ".registryfs/pending"
    for name in os.listdir(folder):
        os.remove(folder / name)


def check_there(place, ref, image, folder):
    """skopeo, with its own eyes: the manifest, and every blob of it."""
    place.skopeo("copy", "--insecure-policy", "--quiet", "--preserve-digests",
                 *place.account("--src-creds"),
                 f"docker://{place.name}/{place.repo}:{ref}", f"dir:{folder}")
    assert sha256sum(folder / "manifest.json") == image.digest
    held = {sha256sum(f) for f in folder.iterdir() if len(f.name) == 64}
    assert held == set(image.blobs()) - {image.digest}


# -- reading -----------------------------------------------------------------------

def test_list(place, net):
    """Repositories where somebody tells, and the tags that skopeo sees."""
    place.put(net.image(), "1.0")
    case, (parent, _, last) = place.case, place.repo.rpartition("/")
    if case.lists == "all":
        first = {parent.partition("/")[0], STRANGER.partition("/")[0]}
        assert first <= set(names(place.top))
        assert "here" in names(place.top / os.path.dirname(STRANGER))
    else:
        assert names(place.top) == case.top
    if case.lists == "seen":
        assert errno_of(os.listdir, place.top / parent) == "ENOENT"
    else:
        assert names(place.top / parent) == (last,)
    told = json.loads(place.skopeo("list-tags", *place.account(),
                                   f"docker://{place.name}/{place.repo}"))["Tags"]
    shown = os.listdir(place.tags)
    assert "1.0" in shown
    assert sorted(shown) == sorted(t for t in told if t and ":" not in t)
    assert names(place.top / parent) == (last,)
    assert "_tags" in os.listdir(place.top / place.repo)
    place.shows(lists=case.lists)


def test_read(place, net):
    image, before, mark = net.image(), place.lines(), place.emu.mark()
    place.put(image, "read")
    got = place.tags / "read"
    assert sha256sum(got / "manifest.json") == image.digest
    config = image.document()["config"]["digest"]
    assert sha256sum(got / "config.json") == config
    assert (got / "rootfs/etc/number").read_text() == f"{net.images}\n"
    assert place.lines() == before
    used = {e["headers"].get("authorization", "").partition(" ")[0]
            for e in place.emu.log(where="registry", path="/v2/", since=mark)
            if "token" not in e["target"] and "auth?" not in e["target"]}
    assert used - {""} == {place.case.scheme} - {""}
    assert sha256(place.raw("read")) == image.digest
    place.shows(read=True, scheme=place.case.scheme)


def test_range(place):
    """A few bytes from the middle of a blob cost about as many."""
    path, block = place.blob(32 * MIB)
    mark = place.emu.mark()
    assert read_at(path, 20 * MIB + 1000, 5000) == block[1000:6000]
    asked = [e for e in place.emu.log(since=mark) if e["method"] == "GET"
             and path.name in e["target"] and e["status"] in (200, 206)]
    assert asked and all(e["status"] == 206 for e in asked)
    assert sum(e["sent"] for e in asked) <= 3 * MIB
    assert all("," not in e["headers"]["range"] for e in asked)
    abroad = [e for e in asked if e["where"] == "storage"]
    assert bool(abroad) == (place.case.storage == "elsewhere")
    assert all("authorization" not in e["headers"] for e in abroad)
    place.shows(range=True, storage=place.case.storage)


def test_copy_out(place, net, tmp_path):
    image = net.image()
    place.put(image, "out")
    run("cp", "-r", place.tags / "out", tmp_path / "out")
    held = {sha256sum(f): "sha256:" + f.name
            for f in (tmp_path / "out/blobs/sha256").iterdir()}
    assert set(held) == set(image.blobs())
    assert all(digest == name for digest, name in held.items())
    place.shows(copied_out=True)


# -- writing -----------------------------------------------------------------------

def came_in(place, tag, done, image, folder):
    """An image was copied there, or nothing was taken and nothing is left of it."""
    if writes(place):
        assert done.returncode == 0, done.stderr
        check_there(place, tag, image, folder)
        assert tag in os.listdir(place.tags)
        return "yes"
    assert "Read-only file system" in done.stderr
    assert place.lines("EROFS", "405")
    forget(place.net.mount)
    return "no"


def test_copy_in_from_disk(place, net, tmp_path):
    image = net.image()
    done = run("cp", "-r", image.folder, place.tags / "disk", check=False)
    place.shows(push=came_in(place, "disk", done, image, tmp_path / "there"))


def test_copy_in_from_another(place, net, tmp_path):
    """Between two registries, both behind redirects."""
    other = net.place("docker.io" if place.name == "quay.io" else "quay.io")
    image, name = net.image(), f"for-{place.name.replace(':', '-')}"
    other.put(image, name)
    done = run("cp", "-r", other.tags / name, place.tags / "copy", check=False)
    place.shows(relay=came_in(place, "copy", done, image, tmp_path / "there"))


def test_retag(place, net):
    image = net.image()
    place.put(image, "old")
    os.stat(place.tags / "old")
    mark = place.emu.mark()
    failed = errno_of(os.symlink, "old", place.tags / "new")
    assert moved(place.emu.log(since=mark)) == []
    if writes(place):
        assert failed is None
        assert sha256(place.raw("new")) == image.digest
    else:
        assert failed == "EROFS"
    place.shows(retag="no" if failed else "yes")


def test_immutable(place, net):
    """Where tags can be protected; elsewhere they are moved."""
    old, new = net.image(), net.image()
    place.put(old, "fixed")
    place.emu.set(immutable=place.case.immutable)
    try:
        done = run("cp", "-r", f"{new.folder}/.", place.tags / "fixed", check=False)
    finally:
        place.emu.set(immutable=0)
    if not writes(place):
        assert "Read-only file system" in done.stderr
        forget(net.mount)
    elif place.case.immutable:
        assert "Operation not permitted" in done.stderr
        assert place.lines("EPERM", "mmutable") or place.lines("EPERM", "overwritten")
        assert sha256(place.raw("fixed")) == old.digest
    else:
        assert done.returncode == 0, done.stderr
        assert sha256(place.raw("fixed")) == new.digest
    place.shows(immutable="EPERM" if place.case.immutable else "")


def test_no_repository(place, net):
    """A push makes the repository, or the registry says what is missing."""
    parent = os.path.dirname(place.repo)
    where = place.top / ("absent/new" if place.case.title == "Harbor"
                         else f"{parent}/new")
    done = run("cp", "-r", net.image().folder, where / "_tags/1", check=False)
    if not writes(place):
        assert "Read-only file system" in done.stderr
    elif place.case.absent:
        assert "No such file" in done.stderr
        assert place.lines(place.case.absent, "new")
    else:
        assert done.returncode == 0, done.stderr
        assert os.listdir(where / "_tags") == ["1"]
    if done.returncode:
        forget(net.mount)
    place.shows(absent=place.case.absent)


def test_remove(place, net):
    """One of two tags, the manifest, a blob; then the manifest without tags."""
    image, case = net.image(), place.case
    place.put(image, "one")
    place.put(image, "two")
    layer = image.document()["layers"][0]["digest"]
    for tag in "one", "two":
        os.stat(place.tags / tag)
    top = place.top / place.repo
    got = (errno_of(os.rmdir, place.tags / "one") or "",
           errno_of(os.rmdir, top / "_manifests" / image.digest) or "",
           errno_of(os.unlink, top / "_blobs" / layer) or "")
    assert got == case.remove
    later = "no"
    if got[1] == "EPERM":
        os.rmdir(place.tags / "two")
        os.rmdir(top / "_manifests" / image.digest)
        later = "yes"
    for name, errno in zip(("one", image.digest[7:19], layer[7:19]), got):
        assert not errno or place.lines(errno, name)
    place.shows(remove=got, remove_untagged=later)


# -- refusals ----------------------------------------------------------------------

def test_missing(place):
    """A tag, and a repository."""
    assert errno_of(os.stat, place.tags / "absent") == "ENOENT"
    assert errno_of(os.stat, place.top / "library/absent/_tags/1") == \
        place.case.missing
    assert bool(place.lines("library/absent")) == (place.case.missing != "ENOENT")
    place.shows(missing=place.case.missing)


def test_no_account(place, net):
    place.put(net.image(), "public")
    failed = errno_of(os.stat, net.nobody / place.name / place.repo / "_tags/public")
    assert (failed or "") == place.case.anonymous
    assert bool(place.lines("EACCES", of=net.nobody)) == bool(failed)
    place.shows(anonymous=not failed)


def test_wrong_password(place, net):
    """Whatever anybody may read can be read; nothing is written."""
    place.put(net.image(), "mine")
    target = net.wrong / place.name / place.repo / "_tags"
    assert (errno_of(os.stat, target / "mine") or "") == place.case.wrong
    done = run("cp", "-r", net.image().folder, target / "x", check=False)
    if place.case.user:
        assert "Permission denied" in done.stderr
        assert place.lines("EACCES", of=net.wrong)
    else:
        assert "Read-only file system" in done.stderr
    forget(net.wrong)
    place.shows(wrong_password=place.case.wrong)


# -- what ends in the middle -------------------------------------------------------

def test_ends_while_reading(place, net):
    """Tokens and signed addresses."""
    path, block = place.blob(24 * MIB)
    assert read_at(path, 0, 100) == block[:100]
    place.emu.call("expire", what=["tokens", "urls"])
    mark = place.emu.mark()
    assert read_at(path, 16 * MIB, 100) == block[:100]
    tokens = [e for e in place.emu.log(since=mark) if "scope=" in e["target"]]
    assert bool(tokens) == (place.case.scheme == "Bearer")
    place.shows(resumed_read=True)


def test_ends_while_writing(place, net, tmp_path):
    image = net.image(2 * MIB)
    place.emu.fault(method="PATCH|PUT", path="upload", nth=2, expire=["tokens"])
    done = run("cp", "-r", image.folder, place.tags / "long", check=False)
    if writes(place):
        assert place.emu.hits() == [1]
    came_in(place, "long", done, image, tmp_path / "there")
    place.shows(resumed_write=True)


# -- too many requests -------------------------------------------------------------

def test_too_many(place, net):
    """429 without a word of when: asked again."""
    image = net.image()
    place.put(image, "busy")
    place.emu.fault(method="GET|HEAD", path="/manifests/busy", status=429, count=2)
    assert sha256sum(place.tags / "busy/manifest.json") == image.digest
    assert place.emu.hits() == [2]
    place.shows(throttled=True)


def test_too_many_for_a_second(net):
    """Everybody says when; all at once, as each of them is waited for alone."""
    places, took = [net.place(name) for name in CASES], {}
    images = [net.image(1000) for _ in places]

    def read(place, image):
        took[place.name] = timed(sha256sum, place.tags / "later/manifest.json")[0] \
            if errno_of(os.stat, place.tags / "later") is None else None

    for place, image in zip(places, images):
        place.put(image, "later")
        os.stat(place.tags)
        place.emu.fault(method="GET|HEAD", path="/manifests/later", status=429,
                        headers={"Retry-After": "1"})
    start = time.monotonic()
    threads = [threading.Thread(target=read, args=pair)
               for pair in zip(places, images)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert 1 <= time.monotonic() - start < 12
    assert None not in took.values() and len(took) == len(places)
    for place in places:
        place.emu.clear_faults()


# -- what only some have -----------------------------------------------------------

def hub(world, mount, images, **options):
    emu = world.add("docker.io")
    images.single.fill(emu, "library/alpine", "3.20")
    return emu, mount(**world.options, **options)


def test_hub_pull_limit(world, mount, images):
    """It is told, not knocked at; what HEAD tells is enough for what is here."""
    emu, m = hub(world, mount, images, tag_ttl=0)
    tags = m / "docker.io/library/alpine/_tags"
    assert sha256sum(tags / "3.20/manifest.json") == images.single.digest
    emu.set(rate_limit=1)
    images.multi.fill(emu, "library/alpine", "new")
    mark = emu.mark()
    assert sha256sum(tags / "3.20/manifest.json") == images.single.digest
    seconds, failed = timed(errno_of, os.stat, tags / "new")
    assert failed == "ETIMEDOUT" and seconds < 5
    assert len([e for e in emu.log(path="/manifests/new", since=mark)
                if e["status"] == 429]) == 1
    assert "pull rate limit" in m.status("errors")
    assert sha256sum(tags / "3.20/manifest.json") == images.single.digest
    assert not emu.log(path="/manifests/3.20", method="GET", since=mark)
    assert "0 of 1 " in m.status("hosts/docker.io")


def test_hub_abuse_limit(world, mount, images):
    """429 in plain text is of another kind: it passes."""
    emu, m = hub(world, mount, images)
    emu.fault(path="/manifests/3.20", status=429, body="Too Many Requests\n",
              headers={"Content-Type": "text/plain"}, count=2)
    path = m / "docker.io/library/alpine:3.20/manifest.json"
    assert sha256sum(path) == images.single.digest
    assert emu.hits() == [2]


def test_hub_others_namespace(net):
    """Nobody pushes into it."""
    place = net.place("docker.io")
    target = place.top / "library/alpine/_tags/mine"
    done = run("cp", "-r", net.image().folder, target, check=False)
    assert "Permission denied" in done.stderr
    assert place.lines("EACCES", "library/alpine")
    forget(net.mount)


def test_gitlab_depth(net):
    """GitLab does not say what is wrong with such a name; we do."""
    place = net.place("registry.gitlab.com")
    target = place.top / "grp/proj/a/b/c/_tags/1"
    done = run("cp", "-r", net.image(1000).folder, target, check=False)
    assert "Permission denied" in done.stderr
    assert place.lines("EACCES", "grp/proj/a/b/c", "two levels beneath a project")
    forget(net.mount)


@pytest.mark.parametrize("host", ["us.gcr.io", "eu.gcr.io", "asia.gcr.io"])
def test_google_hosts(net, host):
    """With projects of a domain; their token server is gcr.io."""
    place, image = net.place("gcr.io"), net.image(1000)
    image.fill(place.emu, "example.com/proj/app", host)
    path = net.mount / host / "example.com/proj/app/_tags" / host / "config.json"
    assert sha256sum(path) == image.document()["config"]["digest"]
    assert "app" in names(net.mount / host / "example.com/proj")


def test_kubernetes_token_abroad(net):
    """Where it sends us wants a token of its own, which is anybody's."""
    place, image = net.place("registry.k8s.io"), net.image(1000)
    place.put(image, "abroad")
    beside = net.manifests_of(place)
    beside.set(auth="bearer")
    mark, here = beside.mark(), place.emu.mark()
    try:
        assert sha256sum(place.tags / "abroad/manifest.json") == image.digest
    finally:
        beside.set(auth="none")
    asked = [e for e in beside.log(since=mark) if "/v2/token" in e["target"]]
    assert len(asked) == 1 and "authorization" not in asked[0]["headers"]
    assert all("authorization" not in e["headers"]
               for e in place.emu.log(since=here))


def test_catalogued_and_gone(net):
    """Microsoft lists names that are not there."""
    place = net.place("mcr.microsoft.com")
    place.emu.fault(path="/v2/stranger/in/here/", status=404, count=0, body=json.dumps(
        {"errors": [{"code": "NAME_UNKNOWN", "message": "not found"}]}))
    assert "here" in names(place.top / "stranger/in")
    assert errno_of(os.listdir, place.top / STRANGER / "_tags") == "ENOENT"


def test_password_has_ended(net):
    """Amazon's password of yesterday: EACCES, and its words."""
    place = net.place(ECR)
    place.put(net.image(1000), "ended")
    place.emu.set(users={"AWS": "today's"})
    try:
        assert errno_of(os.stat, place.tags / "ended") == "EACCES"
    finally:
        place.emu.set(users={"AWS": place.case.word})
    assert place.lines("EACCES", "ended")


@pytest.mark.parametrize("name", [ECR, "public.ecr.aws"])
def test_amazon_keys(net, mount, name):
    """Nothing but AWS keys: they log in, and in a private registry a push makes
    its repository."""
    place, image = net.place(name), net.image()
    repo = os.path.dirname(place.repo) + "/made"
    place.emu.set(aws_keys={"AKIDEXAMPLE": ["s3cret", ""]})
    env = {**net.world.env, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
           "AWS_SECRET_ACCESS_KEY": "s3cret"}
    m = mount(**{**net.world.options, "env": env})
    done = run("cp", "-r", image.folder, m / name / repo / "_tags/1", check=False)
    if name != ECR:
        assert "No such file" in done.stderr
        place.emu.call("raw_names", repos=[repo])
        forget(m)
        done = run("cp", "-r", image.folder, m / name / repo / "_tags/2", check=False)
    assert done.returncode == 0, done.stderr
    raw = place.skopeo("inspect", "--raw", *place.account(),
                       f"docker://{name}/{repo}:{1 if name == ECR else 2}")
    assert sha256(raw) == image.digest
    if name == ECR:
        place.shows(created="AWS keys")


# -- the table ---------------------------------------------------------------------

def test_readme_table(net, request, tmp_path):
    """README claims what was shown just now, of each of them."""
    facts = [net.places[n].facts for n in CASES if n in net.places]
    path = Path(os.environ.get("RFS_RESULTS") or tmp_path / "registries.json")
    path.write_text(json.dumps(facts, indent=1))
    if any(option in " ".join(request.config.invocation_params.args)
           for option in ("::", "-k", "--lf", "--deselect")):
        pytest.skip("only a part of the scenario was run")
    assert len(facts) == len(CASES)
    done = run(sys.executable, TABLE, "--check", path, check=False)
    assert done.returncode == 0, done.stderr
