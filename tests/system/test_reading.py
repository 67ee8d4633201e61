# SPDX-License-Identifier: Apache-2.0
"""Every way to read a file gives the same bytes."""
import errno
import mmap
import os
import random
import subprocess

import pytest

from tools import errno_of, read_file, run, sha256, sha256sum

MIB = 1 << 20
NOISE = random.Random(21).randbytes(5 * MIB + 4321)


@pytest.fixture
def blob(mount, emu):
    digest = emu.add_blob("a", NOISE)
    path = mount(emu) / f"a/_blobs/{digest}"
    fd = os.open(path, os.O_RDONLY)
    yield path, fd, digest
    os.close(fd)


def test_mmap(blob):
    _, fd, _ = blob
    with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as m:
        assert m[3 * MIB:3 * MIB + 100] == NOISE[3 * MIB:3 * MIB + 100]
        assert m[:] == NOISE


def test_sendfile_and_copy_file_range(blob, tmp_path):
    path, fd, digest = blob
    for copy in (os.sendfile, lambda o, i, at, n: os.copy_file_range(i, o, n, at)):
        with open(tmp_path / "copy", "wb") as out:
            at = 0
            while at < len(NOISE):
                try:
                    at += copy(out.fileno(), fd, at, len(NOISE) - at)
                except OSError as e:        # between file systems: not everywhere
                    assert e.errno in (errno.EXDEV, errno.EOPNOTSUPP)
                    break
        if at == len(NOISE):
            assert sha256sum(tmp_path / "copy") == digest


def test_edges(blob):
    _, fd, _ = blob
    size = len(NOISE)
    assert os.pread(fd, 10, size) == b"" and os.pread(fd, 10, size + 99) == b""
    assert os.pread(fd, 100, size - 3) == NOISE[-3:]
    assert os.lseek(fd, 0, os.SEEK_END) == size
    assert os.lseek(fd, 100, os.SEEK_DATA) == 100
    assert os.lseek(fd, 100, os.SEEK_HOLE) == size
    buffers = [bytearray(7), bytearray(100_000)]
    assert os.preadv(fd, buffers, 123) == 100_007
    assert bytes(buffers[0] + buffers[1]) == NOISE[123:123 + 100_007]


def test_backwards(blob):
    _, fd, _ = blob
    for at in range(len(NOISE) - 4096, 0, -300_000):
        assert os.pread(fd, 4096, at) == NOISE[at:at + 4096]


def test_dd_and_direct(blob):
    path, _, digest = blob
    for flags in ((), ("iflag=direct",), ("iflag=nonblock",)):
        done = subprocess.run(["dd", f"if={path}", "bs=1M", "status=none", *flags],
                              stdout=subprocess.PIPE, timeout=30)
        if done.returncode == 0:
            assert sha256(done.stdout) == digest
        else:
            assert flags == ("iflag=direct",)


def test_tail_and_cmp(blob, tmp_path):
    path, _, _ = blob
    (tmp_path / "truth").write_bytes(NOISE)
    run("cmp", path, tmp_path / "truth")
    assert run("tail", "-c", "1000", path, text=False).stdout == NOISE[-1000:]


def test_empty_blob(mount, emu):
    digest = emu.add_blob("a", b"")
    path = mount(emu) / f"a/_blobs/{digest}"
    assert path.stat().st_size == 0
    assert read_file(path) == b""


def test_one_byte(mount, emu):
    digest = emu.add_blob("a", b"x")
    assert read_file(mount(emu) / f"a/_blobs/{digest}") == b"x"


def test_no_writing(blob):
    """A blob is what its name says: other bytes are refused."""
    path, _, _ = blob
    fd = os.open(path, os.O_WRONLY)
    assert errno_of(os.pwrite, fd, b"x", 7) == "EPERM"
    os.close(fd)
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
    os.write(fd, b"x")
    assert errno_of(os.close, fd) == "EBADMSG"
    assert errno_of(os.unlink, path) == "EPERM"
    assert read_file(path) == NOISE


def test_storm(mount, emu):
    """Random reads while every third answer is spoilt in some way."""
    digest = emu.add_blob("a", NOISE)
    path = mount(emu, timeout=2, retries=8) / f"a/_blobs/{digest}"
    os.stat(path)
    kinds = [{"drop": "rst"}, {"cut": {"at": 4000}}, {"status": 503},
             {"range_lie": "start"}, {"status": 502, "html": True}, {"drop": "fin"}]
    for turn in range(30):
        emu.fault(path="/blobs/", method="GET", nth=3 * turn + 2, **kinds[turn % 6])
    rng = random.Random(1)
    fd = os.open(path, os.O_RDONLY)
    try:
        for _ in range(40):
            at, n = rng.randrange(len(NOISE)), rng.choice((1, 5000, 200_000))
            assert os.pread(fd, n, at) == NOISE[at:at + n]
    finally:
        os.close(fd)
    assert read_file(path) == NOISE
