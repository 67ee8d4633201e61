# SPDX-License-Identifier: Apache-2.0
"""Mirrors, blocked and rewritten registries: hosts.toml and registries.conf."""
import base64
import json
import os
import re
from pathlib import Path

import pytest

from registry import DockerRegistry, make_certificate
from tools import errno_of, need, read_file, run, sha256, timed, wait_until

MIB = 1 << 20


class World:
    """An origin and its mirrors, a home that tells of them, a mount."""

    def __init__(self, mount, tmp_path, images):
        self.mount_, self.images = mount, images
        self.home = tmp_path / "home"
        self.home.mkdir()

    def toml(self, host, text):
        path = self.home / ".config/containerd/certs.d" / host / "hosts.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def conf(self, text):
        path = self.home / ".config/containers/registries.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def mount(self, source, **options):
        return self.mount_(source, home=self.home, **options)


@pytest.fixture
def world(mount, tmp_path, images):
    return World(mount, tmp_path, images)


def mirrored(world, origin, *mirrors, capabilities='["pull"]', more=""):
    """Writes a hosts.toml for origin."""
    world.toml(origin.address, "".join(
        f'[host."http://{m.address}"]\n  capabilities = {capabilities}\n{more}'
        for m in mirrors))


@pytest.fixture
def pair(emulator, images, world):
    """(origin, mirror) with the same image a:1.4, in hosts.toml."""
    origin, mirror = emulator(), emulator()
    for emu in origin, mirror:
        images.single.fill(emu, "a")
        images.large.fill(emu, "big")
    mirrored(world, origin, mirror)
    return origin, mirror


def layers(image):
    return [layer["digest"] for layer in image.document()["layers"]]


def kept(server):
    """The blobs a docker-registry has on its disk."""
    return list((server.root / "docker/registry/v2/blobs").rglob("data"))


def blob_gets(emu):
    return emu.log(method="GET", path="/blobs/")


def read_layers(m, image, repo="a"):
    for digest in layers(image):
        assert sha256(read_file(m / repo / "_blobs" / digest)) == digest


def test_mirror_is_used(pair, world, images):
    """Digests from the mirror, tags from the origin, ?ns= with all."""
    origin, mirror = pair
    m = world.mount(origin)
    assert read_file(m / "a/_tags/1.4/manifest.json") == images.single.data(
        images.single.digest)
    read_layers(m, images.single)
    assert blob_gets(mirror) and not blob_gets(origin)
    assert origin.log(path="/manifests/1.4")
    assert not mirror.log(path="/manifests/1.4")
    for entry in mirror.log():
        assert f"ns={origin.address.replace(':', '%3A')}" in entry["target"] or \
            f"ns={origin.address}" in entry["target"]
    assert not [e for e in origin.log() if "ns=" in e["target"]]
    text = (m / ".registryfs/hosts" / origin.address).read_text()
    assert f"mirror       {mirror.address}" in text


def test_ranges_by_the_mirror(pair, world, images):
    origin, mirror = pair
    m = world.mount(origin)
    digest = layers(images.large)[0]
    truth = images.large.data(digest)
    with open(m / "big/_blobs" / digest, "rb", buffering=0) as f:
        f.seek(5 * MIB)
        assert f.read(1000) == truth[5 * MIB:5 * MIB + 1000]
    assert sha256(read_file(m / "big/_blobs" / digest)) == digest
    assert not blob_gets(origin)


def test_mirror_resolves_tags(pair, world, images):
    origin, mirror = pair
    mirrored(world, origin, mirror, capabilities='["pull", "resolve"]')
    m = world.mount(origin)
    origin.call("listen", on=False)
    assert os.path.isdir(m / "a/_tags/1.4")
    read_layers(m, images.single)
    assert mirror.log(path="/manifests/1.4")


def test_only_the_origin_lists(pair, world):
    origin, mirror = pair
    m = world.mount(origin)
    assert os.listdir(m / "a/_tags") == ["1.4"]
    assert origin.log(path="/tags/list")
    assert not mirror.log(path="/tags/list") and not mirror.log(path="_catalog")


def test_only_the_origin_is_written_to(pair, world, tmp_path):
    origin, mirror = pair
    m = world.mount(origin)
    run("cp", "-r", m / "a/_tags/1.4", m / "a/_tags/new", timeout=30)
    wait_until(lambda: origin.log(method="PUT", path="/manifests/new"), 10, "the push")
    assert not [e for e in mirror.log() if e["method"] not in ("GET", "HEAD")]


