# SPDX-License-Identifier: Apache-2.0
"""warm; and that offline serves all that was warmed."""
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

import tarmaker
from mounting import program
from tools import errno_of, need, read_file, run, sha256, sha256sum, wait_until
from warming import (all_cached, blobs_of, both, cached, some_layer, tool,
                     tree_of, verified, warm)

MIB = 1 << 20


class Trap:
    """Takes the port of a registry that is gone, and counts who comes."""

    def __init__(self, port):
        self.server = socket.create_server(("127.0.0.1", port))
        self.server.settimeout(0.1)
        self.count, self.over = 0, False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over:
            try:
                self.server.accept()[0].close()
                self.count += 1
            except TimeoutError:
                pass

    def stop(self):
        self.over = True
        self.thread.join()
        self.server.close()
        return self.count


# --- the whole way, with real tools ---------------------------------------------


@pytest.mark.limit(150)
def test_air_gap(mount, docker_registry, images, tmp_path):
    """Warmed from a real registry that is gone then: all that tools read is there,
    and nobody is asked for anything."""
    need("docker-registry", "skopeo", "umoci")
    server = docker_registry()
    images.single.push(server.address, "team/app")
    images.multi.push(server.address, "team/app")
    m = mount()
    folder = m.host(server) / "team/app"
    warm(m, folder / "_tags/1.4", f"{folder}+multi")
    m.unmount()
    server.stop()
    trap = Trap(server.port)
    m.restart(offline=True)
    try:
        assert sorted(os.listdir(folder / "_tags")) == ["1.4", "multi"]
        for name, image in (("1.4", images.single), ("multi", images.multi)):
            copy = tmp_path / name
            run("cp", "-r", folder / "_tags" / name, copy)
            blobs = {"sha256:" + p.name: sha256sum(p)
                     for p in (copy / "blobs/sha256").iterdir()}
            assert blobs.keys() == image.blobs().keys()
            assert all(k == v for k, v in blobs.items())
            path = str(folder / "_tags" / name).replace(":", "+")
            told = run("skopeo", "inspect", "--raw", f"oci:{path}:{name}")
            assert json.loads(told.stdout) == image.document()
        run("umoci", "unpack", "--rootless", "--image", f"{tmp_path}/1.4:1.4",
            tmp_path / "bundle")
        run("diff", "-r", tmp_path / "bundle/rootfs", folder / "_tags/1.4/rootfs")
        for arch in ("amd64", "arm64", "arm-v7"):
            text = read_file(folder / f"_tags/multi/platforms/linux-{arch}/rootfs/etc/arch")
            assert text.decode().strip() == arch.replace("-", "")
        assert tree_of(folder / "_tags/1.4/layers/00/")
        assert read_file(folder / "_tags/1.4/history")
        assert os.listdir(folder / "_tags/1.4/referrers") == []
        assert m.status("errors").count("\n") <= 1
    finally:
        assert trap.stop() == 0


def test_everything_offline(both, emu, images):
    """What can be looked at online can be offline, the same; nothing is asked."""
    names = ["_tags/1.4", "_tags/multi"]
    warm(both, *[both / "team/app" / n for n in names])
    before = {n: tree_of(both / "team/app" / n) for n in names}
    inside = tree_of(both / "team/app/_tags/1.4/rootfs/")
    mark = emu.mark()
    both.restart(offline=True, tag_ttl=1)
    for n in names:
        assert tree_of(both / "team/app" / n) == before[n]
        assert os.getxattr(both / "team/app" / n, "user.oci.digest")
    assert tree_of(both / "team/app/_tags/1.4/rootfs/") == inside
    assert sorted(os.listdir(both / "team/app/_tags")) == ["1.4", "multi"]
    assert "app" in os.listdir(both / "team")
    for d in images.multi.manifests()[1:]:
        layers = images.multi.document(d)["layers"]
        for i, layer in enumerate(layers):
            assert tree_of(both / f"team/app/_layers/{layer['digest']}")
            assert os.readlink(both / f"team/app/_manifests/{d}/layers/{i:02}")
    # Nobody warmed these.
    assert errno_of(os.stat, both / "team/app/_tags/big") == "ENETDOWN"
    assert emu.log(since=mark) == []


