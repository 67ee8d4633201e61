# SPDX-License-Identifier: Apache-2.0
"""Whoever writes is killed, the registry goes away, the daemon is stopped."""
import os
import signal
import subprocess
import time

import pytest
from emupush import REPO, check_held, finished, get, has_blob, plain, tags
from mounting import is_mounted, sanitized
from pushing import errors, pending, spool_bytes
from tools import errno_of, read_file, run, sha256, timed, wait_until

MIB = 1 << 20
DATA = os.urandom(3 * MIB + 5)
DIGEST = sha256(DATA)
SOON = 2.0 if sanitized() else 0.5


@pytest.fixture
def silent(emulator, mount, images, tmp_path):
    """silent(where) -> (emulator that answers nothing there, mount, a file)"""
    def go(where, **options):
        emu = emulator("distribution3")
        images.single.fill(emu, REPO, "1")
        m = mount(emu, timeout=20, **options)
        emu.fault(method="POST|PATCH|PUT", path=where, delay=600, count=0)
        source = tmp_path / "data"
        source.write_bytes(DATA)
        return emu, m, source
    return go


def cp(*words):
    return subprocess.Popen(["cp", *map(str, words)], stderr=subprocess.PIPE, text=True)


def waits(process):
    """In a call to the mount that will not end by itself."""
    def asleep():
        with open(f"/proc/{process.pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] in "SD"
    wait_until(asleep, 5, "cp waits")
    time.sleep(0.2)
    assert process.poll() is None and asleep()


def ends(process, number):
    """It is gone soon after this signal."""
    process.send_signal(number)
    took, code = timed(process.wait, 10)
    assert code == -number
    assert took < SOON


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_kill_while_a_blob_is_closed(silent, number):
    emu, m, source = silent("/blobs/")
    process = cp(source, m / REPO / "_blobs" / DIGEST)
    wait_until(lambda: emu.hits()[0], 5, "the request")
    waits(process)
    ends(process, number)
    emu.clear_faults()
    wait_until(lambda: spool_bytes(m) == 0, 5, "the spool is empty")
    assert not has_blob(emu, REPO, DIGEST)
    assert not (m / REPO / "_blobs" / DIGEST).exists()
    wait_until(lambda: emu.call("state")["sessions"] == 0, 5, "the session is cancelled")
    run("cp", source, m / REPO / "_blobs" / DIGEST)
    assert sha256(get(emu, f"/v2/{REPO}/blobs/{DIGEST}")) == DIGEST


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_kill_while_an_image_is_published(silent, images, number):
    """The tag is the old one or the new one."""
    emu, m, _ = silent("/manifests/")
    process = cp("-r", f"{images.multi.folder}/.", m / REPO / "_tags/1")
    wait_until(lambda: emu.hits()[0], 5, "the request")
    waits(process)
    assert images.single.digest in (m / REPO / "_tags/1/index.json").read_text()
    ends(process, number)
    assert pending(m) == []
    emu.clear_faults()
    check_held(emu, REPO, "1", images.single)
    run("cp", "-r", f"{images.multi.folder}/.", m / REPO / "_tags/1")
    check_held(emu, REPO, "1", images.multi)
    finished(m)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_kill_between_registries(silent, emulator, mount, images, number):
    """The daemon copies; who asked it to is killed."""
    source = emulator()
    images.large.fill(source, "team/app")
    emu, m, _ = silent("/blobs/", plain_http="127.0.0.1")
    m = mount(plain_http=plain(source, emu), timeout=20)
    process = cp("-r", m.host(source) / "team/app/_tags/big", m.host(emu) / REPO / "_tags")
    wait_until(lambda: emu.hits()[0], 5, "the request")
    waits(process)
    ends(process, number)
    emu.clear_faults()
    assert tags(emu, REPO) == ["1"]
    assert pending(m) == []
    run("cp", "-r", m.host(source) / "team/app/_tags/big", m.host(emu) / REPO / "_tags")
    check_held(emu, REPO, "big", images.large)
    finished(m)


def test_handled_signals_do_not_matter(silent):
    """A writer that handles SIGUSR1 and SIGCHLD does not notice them."""
    emu, m, source = silent("/blobs/")
    emu.clear_faults()
    emu.fault(method="PATCH|PUT", path="/blobs/", delay=1.5)
    process = subprocess.Popen(
        ["python3", "-c", "import os, shutil, signal, sys\n"
         "for n in (signal.SIGUSR1, signal.SIGCHLD, signal.SIGURG):\n"
         "    signal.signal(n, lambda *a: None)\n"
         "print('ready', flush=True)\n"
         "shutil.copyfile(*sys.argv[1:])\n"
         # As it ends, Python gives up its handlers.
         "os._exit(0)", source, m / REPO / "_blobs" / DIGEST],
        stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    while process.poll() is None:
        for number in (signal.SIGUSR1, signal.SIGCHLD, signal.SIGURG):
            process.send_signal(number)
        time.sleep(0.05)
    assert process.wait() == 0
    assert has_blob(emu, REPO, DIGEST)


def test_registry_dies(emulator, mount, images, tmp_path):
    """In the middle of a copy: cp fails in time, the other registry answers all
    the while, and when it is back the copy can be run again."""
    a, b = emulator("distribution3"), emulator()
    images.single.fill(a, REPO, "1")
    images.multi.fill(b, "team/app")
    m = mount(plain_http=plain(a, b), timeout=1, retries=3)
    target = m.host(a) / REPO / "_tags/1"
    assert (target / "index.json").exists()
    a.fault(method="PATCH|PUT", path="/blobs/", delay=600, count=0)
    process = cp("-r", f"{images.large.folder}/.", target)
    wait_until(lambda: a.hits()[0], 5, "the request")
    a.call("listen", on=False)
    started, slowest = time.monotonic(), 0
    while process.poll() is None and time.monotonic() - started < 20:
        name = os.listdir(m.host(b) / "team/app/_tags")[0]
        took, _ = timed(read_file, m.host(b) / "team/app/_tags" / name / "index.json")
        slowest = max(slowest, took)
        time.sleep(0.05)
    assert process.wait(1) == 1
    assert time.monotonic() - started < 12 and slowest < 1
    text = process.stderr.read()
    assert "Connection refused" in text or "Input/output error" in text
    assert any(x in errors(m) for x in ("ECONNREFUSED", "EIO"))
    assert errno_of(os.mkdir, m.host(a) / "q/s") != "ENOENT"
    a.clear_faults()
    a.call("listen", on=True)
    wait_until(lambda: run("cp", "-r", f"{images.large.folder}/.", target,
                           check=False).returncode == 0, 15, "recovery")
    check_held(a, REPO, "1", images.large)
    assert pending(m) == []
    wait_until(lambda: spool_bytes(m) == 0, 3, "the spool is empty")


# -- the daemon -----------------------------------------------------------------

def test_stop_finishes(silent, images):
    """SIGTERM: nothing new, but what is under way arrives."""
    emu, m, source = silent("/blobs/")
    emu.clear_faults()
    emu.fault(method="PATCH|PUT", path="/blobs/", delay=2)
    process = cp(source, m / REPO / "_blobs" / DIGEST)
    wait_until(lambda: emu.hits()[0], 5, "the request")
    waits(process)
    m.process.terminate()
    time.sleep(0.3)
    assert m.process.poll() is None
    assert errno_of((m / REPO / "_blobs" / sha256(b"x")).write_bytes, b"x") == "ESHUTDOWN"
    assert (m / REPO / "_tags/1/index.json").exists()
    assert process.wait(10) == 0
    assert m.process.wait(5) == 0
    assert not is_mounted(m.point)
    assert has_blob(emu, REPO, DIGEST)


def test_stop_twice(silent):
    """A second signal does not wait."""
    emu, m, source = silent("/blobs/")
    process = cp(source, m / REPO / "_blobs" / DIGEST)
    wait_until(lambda: emu.hits()[0], 5, "the request")
    waits(process)
    m.process.terminate()
    time.sleep(0.5)
    assert m.process.poll() is None and process.poll() is None
    m.process.terminate()
    took, code = timed(m.process.wait, 20)
    assert code == 75 and took < 4
    m.expect_exit = 75      # it was not finished
    assert process.wait(5) == 1
    assert not is_mounted(m.point)
    assert not has_blob(emu, REPO, DIGEST)


def test_stop_pending(emulator, mount, images):
    """What was acknowledged and is incomplete is kept: 75, and the next mount
    goes on with it."""
    emu = emulator("distribution3")
    m = mount(emu)
    tag = m / REPO / "_tags/1"
    tag.mkdir(parents=True)
    run("cp", images.single.folder / "index.json", tag)
    assert len(pending(m)) == 1
    m.process.terminate()
    assert m.process.wait(10) == 75
    m.restart()
    assert len(pending(m)) == 1
    (tag / "blobs/sha256").mkdir(parents=True)
    for path in (images.single.folder / "blobs/sha256").iterdir():
        run("cp", path, tag / "blobs/sha256")
    wait_until(lambda: pending(m) == [], 5, "it is published")
    check_held(emu, REPO, "1", images.single)
    finished(m)
