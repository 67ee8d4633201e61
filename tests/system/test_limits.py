# SPDX-License-Identifier: Apache-2.0
"""Little of everything: descriptors, disk, file sizes, threads, memory, processors.
Right bytes or a clear error, and all of it again once there is enough."""
import errno
import os
import random
import resource
import shutil
import signal
from pathlib import Path

import mounting
import pytest
from emupush import check_held, has_blob
from images import Layout, make_tar
from tools import absent, need, read_file, run, sha256, wait_until

MIB = 1 << 20
NOISE = random.Random(17).randbytes(5 * MIB)
FILES = {f"d/f{i}": NOISE[i * 7000:i * 7000 + 5000 + i] for i in range(120)}
# What a lack of something may come to.
CLEAR = {errno.ENOSPC, errno.EIO, errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE,
         errno.EFBIG, errno.EBUSY, errno.EDQUOT, errno.ETIMEDOUT}


class Limited(mounting.Mount):
    """A daemon that is started by another program, which limits it."""

    def __init__(self, folder, source, by, **options):
        self.by = by
        super().__init__(folder, source, **options)

    def command(self):
        return [*self.by, *super().command()]


class Work:
    """Reading, looking inside and writing; what it came to is counted."""

    def __init__(self, emu, folder):
        self.emu, self.turn = emu, 0
        layout = Layout(folder / "image")
        self.image = layout.finish(layout.add_image([make_tar(
            [("d", None, 0o755)] + [(n, d, 0o644) for n, d in FILES.items()])]), "1")
        self.image.fill(emu, "a", "1")
        self.digest = emu.add_blob("a", NOISE)
        self.folder, self.errors = folder, []

    def attempt(self, action, *args):
        try:
            return action(*args)
        except OSError as e:
            assert e.errno in CLEAR, f"{action.__name__}: {e!r}"
            self.errors.append(f"{action.__name__} {errno.errorcode[e.errno]}")
            return None

    def all(self, m):
        """Once; the errors there were."""
        self.errors, self.turn = [], self.turn + 1
        for action in (self.read, self.inside, self.many, self.write):
            self.attempt(action, m)
        assert m.process.poll() is None, f"the daemon left:\n{m.log()[-3000:]}"
        return self.errors

    def read(self, m):
        assert read_file(m / f"a/_blobs/{self.digest}") == NOISE

    def inside(self, m):
        top = m / f"a/_rootfs/{self.image.digest}"
        assert sorted(os.listdir(top / "d")) == sorted(n[2:] for n in FILES)
        for name, data in FILES.items():
            assert read_file(top / name) == data

    def many(self, m):
        """Eighty files open at a time."""
        fds = []
        try:
            for name in list(FILES)[:80]:
                fds.append(os.open(m / f"a/_rootfs/{self.image.digest}" / name,
                                   os.O_RDONLY))
            for fd, data in zip(fds, FILES.values()):
                assert os.pread(fd, 10_000, 0) == data
        finally:
            for fd in fds:
                os.close(fd)

    def write(self, m):
        """A new image; if cp says 0 the registry has it."""
        layout = Layout(self.folder / f"out{self.turn}")
        noise = random.Random(self.turn).randbytes(3 * MIB)
        image = layout.finish(layout.add_image([noise]), "1")
        done = run("cp", "-r", image.folder, m / f"out{self.turn}/_tags/1", check=False)
        if done.returncode == 0:
            check_held(self.emu, f"out{self.turn}", "1", image)
            return
        self.errors.append(f"cp: {done.stderr.strip()}")
        assert any(os.strerror(e) in done.stderr for e in CLEAR), done.stderr

    def recovers(self, m):
        """Soon, without a restart."""
        wait_until(lambda: self.all(m) == [], 20, "everything works again")


@pytest.fixture
def plain(monkeypatch):
    """Sanitizers reserve more than there is: the program without."""
    program = mounting.program_that(lambda path: not mounting.sanitized(path))
    if program is None:
        absent("no program without a sanitizer (REGISTRYFS_PLAIN)")
    monkeypatch.setenv("REGISTRYFS", program)


@pytest.fixture
def work(emulator, tmp_path):
    return Work(emulator("distribution3"), tmp_path)


@pytest.fixture
def limited(tmp_path, work):
    """limited([program, …], option=…) -> Mount of a limited daemon"""
    made = []

    def go(by, **options):
        need(by[0])
        made.append(Limited(tmp_path / "m", work.emu.address, by, timeout=5, **options))
        return made[-1]

    yield go
    for m in made:
        try:
            m.expect_exit = None        # 75, if what failed is left
            m.finish()
        finally:
            m.destroy()


def lift(m, what):
    """Up to the hard limit, which was left as it is."""
    hard = resource.prlimit(m.process.pid, what)[1]
    resource.prlimit(m.process.pid, what, (hard, hard))


def told(what, errors):
    print(f"{what}: {len(errors)} errors {errors[:6]}")


def test_few_descriptors(limited, work):
    m = limited(["prlimit", "--nofile=64"])
    told("64 descriptors", work.all(m))
    work.recovers(m)


def test_small_files(limited, work):
    """SIGXFSZ ends nobody; what cannot be kept is served all the same, or not."""
    m = limited(["prlimit", f"--fsize={MIB}:unlimited"])
    told("files of 1 MiB", work.all(m))
    lift(m, resource.RLIMIT_FSIZE)
    work.recovers(m)


def test_one_processor(limited, work):
    m = limited(["taskset", "-c", str(min(os.sched_getaffinity(0)))])
    assert work.all(m) == []


def test_little_address_space(plain, limited, work):
    m = limited(["prlimit", f"--as={400 * MIB}:unlimited"])
    told("400 MiB of addresses", work.all(m))
    lift(m, resource.RLIMIT_AS)
    work.recovers(m)


