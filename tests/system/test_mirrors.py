# SPDX-License-Identifier: Apache-2.0
"""Mirrors, blocked and rewritten registries: hosts.toml and registries.conf."""
import base64
import json
import os

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

    def mount(self, source, **options):
        options.setdefault("timeout", 4)
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
    m = world.mount(origin)
    read_layers(m, images.single)
    assert blob_gets(origin)
    assert len(mirror.log(path="/a/")) <= 3


def test_failing_mirror(pair, world, images):
    origin, mirror = pair
    mirror.fault(path="/a/", status=503, count=0)
    m = world.mount(origin)
    read_layers(m, images.single)
    assert blob_gets(origin)
    assert "503" not in (m / ".registryfs/errors").read_text()


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


def test_lying_mirror_manifest(pair, world, images):
    origin, mirror = pair
    mirror.fault(path="/manifests/", method="GET", flip=10, count=0)
    m = world.mount(origin)
    path = m / "a/_manifests" / images.single.digest / "manifest.json"
    assert read_file(path) == images.single.data(images.single.digest)
    assert "another digest" in m.log()


def test_lying_mirror_small_blob(pair, world, images):
    """What could not be read before it was verified comes from elsewhere."""
    origin, mirror = pair
    mirror.fault(path="/blobs/", method="GET", flip=3, count=0)
    m = world.mount(origin)
    config = images.single.document()["config"]["digest"]
    assert sha256(read_file(m / "a/_blobs" / config)) == config
    assert "another digest" in m.log()
    read_layers(m, images.single)
    assert len(blob_gets(mirror)) == 1      # passed over since


@pytest.mark.parametrize("verify", ["lazy", "strict"])
def test_lying_mirror_large_blob(pair, world, images, verify):
    """A reader of wrong bytes is told; the next one gets the right ones."""
    origin, mirror = pair
    mirror.fault(path="/blobs/", method="GET", flip=3, count=0)
    m = world.mount(origin, verify=verify)
    digest = layers(images.large)[0]
    path = m / "big/_blobs" / digest
    if verify == "lazy":
        assert errno_of(read_file, path) in ("EBADMSG", "EIO")
    assert sha256(read_file(path)) == digest
    assert blob_gets(origin)


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
    origin.call("clear_log")
    m = world.mount(origin)
    read_layers(m, images.single)
    assert not blob_gets(origin)
