# SPDX-License-Identifier: Apache-2.0
"""mirror= and offline: one internal registry, or none, and nobody else.

What is mounted is in a world (emulator/world.py) where whoever else is asked is
noticed, and what the daemon connects to is watched by strace besides."""
import os
import re
import shutil
import signal
import subprocess

import pytest

from images import skopeo_env
from mounting import program
from registry import DockerRegistry
from test_mirrors import auth_file, layers
from tools import absent, errno_of, need, read_file, run, sha256, wait_until

INSIDE = "registry.internal:5000"
CONNECT = re.compile(r"sin6?_port=htons\((\d+)\).*?(?:sin_addr=inet_addr\(\"([^\"]+)\"\)"
                     r"|inet_pton\(AF_INET6, \"([^\"]+)\")")


class Watch:
    """Every address a process sends anything to, by strace."""

    def __init__(self, pid, path):
        self.path = path
        self.process = subprocess.Popen(
            ["strace", "-f", "-qq", "-p", str(pid), "-o", str(path), "-e",
             "trace=connect,sendto,sendmsg,sendmmsg"], stderr=subprocess.PIPE,
            text=True)
        wait_until(lambda: self._traced(pid), 10, "strace")

    def _traced(self, pid):
        if self.process.poll() is not None:
            absent(f"strace: {self.process.stderr.read()}")
        with open(f"/proc/{pid}/status") as f:
            return not re.search(r"TracerPid:\t0$", f.read(), re.M)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        return {f"{m[2] or m[3]}:{m[1]}" for m in CONNECT.finditer(self.path.read_text())}


@pytest.fixture
def inside(world, docker_registry, images):
    """The internal registry: a real one, under a name of its own, with TLS."""
    need("skopeo", "docker-registry")
    server = docker_registry(tls=False, delete=True)
    server.stop()
    tls = world.certificate("registry.internal")
    server = DockerRegistry(server.folder, tls=tls, delete=True, port=server.port)
    world.route(INSIDE, server.port)
    yield server
    server.stop()


@pytest.fixture
def filled(inside, images):
    """... with what skopeo sync --scoped would put there."""
    images.single.push(inside.address, "docker.io/library/alpine", "3.20")
    images.multi.push(inside.address, "ghcr.io/team/app", "1.4")
    images.single.push(inside.address, "registry.example.com_5000/x", "1")
    images.single.push(inside.address, "own/thing", "1")
    return inside


@pytest.fixture
def gap(mount, world, tmp_path):
    """gap(**options) -> a mount that is watched; gap.over() -> whom it talked to."""
    need("strace")
    watches = []

    def go(source=None, mirror=INSIDE, **options):
        if mirror.startswith("http://"):        # an emulator, by its address
            options.setdefault("env", {})
        m = mount(source, **{**world.options, **options, "mirror": mirror})
        watches.append(Watch(m.process.pid, tmp_path / f"strace{len(watches)}"))
        return m

    def over():
        found = set()
        while watches:
            found |= watches.pop().stop()
        return found

    go.over = over
    yield go
    over()


def only_inside(gap, world):
    """Everything went through the proxy, and the proxy was asked for one place."""
    assert gap.over() <= {world.proxy.address}
    assert set(world.contacts) <= {INSIDE}
    assert not world.refused


def test_reading(gap, filled, world, images):
    m = gap()
    assert "docker.io" in os.listdir(m.point)
    assert {"ghcr.io", "registry.example.com:5000"} <= set(os.listdir(m.point))
    assert os.listdir(m / "docker.io") == ["library"]
    assert os.listdir(m / "docker.io/library") == ["alpine"]
    assert os.listdir(m / "docker.io/library/alpine/_tags") == ["3.20"]
    image = images.single
    top = m / "docker.io/library/alpine/_tags/3.20"
    assert read_file(top / "manifest.json") == image.data(image.digest)
    for digest in layers(image):
        assert sha256(read_file(m / "docker.io/library/alpine/_blobs" / digest)) == digest
    assert os.listdir(top / "rootfs/")
    assert os.listdir(top / "referrers") == []
    assert sorted(os.listdir(m / "ghcr.io/team/app:1.4/platforms"))
    assert os.path.isdir(m / "registry.example.com:5000/x:1")
    assert os.path.isdir(m / "registry.example.com+5000/x+1")
    only_inside(gap, world)