@pytest.fixture
def small_disk(tmp_path):
    """16 MiB for the cache, and what is written as well."""
    if os.geteuid() != 0:
        absent("mounting a small tmpfs needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=16M", "tmpfs", folder)
    yield folder
    run("umount", "-l", folder)


def test_small_disk(limited, work, small_disk):
    """Reading goes on whatever fits, now and in the next mount; a disk that is full
    may end writing, which says so."""
    m = limited(["env"], cache_dir=small_disk / "cache", cache_min_free="1M")
    assert work.all(m) == []
    more = random.Random(1).randbytes(24 * MIB)
    digest = work.emu.add_blob("a", more)
    assert read_file(m / f"a/_blobs/{digest}") == more
    source = work.folder / "more"
    source.write_bytes(more[::-1])
    name = sha256(more[::-1])
    done = run("cp", source, m / f"b/_blobs/{name}", check=False)
    assert (done.returncode == 0) == has_blob(work.emu, "b", name), done.stderr
    told("a disk of 16 MiB", [done.stderr.strip()] if done.returncode else [])
    work.read(m)
    work.inside(m)
    m.expect_exit = None
    m.unmount()
    m.start()
    m.expect_exit = None
    work.read(m)
    work.inside(m)
    used = sum(p.stat().st_size for p in small_disk.rglob("*") if p.is_file())
    assert shutil.disk_usage(small_disk).used <= 16 * MIB and used > 0


def fill(folder):
    """Others leave nothing of the disk."""
    with open(folder / "others", "ab", buffering=0) as f:
        for size in (1 << 16, 512):
            while True:
                try:
                    f.write(bytes(size))
                except OSError:
                    break


def test_full_disk(limited, work, small_disk):
    """Writing says ENOSPC, not EROFS, and goes on as soon as there is room."""
    m = limited(["env"], cache_dir=small_disk / "cache", cache_min_free="1M")
    turns = iter(range(100, 200))

    def put():
        data = random.Random(next(turns)).randbytes(1000)
        name = sha256(data)
        (work.folder / "small").write_bytes(data)
        done = run("cp", work.folder / "small", m / f"b/_blobs/{name}", check=False)
        assert (done.returncode == 0) == has_blob(work.emu, "b", name), done.stderr
        assert done.returncode == 0 or os.strerror(errno.ENOSPC) in done.stderr
        return done.returncode == 0

    data = random.Random(1).randbytes(24 * MIB)
    digest = work.emu.add_blob("a", data)
    assert read_file(m / f"a/_blobs/{digest}") == data
    assert put(), "what is cached makes room"
    fill(small_disk)
    assert not put()
    (small_disk / "others").unlink()
    assert put()
    # What is cached makes room for the next mount, too, if only it can.
    m.expect_exit = None
    m.restart()
    assert read_file(m / f"a/_blobs/{digest}") == data
    m.unmount()
    fill(small_disk)
    m.start()
    assert put() or not list(small_disk.glob("cache/blobs/*/*/*"))
    (small_disk / "others").unlink()
    wait_until(put, 10, "room")
    assert read_file(m / f"a/_blobs/{digest}") == data
    m.unmount()
    shutil.rmtree(small_disk / "cache")
    fill(small_disk)
    m.start()
    assert not put()
    assert read_file(m / f"a/_blobs/{digest}") == data
    (small_disk / "others").unlink()
    wait_until(put, 10, "room")
    assert read_file(m / f"a/_blobs/{digest}") == data
    m.restart()
    assert put() and read_file(m / f"a/_blobs/{digest}") == data
    m.expect_exit = None


# -- by control groups --------------------------------------------------------------------

class Group:
    """A control group of one controller, of version 1."""

    def __init__(self, controller):
        top = Path("/sys/fs/cgroup") / controller
        if os.geteuid() != 0 or not os.access(top / "cgroup.procs", os.W_OK):
            pytest.skip(f"no control group for {controller}")
        here = next((line.split(":")[2].strip() for line in open("/proc/self/cgroup")
                     if controller in line.split(":")[1].split(",")), "/")
        self.folder = Path(f"{top}{here}") / f"rfs-test-{os.getpid()}"
        try:
            self.folder.mkdir()
        except OSError as e:
            pytest.skip(f"no control group for {controller}: {e}")

    def set(self, name, value):
        (self.folder / name).write_text(str(value))

    def by(self):
        return ["sh", "-c", f'echo $$ > "{self.folder}/cgroup.procs" && exec "$@"', "sh"]

    def remove(self):
        wait_until(lambda: not (self.folder / "cgroup.procs").read_text(), 10, "empty")
        self.folder.rmdir()


@pytest.fixture
def group(request):
    made = Group(request.param)
    yield made
    for pid in (made.folder / "cgroup.procs").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    made.remove()


@pytest.mark.parametrize("group", ["pids"], indirect=True)
def test_no_threads(limited, work, group):
    """Threads that cannot be made: some calls fail, nobody hangs or dies."""
    group.set("pids.max", 200)
    m = limited(group.by())
    group.set("pids.max", m.threads() + 1)
    told("one thread more", work.all(m))
    group.set("pids.max", "max")
    work.recovers(m)


@pytest.mark.parametrize("group", ["memory"], indirect=True)
def test_little_memory(plain, limited, work, group):
    """256 MiB, page cache and all."""
    group.set("memory.limit_in_bytes", 256 * MIB)
    m = limited(group.by())
    assert work.all(m) == []
    size = 400 * MIB
    digest = work.emu.call("blob_pattern", repo="a", size=size, seed=5)
    assert run("sha256sum", m / f"a/_blobs/{digest}").stdout.split()[0] == digest[7:]
    assert m.process.poll() is None