def test_each_is_fetched_once(both, emu, images):
    """Names of one image, and warming again, cost no more bytes."""
    mark = emu.mark()
    folder = both / "team/app"
    warm(both, folder / "_tags/multi", f"{folder}:multi", folder / "_tags/1.4",
         f"{folder}@{images.multi.digest}")
    sent = {}
    for e in emu.log(path="/blobs/", method="GET", since=mark):
        digest = e["path"].rpartition("/")[2]
        sent[digest] = sent.get(digest, 0) + e["sent"]
    sizes = {**images.multi.blobs(), **images.single.blobs()}
    assert sent == {d: sizes[d] for d in blobs_of(images, "multi") | blobs_of(images, "single")}
    mark = emu.mark()
    warm(both, folder / "_tags/multi")
    assert emu.log(path="/blobs/", since=mark) == []
    assert emu.log(path="/manifests/(?!sha256-)", method="GET", since=mark) == []


# --- what can be named --------------------------------------------------------------


@pytest.mark.parametrize("path", [
    "team/app:1.4", "team/app+1.4", "team/app/_tags/1.4", "team/app/_manifests/{digest}",
    "team/app@{digest}", "team/app/_rootfs/{digest}", "team/app/_tags/1.4/rootfs",
    "team/app/_tags/1.4/blobs", "team/app/_tags/1.4/blobs/sha256"])
def test_an_image(both, images, path):
    warm(both, both / path.format(digest=images.single.digest))
    want = blobs_of(images, "single")
    assert all_cached(both, want) == want
    assert all(verified(both / f"team/app/_blobs/{d}") == "yes" for d in want)


def test_a_platform_directory(both, images):
    warm(both, both / "team/app/_tags/multi/platforms/linux-arm64")
    child = images.multi.document(images.multi.manifests()[2])
    want = {d["digest"] for d in [child["config"], *child["layers"]]}
    assert all_cached(both, want) == want
    assert all_cached(both, blobs_of(images, "multi")) == want


def test_all_platforms_by_their_directory(both, images):
    warm(both, both / "team/app/_tags/multi/platforms")
    children = [images.multi.document(d) for d in images.multi.manifests()[1:4]]
    want = {d["digest"] for c in children for d in [c["config"], *c["layers"]]}
    assert all_cached(both, want) == want


def test_chosen_platforms(both, images):
    warm(both, "--platform=linux/arm64,linux/arm/v7", both / "team/app/_tags/multi")
    documents = [images.multi.document(d) for d in images.multi.manifests()[1:]]
    for document, chosen in zip(documents, (False, True, True, False)):
        own = document["layers"][-1]["digest"]
        assert (cached(both / f"team/app/_blobs/{own}") == "100") == chosen


def test_no_such_platform(both):
    done = warm(both, "--platform=plan9/mips", both / "team/app/_tags/multi", rc=2)
    assert "_tags/multi: it has nothing for these platforms" in done.stderr
    assert tool(both, "warm", "--platform=x", both / "team", check=False).returncode == 1


@pytest.mark.parametrize("path", ["team/app", "team/app/_tags"])
def test_all_tags(both, images, path):
    warm(both, both / path)
    want = set.union(*(blobs_of(images, w) for w in ("single", "multi", "large")))
    assert all_cached(both, want) == want


def test_a_blob(both, images):
    digest, other = [d["digest"] for d in images.single.document()["layers"]][:2]
    warm(both, both / f"team/app/_blobs/{digest}")
    assert all_cached(both, {digest, other}) == {digest}
    hexes = other.split(":")[1]
    warm(both, both / f"team/app:1.4/blobs/sha256/{hexes}")
    assert all_cached(both, {digest, other}) == {digest, other}
    warm(both, both / f"team/app:1.4/blobs/sha256/{images.single.digest[7:]}",
         both / "team/app:1.4/config.json", both / "team/app:1.4/index.json")


@pytest.mark.parametrize("path", ["team/app/_layers/{digest}", "team/app:1.4/layers/01"])
def test_a_layer(both, emu, images, path):
    digest = images.single.document()["layers"][1]["digest"]
    warm(both, both / path.format(digest=digest))
    assert cached(both / f"team/app/_blobs/{digest}") == "100"
    mark = emu.mark()
    both.restart(offline=True)
    assert tree_of(both / f"team/app/_layers/{digest}")
    assert emu.log(since=mark) == []