def test_own_name(gap, filled, world, images):
    """The internal registry's own name is itself, whatever is in it."""
    m = gap()
    assert os.path.isdir(m / INSIDE / "own/thing:1")
    assert read_file(m / INSIDE / "docker.io/library/alpine:3.20/manifest.json") == \
        images.single.data(images.single.digest)
    assert "own" in os.listdir(m / INSIDE)
    only_inside(gap, world)


def test_missing_and_wrong_names(gap, filled, world):
    m = gap()
    assert errno_of(os.stat, m / "docker.io/library/alpine:none") == "ENOENT"
    assert errno_of(os.stat, m / "docker.io/library/nothing:1") == "ENOENT"
    assert errno_of(os.stat, m / "quay.io/x/y:1") == "ENOENT"
    assert errno_of(os.listdir, m / "quay.io/x/y") == "ENOENT"
    assert os.listdir(m / "quay.io") == []
    assert errno_of(os.stat, m / "not-a-host") == "ENOENT"
    assert errno_of(os.stat, m / "[::1]:5000/x:1") == "ENOENT"
    absent_blob = "sha256:" + "1" * 64
    assert errno_of(read_file, m / "docker.io/library/alpine/_blobs" / absent_blob) \
        == "ENOENT"
    only_inside(gap, world)


def test_short_and_other_names_of_the_hub(gap, filled, world, images):
    m = gap()
    want = images.single.data(images.single.digest)
    for name in ("docker.io/alpine:3.20", "docker.io/alpine/_tags/3.20",
                 "index.docker.io/library/alpine:3.20",
                 "registry-1.docker.io/alpine+3.20"):
        assert read_file(m / name / "manifest.json") == want
    only_inside(gap, world)


def test_copy_out_and_in(gap, filled, world, images, tmp_path):
    """cp -r from the mirror, and into a name of another host: it fills it."""
    m = gap()
    run("cp", "-r", m / "ghcr.io/team/app/_tags/1.4", tmp_path / "out")
    assert sha256((tmp_path / "out/blobs/sha256" / images.multi.digest[7:])
                  .read_bytes()) == images.multi.digest
    run("cp", "-r", tmp_path / "out", m / "docker.io/library/app:new")
    run("cp", "-r", m / "docker.io/library/alpine/_tags/3.20",
        m / "quay.io/team/alpine/_tags/")
    run("cp", "-r", m / "ghcr.io/team/app:1.4/.", m / "ghcr.io/other/app:1")
    run("ln", "-s", "3.20", m / "docker.io/library/alpine/_tags/stable")
    assert filled.tags("docker.io/library/app") == ["new"]
    assert filled.tags("quay.io/team/alpine") == ["3.20"]
    assert filled.tags("ghcr.io/other/app") == ["1"]
    assert sorted(filled.tags("docker.io/library/alpine")) == ["3.20", "stable"]
    status, head, _ = filled.get("/v2/docker.io/library/app/manifests/new", "HEAD",
                                 {"Accept": "application/vnd.oci.image.index.v1+json"})
    assert status == 200 and head["Docker-Content-Digest"] == images.multi.digest
    assert os.path.isdir(m / "quay.io/team/alpine:3.20/rootfs")
    only_inside(gap, world)


def test_removing(gap, filled, world, images):
    m = gap(allow_delete=True)
    os.rmdir(m / "ghcr.io/team/app/_manifests" / images.multi.digest)
    assert filled.status(f"/v2/ghcr.io/team/app/manifests/{images.multi.digest}",
                         "application/vnd.oci.image.index.v1+json") == 404
    only_inside(gap, world)


def test_source_and_path(gap, inside, world, images):
    """A part of one host, beneath a path of the mirror."""
    images.single.push(inside.address, "mirrors/hub/docker.io/library/alpine", "3.20")
    images.single.push(inside.address, "mirrors/hub/quay.io/a/b", "1")
    images.single.push(inside.address, "elsewhere/gcr.io/a/b", "1")
    m = gap("docker.io", mirror=f"https://{INSIDE}/mirrors/hub")
    assert set(os.listdir(m.point)) - {".registryfs"} == {"library"}
    assert os.path.isdir(m / "library/alpine:3.20")
    m = gap(mirror=f"https://{INSIDE}/mirrors/hub")
    assert set(os.listdir(m.point)) - {".registryfs", INSIDE} == {"docker.io", "quay.io"}
    text = (m / ".registryfs/hosts/docker.io").read_text() \
        if os.path.isdir(m / "docker.io/library/alpine:3.20") else ""
    assert f"is at        {INSIDE}/mirrors/hub/docker.io" in text
    only_inside(gap, world)


