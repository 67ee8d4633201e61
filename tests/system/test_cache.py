# SPDX-License-Identifier: Apache-2.0
"""The cache: kept over restarts and crashes, bounded, private, repairable."""
import os
import shutil
import sqlite3
import stat
import subprocess
import time

import pytest

from mounting import option_text, program
from tools import absent, errno_of, read_at, read_file, run, sha256sum, wait_until

MIB = 1 << 20


@pytest.fixture
def big(emu, images):
    images.large.fill(emu, "a")
    images.single.fill(emu, "a")
    emu.layer = images.large.document()["layers"][0]["digest"]
    emu.truth = images.large.data(emu.layer)
    return emu


def blob(m, emu):
    return m / f"a/_blobs/{emu.layer}"


def fetched(emu, since=0):
    return sum(e["sent"] for e in emu.log(path="/blobs/", method="GET", since=since))


def files(m):
    """Regular files under the cache, largest first."""
    found = [os.path.join(d, n) for d, _, names in os.walk(m.folder / "cache")
             for n in names]
    return sorted(found, key=os.path.getsize, reverse=True)


def test_kept_over_a_restart(mount, big):
    m = mount(big)
    assert sha256sum(blob(m, big)) == big.layer
    m.unmount()
    mark = big.mark()
    m.restart()
    assert sha256sum(blob(m, big)) == big.layer
    assert fetched(big, mark) == 0


def test_kept_over_kill(mount, big):
    """kill -9 after and in the middle of a download: no wrong byte."""
    m = mount(big)
    assert sha256sum(blob(m, big)) == big.layer
    time.sleep(3)                       # what came last may be lost
    m.kill()
    m.restart()
    mark = big.mark()
    assert sha256sum(blob(m, big)) == big.layer
    assert fetched(big, mark) <= MIB


@pytest.mark.parametrize("after", [0.05, 0.15, 0.3])
def test_killed_in_mid_download(mount, big, after):
    m = mount(big)
    os.stat(blob(m, big))
    big.fault(path="/blobs/", method="GET", count=0,
              trickle={"bytes": 100_000, "every": 0.01})
    reader = subprocess.Popen(["cat", blob(m, big)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    time.sleep(after)
    m.kill()
    reader.wait(10)
    big.clear_faults()
    m.restart()
    assert read_file(blob(m, big)) == big.truth


def test_offline(mount, big, images):
    """offline serves what is cached and asks nobody."""
    m = mount(big)
    assert sha256sum(blob(m, big)) == big.layer
    index = read_file(m / "a/_tags/big/index.json")
    manifest = read_file(m / "a/_tags/big/manifest.json")
    m.restart(offline=True)
    mark = big.mark()
    assert read_file(m / "a/_tags/big/index.json") == index
    assert read_file(m / "a/_tags/big/manifest.json") == manifest
    assert sha256sum(blob(m, big)) == big.layer
    other = images.single.document()["layers"][0]["digest"]
    assert errno_of(read_file, m / f"a/_blobs/{other}") not in (None, "ENOENT")
    assert errno_of(os.stat, m / "a/_tags/1.4") not in (None, "ENOENT")
    assert big.log(since=mark) == []


def test_registry_down_at_start(mount, big, images):
    """Mounting needs no registry, and digests in the cache stay readable."""
    m = mount(big)
    assert read_file(m / f"a/_manifests/{images.large.digest}/manifest.json")
    assert sha256sum(blob(m, big)) == big.layer
    m.unmount()
    big.call("listen", on=False)
    started = time.monotonic()
    m.restart(timeout=2)
    assert time.monotonic() - started < 3
    folder = m / f"a/_manifests/{images.large.digest}"
    assert read_file(folder / "manifest.json") == images.large.data(images.large.digest)
    assert sha256sum(blob(m, big)) == big.layer


def databases(m):
    return [p for p in files(m) if open(p, "rb").read(15) == b"SQLite format 3"]


@pytest.mark.parametrize("damage", ["zero", "garbage", "cut", "foreign", "gone"])
def test_damaged_database(mount, big, damage):
    """Set aside and rebuilt; the bytes are right."""
    m = mount(big)
    assert sha256sum(blob(m, big)) == big.layer
    m.unmount()
    found = databases(m)
    assert found, "no database in the cache"
    for path in found:
        spoil(path, damage)
    m.restart()
    assert sha256sum(blob(m, big)) == big.layer
    assert read_file(m / "a/_tags/1.4/index.json")


def spoil(path, damage):
    for side in ("-wal", "-shm", "-journal"):
        if os.path.exists(path + side):
            os.unlink(path + side)
    if damage == "gone":
        os.unlink(path)
    elif damage == "zero":
        open(path, "wb").close()
    elif damage == "foreign":
        os.unlink(path)
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE blob (a TEXT)")
    else:
        with open(path, "r+b") as f:
            if damage == "cut":
                f.truncate(os.path.getsize(path) // 2)
            else:
                f.write(os.urandom(os.path.getsize(path)))


def test_database_says_read_only(mount, big):
    """A header of a version that may only be read (byte 18) is damage as well."""
    m = mount(big)
    m.unmount()
    with open(m.folder / "cache/meta.db", "r+b") as f:
        f.seek(18)
        f.write(b"\x42")
    m.restart()
    assert [p for p in files(m) if "/meta.db.bad-" in p]
    assert read_file(m / "a/_tags/1.4/index.json")
    os.mkdir(m / "a/_tags/new")


@pytest.mark.parametrize("at", [0, 4 * MIB])
def test_spoiled_blob_file(mount, big, at):
    """Somebody changed cached bytes: fetched again or EBADMSG, never served."""
    m = mount(big)
    assert sha256sum(blob(m, big)) == big.layer
    m.unmount()
    path = files(m)[0]
    assert os.path.getsize(path) >= 8 * MIB
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 1]))
    m.restart()
    try:
        assert read_file(blob(m, big)) == big.truth
    except OSError as e:
        assert errno_of(read_file, blob(m, big)) in (None, "EBADMSG"), e