def test_part_of_a_rootfs(mount, emu, tmp_path):
    """Only the ranges of what is beneath; of a layer that is known, no more."""
    wanted = os.urandom(MIB)
    layer = some_layer(wanted__a=b"a" * 5000, wanted__b=wanted, other=os.urandom(12 * MIB))
    tarmaker.build(tmp_path / "image", [layer]).fill(emu, "t", "x")
    m = mount(emu)
    os.listdir(m / "t:x/rootfs/")                  # the one pass
    tool(m, "evict", m / "t:x")
    mark = emu.mark()
    assert int(cached(m / f"t/_blobs/{layer.digest}")) == 0
    warm(m, m / "t:x/rootfs/wanted")
    sent = sum(e["sent"] for e in emu.log(path="/blobs/", method="GET", since=mark))
    assert MIB <= sent < 6 * MIB
    m.restart(offline=True)
    mark = emu.mark()
    assert read_file(m / "t:x/rootfs/wanted/b") == wanted
    assert read_file(m / "t:x/rootfs/wanted/a") == b"a" * 5000
    assert sorted(os.listdir(m / "t:x/rootfs/")) == ["other", "wanted"]
    assert errno_of(read_file, m / "t:x/rootfs/other") == "ENETDOWN"
    assert emu.log(since=mark) == []


def test_two_mounts_at_once(mount, emu, images):
    images.single.fill(emu, "a")
    first, second = mount(emu), mount(emu)
    warm(first, first / "a/_tags/1.4", second / "a/_tags/1.4")
    for m in (first, second):
        assert all(cached(m / f"a/_blobs/{d}") == "100" for d in blobs_of(images, "single"))


def test_relative_paths(both, images):
    warm(both, "_tags/1.4", cwd=both / "team/app")
    want = blobs_of(images, "single")
    assert all_cached(both, want) == want


# --- trouble --------------------------------------------------------------------------


def test_usage(both):
    for words in ["warm"], ["warm", "--nothing", both.point]:
        done = tool(both, *words, check=False)
        assert done.returncode == 1 and "usage:" in done.stderr, words


def test_what_cannot_be_named(both, tmp_path):
    for path, why in ((tmp_path, "no registryfs is mounted there"),
                      (both.point, "names no image"),
                      (both / ".registryfs", "names no image"),
                      (both / "team/app/_tags/none", "No such file")):
        done = warm(both, path, rc=2)
        assert str(path) in done.stderr and why in done.stderr, done.stderr


def test_goes_on_after_errors(both, emu, images):
    """Each path that fails is named; the others are there."""
    broken = images.single.document()["layers"][2]["digest"]
    emu.fault(path=f"/blobs/{broken}", status=404, count=0)
    done = warm(both, both / "team/app/_tags/none", both / "team/app/_tags/1.4",
                both / "team/app/_tags/multi", rc=2)
    assert broken[7:] in done.stderr and "_tags/none" in done.stderr
    want = blobs_of(images, "single") | blobs_of(images, "multi") - {broken}
    assert all_cached(both, want - {broken}) == want - {broken}


def test_a_damaged_blob_is_named(both, emu, images):
    layer = images.large.document()["layers"][0]["digest"]
    emu.fault(path=f"/blobs/{layer}", method="GET", count=0, flip=1000)
    done = warm(both, both / "team/app/_tags/big", rc=2)
    assert layer[7:] in done.stderr


def test_is_quiet(both):
    done = warm(both, both / "team/app/_tags/1.4")
    assert done.stdout == done.stderr == ""


def on_terminal(m, *words):
    """What it writes to a terminal, and its exit status."""
    import pty
    leader, follower = pty.openpty()
    child = subprocess.Popen([program(), *map(str, words)], stdin=subprocess.DEVNULL,
                             stdout=follower, stderr=follower, env=m.env)
    os.close(follower)
    text = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    os.close(leader)
    return child.wait(20), text.decode()