def test_other_tools_files_do_not_count(gap, filled, world, mount, tmp_path):
    """hosts.toml and registries.conf lead nowhere; what they block is blocked."""
    home = tmp_path / "home"
    (home / ".config/containers").mkdir(parents=True)
    (home / ".config/containers/registries.conf").write_text("""
[[registry]]
prefix = "docker.io"
location = "mirror.example.com"
[[registry.mirror]]
location = "other.example.com"
[[registry]]
prefix = "ghcr.io"
blocked = true
""")
    for host in ("docker.io", "_default"):
        shutil.copytree(world.cert_dir / INSIDE, world.cert_dir / host,
                        dirs_exist_ok=True)
        (world.cert_dir / host / "hosts.toml").write_text("""
server = "https://server.example.com"
[host."https://host.example.com"]
""")
    m = gap(home=home)
    assert os.path.isdir(m / "docker.io/library/alpine:3.20/rootfs")
    assert os.listdir(m / "docker.io/library/alpine/_tags") == ["3.20"]
    assert errno_of(os.stat, m / "ghcr.io/team/app:1.4") == "EPERM"
    only_inside(gap, world)


def test_credentials_of_the_mirror(emulator, gap, world, images, tmp_path):
    """It gets its own; what is stored for the hosts in the tree stays here."""
    emu = emulator("bearer")
    emu.set(users={"jim": "his-word"})
    place = f"http://{emu.address}"
    images.single.fill(emu, "p/docker.io/library/alpine")
    auth = auth_file(tmp_path / "auth.json", **{
        emu.address: "wrong:one", f"{emu.address}/p/docker.io": "jim:his-word",
        "docker.io": "canary:tell-nobody"})
    m = gap(mirror=f"{place}/p", authfile=auth)
    assert os.path.isdir(m / "docker.io/library/alpine:1.4/rootfs")
    run("cp", "-r", m / "docker.io/library/alpine/_tags/1.4",
        m / "docker.io/library/alpine/_tags/new")
    for line in emu.log():
        assert "tell-nobody" not in str(line) and "canary" not in str(line)
    scopes = str([e["target"] for e in emu.log() if "scope" in e["target"]])
    assert "p/docker.io/library/alpine" in scopes.replace("%2F", "/")
    assert gap.over() <= {f"127.0.0.1:{port}" for port in emu.ports.values()}


def test_refusals_name_the_tree(emulator, gap, world, images, tmp_path):
    """Errors are about docker.io/..., and say where it was asked."""
    emu = emulator()
    images.single.fill(emu, "docker.io/library/alpine")
    emu.fault(path="/manifests/", status=403, count=0)
    m = gap(mirror=f"http://{emu.address}")
    assert errno_of(os.stat, m / "docker.io/library/alpine:1.4") == "EACCES"
    text = m.status("errors")
    assert "docker.io/library/alpine/_tags/1.4" in text
    assert f"(asked of {emu.address})" in text


@pytest.mark.parametrize("allow,seen", [("docker.io/library/**", True),
                                        ("ghcr.io", False)])
def test_allow_is_about_the_tree(emulator, gap, images, allow, seen):
    emu = emulator()
    images.single.fill(emu, "docker.io/library/alpine")
    m = gap(mirror=f"http://{emu.address}", allow=allow)
    assert errno_of(os.stat, m / "docker.io/library/alpine:1.4") == \
        (None if seen else "EPERM")
    assert ("docker.io" in os.listdir(m.point)) is seen
    assert errno_of(os.stat, m / emu.address) == "EPERM"


def test_pages(emulator, gap, images):
    """Lists whose next page is a link of the place's own."""
    emu = emulator("distribution", "catalog_max=2", "catalog_default=2",
                   "tags_max=2", "tags_paged=true")
    for i in range(7):
        images.single.fill(emu, f"p/docker.io/library/r{i}", f"t{i}")
        images.single.fill(emu, "p/docker.io/library/r0", f"x{i}")
    m = gap(mirror=f"http://{emu.address}/p")
    assert len(os.listdir(m / "docker.io/library")) == 7
    assert len(os.listdir(m / "docker.io/library/r0/_tags")) == 8


