# SPDX-License-Identifier: Apache-2.0
"""Many images looked into: what they cost, and what is lost while nobody looks.

Whoever holds a directory keeps what is behind it known to the daemon; its
indexes are closed meanwhile, and opened again."""
import errno
import os
import random

import pytest

from tarmaker import Layer, build, by_gnu_tar
from tools import errno_of, need, run, timed, wait_until

COUNT = int(os.environ.get("RFS_TEST_IMAGES", "150"))
REPO = "many/app"


def limited(files):
    need("prlimit")
    return ["prlimit", f"--nofile={files}:{files}"]


class Sample:
    """One image, and what GNU tar makes of its layers."""

    def __init__(self, folder, number, files=4, big=0):
        self.truth = folder / f"truth{number}"
        self.truth.mkdir(parents=True)
        layers = []
        for n in range(2):
            place = folder / f"l{number}-{n}"
            (place / "d").mkdir(parents=True)
            for i in range(files):
                (place / f"d/f{n}-{i}").write_bytes(b"%d %d %d\n" % (number, n, i) * 40)
            (place / "same").write_bytes(b"%d of %d" % (n, number))
            if big and n == 0:
                (place / "big").write_bytes(random.Random(number).randbytes(big))
            layers.append(Layer(by_gnu_tar(place)))
            run("tar", "-xf", "-", "-C", self.truth, text=False, input=layers[n].tar)
        self.image = build(folder / f"i{number}", layers)
        self.files = sorted(str(p.relative_to(self.truth))
                            for p in self.truth.rglob("*") if p.is_file())
        self.root = None
        self.held = {}                  # path -> (descriptor, inode number)

    def look(self, mount):
        self.leave()
        self.root = os.open(mount / f"{REPO}/_rootfs/{self.image.digest}",
                            os.O_PATH | os.O_DIRECTORY)
        assert self.names("d") == sorted(os.listdir(self.truth / "d"))

    def names(self, path="."):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.root)
        try:
            return sorted(os.listdir(fd))
        finally:
            os.close(fd)

    def open(self, path):
        return os.open(path, os.O_RDONLY, dir_fd=self.root)

    def hold(self, path):
        fd = self.open(path)
        self.held[path] = (fd, os.fstat(fd).st_ino)

    def read(self, path, fd=None):
        """All of it, from the daemon and not from the kernel's cache."""
        own = fd if fd is not None else self.open(path)
        try:
            os.posix_fadvise(own, 0, 0, os.POSIX_FADV_DONTNEED)
            return os.pread(own, 1 << 24, 0)
        finally:
            if fd is None:
                os.close(own)

    def check(self):
        for path in self.files:
            assert self.read(path) == (self.truth / path).read_bytes(), path
        assert self.names() == sorted(os.listdir(self.truth))
        for path, (fd, ino) in self.held.items():
            assert self.read(path, fd) == (self.truth / path).read_bytes(), path
            assert os.stat(path, dir_fd=self.root).st_ino == ino

    def close(self):
        for fd, _ in self.held.values():
            os.close(fd)
        self.held = {}
        self.leave()

    def leave(self):
        if self.root is not None:
            os.close(self.root)
        self.root = None

    def trees(self, mount):
        """The files of its indexes."""
        names = [f"rootfs-{self.image.digest}"] + [
            f"layer-{x.digest}" for x in self.image.layers]
        found = [mount.folder / "cache/trees" / n.replace(":", "-") for n in names]
        assert all(p.is_file() for p in found)
        return found


@pytest.fixture
def samples(emu, tmp_path):
    """samples(count, …) -> [Sample]; closed before the mount goes."""
    made = []

    def make(count, **options):
        for _ in range(count):
            made.append(Sample(tmp_path / "samples", len(made), **options))
            made[-1].image.fill(emu, REPO, f"v{len(made)}")
        return made[-count:]

    yield make
    for sample in made:
        sample.close()


@pytest.fixture
def small(mount):
    """A mount that may have few files open; its samples are closed before."""
    def start(source, files, **options):
        return mount(source, under=limited(files), **options)
    return start


# -- what they cost ----------------------------------------------------------------