def test_dead_mirror(pair, world, images):
    origin, mirror = pair
    mirror.stop()
    m = world.mount(origin)
    seconds, _ = timed(read_layers, m, images.single)
    assert seconds < 3
    assert len(blob_gets(origin)) >= 1
    assert "passed over" in m.log()


def test_silent_mirror(pair, world, images):
    """It may not use up the reader's patience, and is asked once."""
    origin, mirror = pair
    mirror.fault(path="/a/", delay=30, count=0)
    m = world.mount(origin, timeout=4)
    read_layers(m, images.single)
    assert blob_gets(origin)
    assert len(mirror.log(path="/a/")) <= 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_failing_mirror(pair, world, images, status):
    origin, mirror = pair
    mirror.fault(path="/a/", status=status, count=0)
    m = world.mount(origin)
    seconds, _ = timed(read_layers, m, images.single)
    assert seconds < 3
    assert blob_gets(origin)
    assert (m / ".registryfs/errors").read_text() == ""
    assert "passed over" in m.log()


@pytest.mark.parametrize("fault", [{"status": 404}, {"status": 404, "html": True},
                                   {"status": 403}, {"status": 401}])
def test_mirror_has_it_not(pair, world, images, fault):
    """The origin is asked, and the mirror is asked again for the next."""
    origin, mirror = pair
    mirror.fault(path="/a/", count=0, **fault)
    m = world.mount(origin)
    read_layers(m, images.single)
    assert blob_gets(origin)
    assert (m / ".registryfs/errors").read_text() == ""
    assert "passed over" not in m.log()
    read_layers(m, images.large, "big")
    assert not [e for e in blob_gets(origin) if "/big/" in e["target"]]


def test_nowhere_is_not_found(pair, world):
    origin, mirror = pair
    m = world.mount(origin)
    absent = "sha256:" + "0" * 64
    assert errno_of(os.stat, m / "a/_manifests" / absent) == "ENOENT"
    assert mirror.log(path=absent) and origin.log(path=absent)


def test_mirror_cut_in_the_middle(pair, world, images):
    origin, mirror = pair
    mirror.fault(path="/blobs/", method="GET", cut={"at": 300_000, "how": "rst"},
                 count=0)
    m = world.mount(origin)
    read_layers(m, images.large, "big")
    assert blob_gets(origin)


def test_mirrors_in_order(emulator, world, images):
    origin, first, second = emulator(), emulator(), emulator()
    for emu in origin, second:
        images.single.fill(emu, "a")
    mirrored(world, origin, first, second)
    m = world.mount(origin)
    read_layers(m, images.single)
    assert first.log() and blob_gets(second) and not blob_gets(origin)


def auth_file(path, **words):
    path.write_text(json.dumps({"auths": {
        a: {"auth": base64.b64encode(w.encode()).decode()} for a, w in words.items()}}))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("profile", ["basic", "bearer"])
def test_credentials_stay_at_the_origin(emulator, world, images, tmp_path, profile):
    """A mirror that asks for one gets none, unless it has one of its own."""
    origin, greedy, own = emulator(profile), emulator(profile), emulator("basic")
    for emu in origin, greedy, own:
        images.single.fill(emu, "a")
    own.set(users={"jim": "his-word"})
    origin.set(users={"canary": "tell-nobody"})
    mirrored(world, origin, greedy, own)
    auth = auth_file(tmp_path / "auth.json", **{
        origin.address: "canary:tell-nobody", own.address: "jim:his-word"})
    m = world.mount(origin, authfile=auth)
    assert os.path.isdir(m / "a/_tags/1.4")
    read_layers(m, images.single)
    assert not blob_gets(origin) and blob_gets(own)
    secret = base64.b64encode(b"canary:tell-nobody").decode()
    for emu in greedy, own:
        text = json.dumps(emu.log())
        assert secret not in text and "tell-nobody" not in text \
            and "canary" not in text
    assert not [e for e in greedy.log(where="registry")
                if e["headers"].get("authorization", "").startswith("Basic")]