def test_a_mirror_that_does_not_list(emulator, gap, images):
    emu = emulator("distribution", "catalog_status=401")
    images.single.fill(emu, "docker.io/library/alpine")
    m = gap(mirror=f"http://{emu.address}")
    os.listdir(m.point)
    assert os.path.isdir(m / "docker.io/library/alpine:1.4")
    assert os.listdir(m / "docker.io/library") == ["alpine"]
    assert "docker.io" in os.listdir(m.point)


@pytest.mark.parametrize("profile,path", [("harbor-list", "/proj"), ("harbor-list", ""),
                                          ("gitlab-list", "/group/proj")])
def test_other_vendors_as_the_mirror(emulator, gap, images, profile, path):
    """Listed by their own ways, from the first look on."""
    emu = emulator(profile)
    for name in ("docker.io/library/alpine", "docker.io/team/x/y", "quay.io/a/b"):
        images.single.fill(emu, f"{path[1:]}/{name}".strip("/"))
    m = gap(mirror=f"http://{emu.address}{path}")
    assert {"docker.io", "quay.io"} <= set(os.listdir(m.point))
    assert sorted(os.listdir(m / "docker.io")) == ["library", "team"]
    assert os.listdir(m / "docker.io/library") == ["alpine"]
    assert os.listdir(m / "docker.io/team/x") == ["y"]
    assert os.path.isdir(m / "docker.io/library/alpine:1.4")


def test_foreign_layers_are_not_looked_for(emulator, gap, world, images):
    """Their urls lead out of the gap."""
    emu = emulator()
    config = b"{}"
    emu.add_blob("docker.io/library/win", config.decode().encode())
    gone = "sha256:" + "3" * 64
    document = {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                   "digest": sha256(config), "size": len(config)},
        "layers": [{"mediaType":
                    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
                    "digest": gone, "size": 1000,
                    "urls": ["https://foreign.example.com/layer", "http://192.0.2.1/l"]}]}
    emu.add_manifest("docker.io/library/win", document, tag="1")
    m = gap(mirror=f"http://{emu.address}")
    top = m / "docker.io/library/win:1"
    assert os.readlink(top / "layers/00").endswith(gone)
    assert errno_of(read_file, top / "blobs/sha256" / gone[7:]) == "ENOENT"
    assert errno_of(os.listdir, top / "layers/00/") == "ENOENT"
    os.listdir(top / "blobs/sha256")
    assert re.search(f"docker.io/library/win/_blobs/{gone}.* urls are not followed",
                     m.status("errors"))
    assert gap.over() <= {f"127.0.0.1:{port}" for port in emu.ports.values()}


def test_a_mirror_that_is_down(emulator, gap, images):
    """The root is listed all the same, at once from the second time on."""
    emu = emulator()
    images.single.fill(emu, "docker.io/library/alpine")
    m = gap(mirror=f"http://{emu.address}", timeout=2)
    assert "docker.io" in os.listdir(m.point)
    emu.stop()
    assert "docker.io" in os.listdir(m.point)
    assert errno_of(os.stat, m / "docker.io/library/alpine:1.4") is not None
    assert errno_of(os.listdir, m / "quay.io/x") not in (None, "ENOENT")


def test_cache_is_of_one_place(emulator, mount, images, world):
    """What one mirror granted is not shown for another, nor without any."""
    one, two = emulator(), emulator()
    images.single.fill(one, "docker.io/library/alpine")
    m = mount(None, mirror=f"http://{one.address}")
    assert os.path.isdir(m / "docker.io/library/alpine:1.4")
    digest = layers(images.single)[0]
    read_file(m / "docker.io/library/alpine/_blobs" / digest)
    m.restart(mirror=f"http://{two.address}")
    assert errno_of(os.stat, m / "docker.io/library/alpine:1.4") == "ENOENT"
    assert errno_of(read_file, m / "docker.io/library/alpine/_blobs" / digest) == "ENOENT"
    m.restart(mirror=f"http://{one.address}", offline=True)
    assert sha256(read_file(m / "docker.io/library/alpine/_blobs" / digest)) == digest


