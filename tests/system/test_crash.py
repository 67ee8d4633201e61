# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the daemon at any moment of a running cp -r: what was acknowledged
is there, a tag is absent or whole, and the copy can be finished afterwards.

RFS_CRASH_CYCLES sets how often, for longer runs."""
import os
import random
import subprocess
import time

import pytest
from images import Layout, make_tar
from pushing import check_image, is_linked, pending
from tools import errno_of, need, run, sha256, wait_until

CYCLES = int(os.environ.get("RFS_CRASH_CYCLES", "12"))
LAYERS = 10
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture(scope="module")
def ten(memory):
    """An image of ten layers of 1 to 3 MiB."""
    layout = Layout(memory / "ten")
    noise = random.Random(11)
    tars = [make_tar([(f"f{i}", noise.randbytes(noise.randrange(1 << 20, 3 << 20)), 0o644)])
            for i in range(LAYERS)]
    return layout.finish(layout.add_image(tars), "1")


def duration(source, target):
    start = time.monotonic()
    run("cp", "-r", source, target)
    return time.monotonic() - start


@pytest.mark.limit(120 + 4 * CYCLES)
@pytest.mark.parametrize("origin", ["registry", "disk"])
def test_crash(docker_registry, mount, ten, tmp_path, origin):
    need("skopeo")
    a, b = docker_registry(), docker_registry()
    ten.push(a.address, "team/app")
    m = mount(plain_http=f"{a.address} {b.address}", retries=2)
    source = m.host(a) / "team/app/_tags/1" if origin == "registry" else ten.folder
    typical = duration(source, m.host(b) / f"{origin}/whole/_tags/1")
    dice = random.Random(int(os.environ.get("RFS_SEED", "5")))
    for n in range(CYCLES):
        repo = f"{origin}/c{n}"
        target = m.host(b) / repo / "_tags/1"
        copy = subprocess.Popen(["cp", "-r", source, target], stderr=subprocess.PIPE)
        time.sleep(dice.uniform(0, 1.1 * typical))
        m.kill()
        done = copy.wait(30)
        copy.stderr.close()
        there = b.status(f"/v2/{repo}/manifests/1", MANIFEST) == 200
        assert there or done != 0, "cp said 0 and the tag is not there"
        if there:
            assert all(is_linked(b, repo, d) for d in ten.blobs()
                       if d not in ten.manifests())
        m.start()
        m.expect_exit = 0
        assert pending(m) == [] or done != 0
        run("cp", "-r", f"{source}/.", target) if target.exists() else \
            run("cp", "-r", source, target)
        check_image(b, repo, "1", ten, tmp_path)
        assert pending(m) == []


def test_pending_survives(docker_registry, mount, ten, tmp_path):
    """An acknowledged index.json with one blob missing: killed, mounted again, it
    is listed; the blob's arrival publishes it."""
    b = docker_registry()
    m = mount(b)
    tag = m / "late/app/_tags/1"
    (tag / "blobs/sha256").mkdir(parents=True)
    last = ten.document()["layers"][3]["digest"]
    for digest in ten.blobs():
        if digest != last:
            run("cp", ten.folder / "blobs/sha256" / digest[7:], tag / "blobs/sha256")
    run("cp", ten.folder / "index.json", tag)
    for end in (m.kill, m.unmount):
        assert len(pending(m)) == 1
        end()
        assert end == m.kill or m.process.returncode == 75
        m.start()
        m.expect_exit = None
        # First it is tried again; then it says what is missing.
        wait_until(lambda: [t for t in pending(m) if last in t and ten.digest in t], 10,
                   "it is listed")
    assert b.status("/v2/late/app/manifests/1", MANIFEST) == 404
    run("cp", ten.folder / "blobs/sha256" / last[7:], m / f"late/app/_blobs/{last}")
    check_image(b, "late/app", "1", ten, tmp_path)
    assert pending(m) == []
    m.expect_exit = 0


def test_pending_forgotten(docker_registry, mount, ten):
    """Removing the file in pending/ forgets the image."""
    b = docker_registry()
    m = mount(b)
    tag = m / "late/gone/_tags/1"
    (tag / "blobs/sha256").mkdir(parents=True)
    run("cp", ten.folder / "blobs/sha256" / ten.digest[7:], tag / "blobs/sha256")
    run("cp", ten.folder / "index.json", tag)
    folder = m / ".registryfs/pending"
    assert len(os.listdir(folder)) == 1
    for name in os.listdir(folder):
        os.unlink(folder / name)
    assert pending(m) == []
    m.restart()
    assert pending(m) == []


def test_left_session(emulator, mount, tmp_path):
    """An upload that was under way is cancelled by the next mount.  (distribution
    2.8 cannot: it forgets how to name a session that has taken bytes.)"""
    emu = emulator("distribution3")
    m = mount(emu)
    data = os.urandom(8 << 20)
    fd = os.open(m / f"left/_blobs/{sha256(data)}", os.O_WRONLY | os.O_CREAT)
    os.write(fd, data[:4 << 20])
    emu.wait_log(lambda log: any(e["method"] == "PATCH" for e in log))
    m.kill()
    assert errno_of(os.close, fd) in ("ENOTCONN", "ECONNABORTED")
    mark = emu.mark()
    m.start()
    m.expect_exit = 0
    emu.wait_log(lambda log: any(e["method"] == "DELETE" and e["status"] == 204
                                 for e in log[mark:]))