def test_headers_and_path(emulator, world, images):
    """override_path and header, as for a proxy cache of another registry."""
    origin, mirror = emulator(), emulator()
    images.single.fill(origin, "a")
    images.single.fill(mirror, "hub/a")
    world.toml(origin.address, f"""
[host."http://{mirror.address}/v2/hub"]
  capabilities = ["pull"]
  override_path = true
  unheard-of = 1
  [host."http://{mirror.address}/v2/hub".header]
    x-who = "me"
""")
    m = world.mount(origin)
    read_layers(m, images.single)
    assert blob_gets(mirror) and not blob_gets(origin)
    assert all(e["headers"]["x-who"] == "me" for e in mirror.log())
    assert not [e for e in origin.log() if "x-who" in e["headers"]]
    assert "hosts.toml:5: unheard-of is unknown here" in m.log()


def test_tls_of_a_mirror(emulator, world, images, tmp_path):
    """Its own CA, beside the file; without it the mirror is not trusted."""
    tls = make_certificate(tmp_path)
    origin, mirror = emulator(), emulator(tls=tls)
    for emu in origin, mirror:
        images.single.fill(emu, "a")
    other, _ = make_certificate(tmp_path, stem="other")
    for ca, used in ((tls[0], True), (other, False)):
        world.toml(origin.address, f"""
[host."https://{mirror.address}"]
  capabilities = ["pull"]
  ca = "{ca}"
""")
        m = world.mount(origin)
        read_layers(m, images.single)
        assert bool(blob_gets(origin)) is not used
        m.unmount()


def test_blocked(emulator, world, images):
    emu = emulator()
    images.single.fill(emu, "a")
    images.single.fill(emu, "no/x")
    world.conf(f'[[registry]]\nprefix = "{emu.address}/no"\nblocked = true\n')
    m = world.mount(emu)
    assert errno_of(os.stat, m / "no/x/_tags/1.4") == "EPERM"
    assert os.path.isdir(m / "a/_tags/1.4")
    assert "registries.conf:1" in (m / ".registryfs/errors").read_text()
    assert not emu.log(path="/no/")


def test_blocked_host(emulator, world, images):
    emu = emulator()
    world.conf(f'[[registry]]\nlocation = "{emu.address}"\nblocked = true\n')
    m = world.mount(None)
    assert errno_of(os.listdir, m / emu.address) == "EPERM"
    assert not emu.log()


@pytest.mark.parametrize("text,mode", [('[[registry]\nprefix = "x.test"\n', 0o644),
                                       ("", 0o666)])
def test_nobody_knows_what_is_blocked(emulator, world, text, mode):
    """A file that cannot be used, or not be read as a whole."""
    emu = emulator()
    path = world.conf(text)
    path.chmod(mode)
    m = world.mount(None)
    assert errno_of(os.stat, m / emu.address / "a/_tags/1") == "EPERM"
    assert not emu.log()
    assert f"{path}" in (m / ".registryfs/errors").read_text()
    assert "all are blocked" in m.log()


def test_rewritten(emulator, world, images):
    """prefix and location; and a host that there is not at all."""
    emu = emulator()
    images.single.fill(emu, "inner/bar/a")
    world.conf('[[registry]]\nprefix = "example.invalid/foo"\n'
               f'location = "{emu.address}/inner/bar"\n')
    m = world.mount("example.invalid")
    assert os.path.isdir(m / "foo/a/_tags/1.4")
    read_layers(m, images.single, "foo/a")
    assert not [e for e in emu.log() if "ns=" in e["target"]]
    assert errno_of(os.stat, m / "foo/b/_tags/1.4") == "ENOENT"
    emu.stop()
    assert errno_of(os.stat, m / "foo/c/_tags/1.4") == "ECONNREFUSED"
    told = (m / ".registryfs/errors").read_text()
    assert "example.invalid/foo/c/_tags/1.4" in told
    assert f"asked of {emu.address}" in told and "inner" not in told


def test_registries_conf_mirrors(emulator, world, images):
    """digest-only and tag-only ones, in order; broken lines are told."""
    origin, digests, tags = emulator(), emulator(), emulator()
    for emu in origin, digests, tags:
        images.single.fill(emu, "a")
    world.conf(f"""
[[registry]]
location = "{origin.address}"
what is this
[[registry.mirror]]
location = "{tags.address}"
pull-from-mirror = "tag-only"
[[registry.mirror]]
location = "{digests.address}"
pull-from-mirror = "digest-only"
""")
    m = world.mount(origin)
    assert os.path.isdir(m / "a/_tags/1.4")
    read_layers(m, images.single)
    assert blob_gets(digests) and not digests.log(path="/manifests/1.4")
    assert tags.log(path="/manifests/1.4") and not blob_gets(tags)
    assert not blob_gets(origin)
    assert "registries.conf:4: what begins here" in m.log()