def test_pending_waits_for_its_mirror(emulator, mount, images, tmp_path):
    """An image written with one mirror is never published by way of another."""
    one, two = emulator(), emulator()
    layout = images.single.folder
    m = mount(None, mirror=f"http://{one.address}")
    tag = m / "docker.io/library/alpine/_tags/new"
    os.mkdir(tag)
    (tag / "oci-layout").write_bytes((layout / "oci-layout").read_bytes())
    os.makedirs(tag / "blobs/sha256", exist_ok=True)
    manifest = images.single.digest[7:]
    (tag / "blobs/sha256" / manifest).write_bytes(images.single.data(images.single.digest))
    (tag / "index.json").write_bytes((layout / "index.json").read_bytes())
    assert len(os.listdir(m / ".registryfs/pending")) == 1
    m.expect_exit = None
    m.unmount()
    m.restart(mirror=f"http://{two.address}")
    names = os.listdir(m / ".registryfs/pending")
    assert len(names) == 1
    text = (m / ".registryfs/pending" / names[0]).read_text()
    assert "another mirror=" in text
    for emu in (one, two):
        images.single.fill(emu, "docker.io/library/alpine", "other")
    m.unmount()
    assert not [e for e in two.log() if e["method"] == "PUT"]
    m.restart(mirror=f"http://{one.address}")
    wait_until(lambda: not os.listdir(m / ".registryfs/pending"), 10, "the image")
    assert one.log(method="PUT", path="/manifests/new")


def test_filled_by_skopeo_sync(gap, inside, world, images, tmp_path):
    """As the manual says: filled where the Hub can be reached, then used alone."""
    hub = world.add("docker.io")
    images.single.fill(hub, "library/alpine", "3.20")
    run("skopeo", "sync", "--scoped", "--src", "docker", "--dest", "docker", "--all",
        "docker.io/library/alpine", f"{INSIDE}/hub",
        env={**skopeo_env(tmp_path), **world.env})
    world.contacts.clear()
    m = gap(mirror=f"{INSIDE}/hub")
    assert read_file(m / "docker.io/library/alpine:3.20/manifest.json") == \
        images.single.data(images.single.digest)
    assert os.listdir(m / "docker.io/alpine/_tags") == ["3.20"]
    only_inside(gap, world)


# --- offline ---

def test_offline(gap, filled, world, images):
    """What was read can be read again, and nobody is asked for anything."""
    m = gap()
    top = "docker.io/library/alpine/_tags/3.20"
    want = {}
    for folder, _, files in os.walk(m / top):
        for name in files:
            if not os.path.islink(os.path.join(folder, name)):
                path = os.path.relpath(os.path.join(folder, name), m.point)
                want[path] = sha256(read_file(m / path))
    tree = sorted(os.listdir(m / top / "rootfs/"))
    gap.over()
    world.contacts.clear()
    m.restart(offline=True)
    watch = Watch(m.process.pid, world.folder / "strace")
    for path, digest in want.items():
        assert sha256(read_file(m / path)) == digest
    assert sorted(os.listdir(m / top / "rootfs/")) == tree
    assert errno_of(os.stat, m / "docker.io/library/alpine:other") == "ENETDOWN"
    assert errno_of(os.stat, m / "quay.io/x/y:1") == "ENETDOWN"
    assert os.listdir(m.point)
    assert watch.stop() == set()
    assert not world.contacts


def test_warmed_then_offline(gap, filled, world, images):
    """registryfs warm with the mirror, then without any network at all."""
    m = gap()
    top = "docker.io/library/alpine/_tags/3.20"
    run(program(), "warm", m / top, env=m.env)
    only_inside(gap, world)
    world.contacts.clear()
    m.restart(offline=True)
    watch = Watch(m.process.pid, world.folder / "strace")
    for digest in layers(images.single):
        assert sha256(read_file(m / "docker.io/library/alpine/_blobs" / digest)) == digest
    assert os.listdir(m / top / "rootfs/")
    assert os.listdir(m / "docker.io/alpine/_tags") == ["3.20"]
    assert watch.stop() == set()
    assert not world.contacts


# --- the option ---

@pytest.mark.parametrize("value,why", [
    ("ftp://x.test", "is no address"), ("h.test/UPPER", "path"),
    ("h.test/a?b", "is no address"), ("", "needs a value")])
def test_bad_values(value, why, tmp_path):
    (tmp_path / "mnt").mkdir()
    done = run(program(), "-o", f"mirror={value}", tmp_path / "mnt", check=False,
               env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    assert done.returncode == 1
    assert "mirror" in done.stderr and why in done.stderr