def test_blob_files_gone(mount, big):
    """The files were deleted, the database was not."""
    m = mount(big)
    assert sha256sum(blob(m, big)) == big.layer
    m.unmount()
    for path in files(m):
        if path not in databases(m):
            os.unlink(path)
    m.restart()
    assert sha256sum(blob(m, big)) == big.layer


def test_cache_deleted_while_running(mount, big):
    m = mount(big)
    assert read_at(blob(m, big), 0, 4096) == big.truth[:4096]
    shutil.rmtree(m.folder / "cache")
    assert read_file(blob(m, big)) == big.truth
    assert read_file(m / "a/_tags/1.4/index.json")


def test_two_mounts_one_cache(mount, big):
    """The second is told that it may not, and who is there: once."""
    one = mount(big)
    assert read_file(blob(one, big)) == big.truth
    point = one.folder / "second"
    point.mkdir()
    options = {**one.options, "cache_dir": one.folder / "cache"}
    words = [program(), "-f", "-o", option_text(options), big.address, str(point)]
    done = subprocess.Popen(words, stderr=subprocess.PIPE, env=one.env, text=True)
    try:
        assert done.wait(15) == 2
        [line] = done.stderr.read().splitlines()
        assert f"process {one.process.pid}" in line and "cache_dir" in line
    finally:
        run("fusermount3", "-u", point, check=False)
        if done.poll() is None:
            done.terminate()
            done.wait(10)
        done.stderr.close()
    assert read_file(blob(one, big)) == big.truth


def test_size_limit(mount, emu):
    """More than the cache may hold passes through; the disk use is bounded."""
    digests = [emu.call("blob_pattern", repo="a", size=6 * MIB, seed=i)
               for i in range(5)]
    m = mount(emu, cache_size="8M")
    for digest in digests + digests[:1]:
        assert sha256sum(m / f"a/_blobs/{digest}") == digest

    def used():
        return sum(os.stat(p).st_blocks * 512 for p in files(m)) < 16 * MIB

    wait_until(used, 15, "eviction")


def test_blob_larger_than_the_cache(mount, big):
    m = mount(big, cache_size="2M")
    assert read_file(blob(m, big)) == big.truth


def test_cache_is_private(mount, big):
    m = mount(big)
    assert read_file(blob(m, big))
    mode = stat.S_IMODE(os.stat(m.folder / "cache").st_mode)
    assert mode & 0o077 == 0


def test_disk_full(mount, big, memory):
    """A cache on a full disk: reading goes on."""
    if os.geteuid() != 0:
        absent("mounting a small tmpfs needs root")
    small = memory / "small"
    small.mkdir()
    if run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small,
           check=False).returncode:
        absent("tmpfs cannot be mounted here")
    try:
        m = mount(big, cache_dir=small / "cache")
        assert read_file(blob(m, big)) == big.truth
        m.unmount()
    finally:
        run("umount", "-l", small, check=False)
        small.rmdir()