def test_progress_on_a_terminal(both, emu):
    emu.fault(path="/blobs/", method="GET", count=0,
              trickle={"bytes": 400_000, "every": 0.05})
    status, text = on_terminal(both, "warm", both / "team/app/_tags/big")
    assert status == 0
    assert "/s" in text and " left" in text and " of " in text
    assert "are in the cache" in text.splitlines()[-1]
    assert on_terminal(both, "warm", "--quiet", both / "team/app/_tags/1.4") == (0, "")


def test_interrupt(both, emu):
    """^C ends it at once, and what it had the mount wait for."""
    emu.fault(path="/blobs/", method="GET", count=0, delay=30)
    child = subprocess.Popen([program(), "warm", str(both / "team/app/_tags/big")],
                             env=both.env)
    wait_until(lambda: emu.log(path="/blobs/", method="GET"), 10, "a request")
    started = time.monotonic()
    child.send_signal(signal.SIGINT)
    assert child.wait(5) == -signal.SIGINT
    assert time.monotonic() - started < 1
    emu.clear_faults()


def test_too_large_for_the_cache(mount, emu, images):
    """Said before anything is fetched, and nothing that is there is evicted."""
    images.single.fill(emu, "a")
    images.large.fill(emu, "a")
    largest = max(images.large.blobs().values())
    m = mount(emu, cache_size=max(largest - MIB, MIB))
    warm(m, m / "a/_tags/1.4")
    mark = emu.mark()
    done = warm(m, m / "a/_tags/big", rc=2)
    assert "the cache is too small" in done.stderr and "cache_size" in done.stderr
    assert emu.log(path=f"/blobs/{images.large.document()['layers'][0]['digest']}",
                   since=mark) == []
    assert all(cached(m / f"a/_blobs/{d}") == "100" for d in blobs_of(images, "single"))


def test_offline_mount_cannot_warm(both, images):
    warm(both, both / "team/app/_tags/1.4")
    both.restart(offline=True)
    warm(both, both / "team/app/_tags/1.4")
    done = warm(both, both / "team/app/_tags/big", rc=2)
    assert "offline" in done.stderr or "down" in done.stderr


# --- referrers, and what is not there ------------------------------------------------


def add_signature(emu, images, repo):
    about = images.single
    config = b"{}"
    payload = b"signed"
    emu.add_blob(repo, config)
    emu.add_blob(repo, payload)
    body = json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example.signature",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json",
                   "digest": sha256(config), "size": len(config)},
        "layers": [{"mediaType": "application/vnd.example.payload",
                    "digest": sha256(payload), "size": len(payload)}],
        "subject": about.descriptor})
    emu.add_manifest(repo, body, "application/vnd.oci.image.manifest.v1+json", None)
    return sha256(body.encode()), sha256(payload)


@pytest.mark.parametrize("wanted", [True, False])
def test_referrers(mount, emulator, images, wanted):
    emu = emulator("zot")
    images.single.fill(emu, "a")
    digest, payload = add_signature(emu, images, "a")
    m = mount(emu)
    assert os.listdir(m / "a/_tags/1.4/referrers") == [digest]
    warm(m, *(["--referrers"] if wanted else []), m / "a/_tags/1.4")
    mark = emu.mark()
    m.restart(offline=True)
    assert os.listdir(m / "a/_tags/1.4/referrers") == [digest]
    path = m / f"a/_tags/1.4/referrers/{digest}/blobs/sha256/{payload[7:]}"
    if wanted:
        assert read_file(path) == b"signed"
    else:
        assert errno_of(read_file, path) == "ENETDOWN"
    assert emu.log(since=mark) == []


def test_sparse_index(mount, emu, images):
    """What the registry does not have is known to be absent offline, too."""
    images.multi.fill(emu, "a")
    gone = images.multi.manifests()[3]
    emu.fault(path=f"/manifests/{gone}", status=404, count=0,
              body='{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
    m = mount(emu)
    warm(m, m / "a/_tags/multi")
    before = tree_of(m / "a/_tags/multi")
    assert not any(gone[7:] in p for p in before if p.startswith("blobs"))
    mark = emu.mark()
    m.restart(offline=True)
    assert tree_of(m / "a/_tags/multi") == before
    assert emu.log(since=mark) == []