def test_insecure(emulator, world, images, tmp_path):
    """insecure = false verifies; true does not."""
    tls = make_certificate(tmp_path, names=("elsewhere.test",))
    emu = emulator(tls=tls)
    images.single.fill(emu, "a")
    path = world.home / ".config/containers/certs.d" / emu.address
    path.mkdir(parents=True)
    (path / "ca.crt").write_bytes(tls[0].read_bytes())
    m = world.mount(emu)            # a name that is not in the certificate
    assert errno_of(os.stat, m / "a/_tags/1.4") is not None
    m.unmount()
    world.conf(f'[[registry]]\nlocation = "{emu.address}"\ninsecure = true\n')
    m = world.mount(emu)
    assert os.path.isdir(m / "a/_tags/1.4")


@pytest.fixture
def pull_through(memory, tmp_path):
    """pull_through(address) -> a docker-registry in proxy mode."""
    need("docker-registry")
    servers = []

    class Proxy(DockerRegistry):
        upstream = None

        def _more(self, users):
            return f"proxy: {{remoteurl: 'http://{self.upstream}'}}\n"

    def go(address):
        Proxy.upstream = address
        servers.append(Proxy(tmp_path / f"proxy{len(servers)}"))
        return servers[-1]

    yield go
    for server in servers:
        server.stop()


def test_pull_through_registry(registry, world, images, pull_through, mount, tmp_path):
    """Two machines behind one: the second one's download is its copy."""
    mirror = pull_through(registry.address)
    mirrored(world, registry, mirror, capabilities='["pull", "resolve"]')
    for _ in range(2):
        m = world.mount(registry)
        assert read_file(m / "team/app/_tags/1.4/manifest.json") == \
            images.single.data(images.single.digest)
        read_layers(m, images.single, "team/app")
        m.unmount()
    kept = [p for p in (mirror.root / "docker/registry/v2/blobs").rglob("data")]
    assert len(kept) >= len(layers(images.single))


def test_pull_through_outlives_the_origin(emulator, world, images, pull_through):
    origin = emulator()
    images.single.fill(origin, "a")
    mirror = pull_through(origin.address)
    mirrored(world, origin, mirror)
    m = world.mount(origin)
    assert os.path.isdir(m / "a/_tags/1.4")
    read_layers(m, images.single)
    m.unmount()
    wait_until(lambda: len(kept(mirror)) >= len(layers(images.single)), 20,
               "the mirror's copies")
    origin.call("clear_log")
    m = world.mount(origin)
    read_layers(m, images.single)
    assert not blob_gets(origin)


# --- where a registry really is: server ---

NAME = "name.example.com"


def served(world, server, mirrors=(), more=""):
    world.toml(NAME, f'server = "http://{server.address}"\n{more}' + "".join(
        f'[host."http://{m.address}"]\n' for m in mirrors))


def test_server_is_the_registry(emulator, world, images):
    """Reading, listing, writing and removing go there; mirrors are only read."""
    server, mirror = emulator("distribution", "delete=true"), emulator()
    for emu in server, mirror:
        images.single.fill(emu, "team/a")
    served(world, server, [mirror])
    m = world.mount(None, allow_delete=True)
    top = m / NAME
    assert os.listdir(top) == ["team"] and os.listdir(top / "team") == ["a"]
    assert os.listdir(top / "team/a/_tags") == ["1.4"]
    read_layers(top, images.single, "team/a")
    assert blob_gets(mirror) and not blob_gets(server)
    run("cp", "-r", top / "team/a/_tags/1.4", top / "team/b:new", timeout=30)
    assert server.log(method="PUT", path="/v2/team/b/manifests/new")
    os.rmdir(top / "team/b/_manifests" / images.single.digest)
    assert server.log(method="DELETE")
    assert not [e for e in mirror.log() if e["method"] not in ("GET", "HEAD")]
    assert not mirror.log(path="/tags/list") and not mirror.log(path="_catalog")
    text = (m / ".registryfs/hosts" / NAME).read_text()
    assert f"is at        {server.address}" in text


def test_server_with_a_path(emulator, world, images):
    """As behind a reverse proxy; pages and upload locations are its own."""
    server = emulator("distribution", "tags_max=2", "tags_paged=true")
    for tag in "abcde":
        images.single.fill(server, "hub/a", tag)
    world.toml(NAME, f'server = "http://{server.address}/v2/hub"\n'
                     "override_path = true\n")
    m = world.mount(NAME)
    assert sorted(os.listdir(m / "a/_tags")) == list("abcde")
    run("cp", "-r", m / "a/_tags/a", m / "a/_tags/z", timeout=30)
    assert server.log(method="PUT", path="/v2/hub/a/manifests/z")