def test_few_descriptors(emu, small, samples):
    """More images are held than the daemon may have files open."""
    m = small(emu, 128)
    some = samples(COUNT)
    peak = 0
    for n, sample in enumerate(some):
        sample.look(m)
        if n % 15 == 0:
            sample.hold("same")
            assert os.pread(sample.held["same"][0], 1, 0) == b"1"
        peak = max(peak, m.descriptors())
    for sample in reversed(some):
        sample.check()
        peak = max(peak, m.descriptors())
    assert peak < 110
    assert "open files" not in m.log()


def test_descriptors_do_not_grow(emu, mount, samples):
    """Nor where nothing forbids it."""
    m = mount(emu)
    counts = []
    for sample in samples(COUNT // 2):
        sample.look(m)
        sample.check()
        counts.append(m.descriptors())
    # 64 indexes, and as many blobs that nobody reads.
    assert max(counts) < 64 + 64 + 40
    third = len(counts) // 3
    assert max(counts[-third:]) <= max(counts[:-third]) + 8


def test_no_descriptors_left(emu, small, samples):
    """Who holds more files than there can be is told so; then all is well again."""
    m = small(emu, 64)
    some = samples(60, files=1)
    failed = set()
    for sample in some:
        try:
            sample.look(m)
            sample.hold("same")
            os.pread(sample.held["same"][0], 1, 0)
        except OSError as e:
            failed.add(errno.errorcode[e.errno])
    assert failed and failed <= {"ENFILE", "EIO", "EREMOTEIO"}, failed
    # What needs no descriptor is answered all the same.
    seconds, text = timed(m.status, "status")
    assert "registryfs" in text and seconds < 2
    for sample in some:
        sample.close()
    # The daemon hears of each close by itself, some time later.
    for sample in some:
        wait_until(lambda s=sample: errno_of(s.look, m) is None, 10, "a look")
        wait_until(lambda s=sample: errno_of(s.check) is None, 10, "all is well")
        sample.close()
    assert m.process.poll() is None


# -- what is lost while nobody looks -----------------------------------------------

def park(others, mount):
    """Others are looked into until what was there before is closed."""
    for other in others:
        other.close()
        other.look(mount)
        other.check()


def flip(path, page):
    with open(path, "r+b") as f:
        f.seek(page * 4096 + 100)
        byte = f.read(1)
        f.seek(page * 4096 + 100)
        f.write(bytes([byte[0] ^ 0x55]))


def flip_everywhere(path):
    for page in range(1, path.stat().st_size // 4096):
        flip(path, page)


def cut(path):
    with open(path, "r+b") as f:
        f.truncate(path.stat().st_size // 2)


def remove(path):
    path.unlink()


def replace(path):
    data = path.read_bytes()
    path.unlink()
    path.with_suffix(".new").write_bytes(data)
    path.with_suffix(".new").rename(path)


@pytest.mark.parametrize("which", [slice(0, 1), slice(1, 3), slice(0, 3)],
                         ids=["rootfs", "layers", "both"])
@pytest.mark.parametrize("harm", [flip_everywhere, cut, remove, replace])
def test_lost_while_closed(emu, small, samples, harm, which):
    """Nobody notices, whoever has files open and whoever comes anew."""
    m = small(emu, 64)
    one, *others = samples(10)
    one.look(m)
    for path in one.files[:3]:
        one.hold(path)
        one.read(path, one.held[path][0])
    park(others, m)
    for path in one.trees(m)[which]:
        harm(path)
    one.check()
    park(others, m)
    one.check()


def test_each_page_damaged(emu, mount, samples):
    """The first look after a restart finds one page of an index damaged."""
    m = mount(emu)
    one, = samples(1, files=60, big=4 << 20)
    one.look(m)
    one.check()
    for path in one.trees(m):
        for page in range(0, path.stat().st_size // 4096,
                          max(1, path.stat().st_size // 4096 // 6)):
            one.close()
            m.unmount()
            flip(path, page)
            m.restart()
            one.look(m)
            one.check()


def test_damaged_in_use(emu, small, samples):
    """Pages that were never read are damaged under a file that is being read."""
    m = small(emu, 64)
    one, = samples(1, big=8 << 20)
    others = samples(9)
    one.look(m)
    one.hold("big")
    assert os.pread(one.held["big"][0], 4096, 0)
    park(others, m)
    assert os.pread(one.held["big"][0], 4096, 0)
    for path in one.trees(m):
        flip_everywhere(path)
    for path in one.files:
        assert one.read(path) == (one.truth / path).read_bytes(), path
    one.check()