def test_server_that_is_not_written_to(emulator, world, images):
    server = emulator()
    images.single.fill(server, "a")
    served(world, server, more='capabilities = ["pull", "resolve"]\n')
    m = world.mount(NAME)
    read_layers(m, images.single)
    done = run("cp", "-r", m / "a/_tags/1.4", m / "a/_tags/new", check=False,
               timeout=30)
    assert done.returncode != 0
    assert not [e for e in server.log() if e["method"] not in ("GET", "HEAD")]
    assert "hosts.toml:1 says that it is not written to" in m.status("errors")


def test_refusals_of_a_server(emulator, world, images):
    """Are told of the name in the tree, and where it was asked."""
    server = emulator()
    server.fault(path="/manifests/", status=403, count=0)
    served(world, server)
    m = world.mount(NAME)
    assert errno_of(os.stat, m / "a/_tags/1.4") == "EACCES"
    text = m.status("errors")
    assert f"{NAME}/a/_tags/1.4" in text and f"(asked of {server.address})" in text


# --- what was written here is seen here ---

@pytest.fixture
def stale(emulator, world, images):
    """(origin, mirror): the mirror resolves tags and never looks again."""
    origin, mirror = emulator("distribution", "delete=true", "delete_tag=202"), emulator()
    for emu in origin, mirror:
        images.single.fill(emu, "a")
        images.multi.fill(emu, "a", "other")
    mirrored(world, origin, mirror, capabilities='["pull", "resolve"]')
    return origin, mirror


def digest_of(path):
    return os.getxattr(path, "user.oci.digest").decode()


def test_own_tag_is_seen(stale, world, images):
    m = world.mount(stale[0], tag_ttl=0)
    assert digest_of(m / "a:1.4") == images.single.digest
    run("cp", "-rT", m / "a/_tags/other", m / "a/_tags/1.4", timeout=30)
    assert digest_of(m / "a:1.4") == images.multi.digest
    run("ln", "-s", "1.4", m / "a/_tags/fresh")
    assert digest_of(m / "a/_tags/fresh") == images.multi.digest
    assert digest_of(m / "a:other") == images.multi.digest     # by the mirror
    assert stale[1].log(path="/manifests/other")


def test_own_removal_is_seen(stale, world, images):
    m = world.mount(stale[0], tag_ttl=0, allow_delete=True)
    os.rmdir(m / "a/_tags/1.4")
    assert errno_of(os.stat, m / "a/_tags/1.4") == "ENOENT"
    os.rmdir(m / "a/_manifests" / images.multi.digest)
    assert errno_of(os.stat, m / "a/_manifests" / images.multi.digest) == "ENOENT"


def test_a_stale_mirror_makes_no_conflict(stale, world, images, tmp_path):
    """What a tag means before it is written is asked of the registry itself."""
    origin, mirror = stale
    m = world.mount(origin, tag_ttl=0)
    images.multi.fill(origin, "a", "1.4")           # the mirror has not noticed
    assert digest_of(m / "a:1.4") == images.single.digest
    run("cp", "-r", images.large.folder, m / "a:big", timeout=30)
    run("cp", "-rT", m / "a:big", m / "a/_tags/1.4", timeout=30)
    assert digest_of(m / "a:1.4") == images.large.digest
    assert not os.listdir(m / ".registryfs/pending")


def test_own_tag_behind_a_pull_through(docker_registry, world, images, pull_through):
    """A real one that keeps what it was asked for."""
    origin = docker_registry()
    images.single.push(origin.address, "a", "1")
    images.multi.push(origin.address, "a", "2")
    mirror = pull_through(origin.address)
    mirrored(world, origin, mirror, capabilities='["pull", "resolve"]')
    m = world.mount(origin, tag_ttl=0)
    assert digest_of(m / "a:1") == images.single.digest
    run("cp", "-rT", m / "a/_tags/2", m / "a/_tags/1", timeout=30)
    assert digest_of(m / "a:1") == images.multi.digest
    assert sorted(os.listdir(m / "a/_tags")) == ["1", "2"]


# --- the examples, with docker-registry in proxy mode where theirs would be ---

EXAMPLES = Path(__file__).resolve().parents[2] / "contrib/mirrors"


def example_hosts():
    """The [host] of the example, each with its comment."""
    text = (EXAMPLES / "hosts.toml").read_text()
    return re.findall(r'# ([^\n]*)\n(\[host\.[^#]*)', text)


@pytest.mark.parametrize("comment,section", example_hosts(),
                         ids=lambda x: re.sub(r"\W.*", "", x.strip("[# ")) or None)
def test_example_hosts_toml(registry, emulator, world, images, pull_through, comment,
                            section):
    """Each one alone, at the address of a real pull-through registry (or, where it
    has a path, of an emulator that has the names beneath it)."""
    path = re.search(r'host\."https?://[^/"]+(/[^"]*)?"', section)[1]
    if path:
        mirror = emulator()
        images.single.fill(mirror, path.removeprefix("/v2/") + "/team/app")
    else:
        mirror = pull_through(registry.address)
    section = re.sub(r'https?://[^/"]+', f"http://{mirror.address}", section)
    section = re.sub(r"  ca = .*\n", "", section)
    world.toml(registry.address, section)
    m = world.mount(registry)
    assert read_file(m / "team/app/_tags/1.4/manifest.json") == \
        images.single.data(images.single.digest)
    read_layers(m, images.single, "team/app")
    page = (m / ".registryfs/hosts" / registry.address).read_text()
    assert f"mirror       {mirror.address}" in page and "passed over" not in page
    if path:
        assert blob_gets(mirror)
    else:
        wait_until(lambda: len(kept(mirror)) >= len(layers(images.single)), 10,
                   "the mirror's copies")
    assert "hosts.toml" not in m.log()


def test_example_registries_conf(registry, world, images, pull_through):
    """Read as it stands; its mirror and its rewritten name at other addresses."""
    text = (EXAMPLES / "registries.conf").read_text()
    mirror = pull_through(registry.address)
    world.conf(text.replace('"docker.io"', f'"{registry.address}"')
               .replace("mirror.example.com:5000", mirror.address)
               .replace("registry.example.com/platform/base-images",
                        f"{registry.address}/team")
               .replace("[[registry.mirror]]", "[[registry.mirror]]\ninsecure = true"))
    m = world.mount(None)
    top = m / registry.address
    assert os.path.isdir(top / "team/app:1.4")
    read_layers(top, images.single, "team/app")
    wait_until(lambda: kept(mirror), 10, "the mirror's copies")
    other = m / "images.example.com/base"
    assert os.path.isdir(other / "app:1.4/rootfs")
    assert errno_of(os.stat, m / "untrusted.example.net/x:1") == "EPERM"
    assert "registries.conf" not in m.log()


def test_example_pull_through(registry, world, images, tmp_path, monkeypatch):
    """The configuration itself, but for its addresses and certificate."""
    need("docker-registry")
    text = re.sub(r"  tls: .*\n", "", (EXAMPLES / "pull-through.yml").read_text())
    for old, new in (("{", "{{"), ("}", "}}"), (":5000", "127.0.0.1:{port}"),
                     ("https://registry-1.docker.io", f"http://{registry.address}"),
                     ("/var/lib/registry-mirror", "{root}")):
        assert old in text
        text = text.replace(old, new)
    monkeypatch.setattr("registry.CONF", text)
    server = DockerRegistry(tmp_path / "example")
    try:
        mirrored(world, registry, server, capabilities='["pull", "resolve"]')
        m = world.mount(registry)
        read_layers(m, images.single, "team/app")
        wait_until(lambda: kept(server), 10, "the mirror's copies")
    finally:
        server.stop()


@pytest.mark.parametrize("user", [True, False])
def test_pull_through_that_wants_to_know(registry, world, images, tmp_path, user):
    """A real mirror with htpasswd: used with a credential, passed by without."""
    need("docker-registry", "htpasswd")

    class Closed(DockerRegistry):
        def _more(self, users):
            return f"proxy: {{remoteurl: 'http://{registry.address}'}}\n" \
                + super()._more({"jim": "word"})

    server = Closed(tmp_path / "closed")
    try:
        mirrored(world, registry, server)
        options = {}
        if user:
            options["authfile"] = auth_file(tmp_path / "auth.json",
                                            **{server.address: "jim:word"})
        m = world.mount(registry, **options)
        read_layers(m, images.single, "team/app")
        if user:
            wait_until(lambda: kept(server), 10, "the mirror's copies")
        assert user or not kept(server)
        assert m.status("errors") == ""
    finally:
        server.stop()
