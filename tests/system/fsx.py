# SPDX-License-Identifier: Apache-2.0
"""Random operations on files of a mount, beside the truth, as fsx does it.

One seed makes one run: what is done, in which order, to which places.  Whatever
is read is the truth or an honest error, and an error only while the registry
was made to fail.  Temporary files of an image directory are written as well."""
import errno
import mmap
import os
import random
import time
from collections import Counter

from mounting import program
from tools import read_file, run

# What a failing registry may come to, at a file that is known.
HONEST = {errno.EIO, errno.ETIMEDOUT, errno.EBADMSG, errno.ECONNREFUSED}
FAULTS = ({"drop": "rst"}, {"drop": "fin"}, {"cut": {"at": 3000}}, {"status": 503},
          {"status": 502, "html": True}, {"range_lie": "start"}, {"range_lie": "few"},
          {"range_lie": "another"}, {"range_lie": "extra"}, {"flip": 1000},
          {"stall": {"at": 500, "seconds": 0.2}}, {"trickle": {"bytes": 9000, "every": 0}})
MEMORY_S = 8                            # how long a failure may be remembered
READERS, WRITERS = 6, 3                 # files open at a time
PAGE = 4096


class Wrong(AssertionError):
    """With the run that led to it."""


class Reader:
    """An open file and what it holds."""

    def __init__(self, name, path, truth, flags):
        self.name, self.truth, self.flags = name, truth, flags
        self.fd = os.open(path, os.O_RDONLY | flags)
        self.map = None

    def close(self):
        if self.map is not None:
            self.map.close()
        os.close(self.fd)


class Writer:
    """A temporary file, and the bytes it should hold.  What is written is seen by
    who opens the file after a close."""

    def __init__(self, path):
        self.path, self.truth = path, bytearray()
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    def close(self):
        os.close(self.fd)

    def between(self, use):
        """Closed, used by its name, and opened again."""
        os.close(self.fd)
        self.fd = os.open("/dev/null", os.O_RDWR)
        result = use(self.path)
        os.close(self.fd)
        self.fd = os.open(self.path, os.O_RDWR)
        return result


class Fsx:
    """files: {name: truth} beneath the mount; names beneath draft are ours."""

    WEIGHTS = {"pread": 30, "preadv": 8, "read": 8, "mapped": 12, "spliced": 8,
               "sent": 8, "copied": 4, "holes": 8, "direct": 4, "advice": 4, "stat": 4,
               "open": 10, "close": 5, "past_the_end": 4, "write": 10, "cut": 4,
               "read_written": 8, "copy_into": 3, "rename": 3, "remove": 2,
               "fault": 2, "calm": 3, "evict": 1, "drop_caches": 0.5, "remount": 0.2}

    def __init__(self, m, emu, files, evictable, draft, seed, scratch):
        self.m, self.emu, self.files, self.draft = m, emu, files, draft
        self.evictable = evictable
        self.seed, self.dice = seed, random.Random(seed)
        self.names, self.log, self.counts = sorted(files), [], Counter()
        self.readers, self.writers = [], []
        self.failing, self.made, self.calm_since = False, 0, -MEMORY_S
        self.local = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)

    # -- the run -----------------------------------------------------------------
    def run(self, operations):
        kinds, weights = list(self.WEIGHTS), list(self.WEIGHTS.values())
        try:
            for i in range(operations):
                kind = self.dice.choices(kinds, weights)[0]
                self.log.append(f"{i} {kind}")
                self.counts[kind] += 1
                self.one(getattr(self, kind))
            self.calm()
            self.one(self.check_all)
        except (AssertionError, OSError, ValueError) as e:
            tail = "\n".join(self.log[-60:])
            raise Wrong(f"seed {self.seed}, after {len(self.log)} operations: "
                        f"{e!r}\n{tail}\n{self.m.log()[-1500:]}") from e
        finally:
            self.end()
        return self.counts

    def one(self, operation):
        """In the calm what failed a moment ago may fail for some seconds more; the
        operation is done again till it does not."""
        while True:
            try:
                operation()
                return
            except OSError as e:
                if e.errno not in HONEST or not self.troubled():
                    raise
                self.counts["honest errors"] += 1
                self.note(errno.errorcode[e.errno])
            if self.failing:
                return
            time.sleep(0.2)

    def note(self, *words):
        self.log[-1] += " " + " ".join(map(str, words))

    def check_all(self):
        """In the end everything is readable."""
        for name in self.names:
            self.log.append(f"at last {name}")
            self.same(read_file(self.m / name), self.files[name])
        for w in self.writers:
            self.same(os.pread(w.fd, len(w.truth) + 1, 0), w.truth)

    def end(self):
        for each in (*self.readers, *self.writers):
            try:
                each.close()
            except OSError:
                pass                    # it may be what ended the run
        os.close(self.local)
        self.readers, self.writers = [], []

    def troubled(self):
        return self.failing or time.monotonic() < self.calm_since + MEMORY_S

    def read_same(self, got, want):
        """What was read before an error is given out first: short, but not none."""
        if 0 < len(got) < len(want) and self.troubled():
            self.counts["short reads"] += 1
            want = want[:len(got)]
        self.same(got, want)

    def same(self, got, want):
        if bytes(got) == bytes(want):
            return
        at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b),
                  min(len(got), len(want)))
        raise Wrong(f"wrong from byte {at} on: {len(got)} bytes for {len(want)}")

    # -- choices -------------------------------------------------------------------
    def reader(self):
        if not self.readers:
            self.open()
        r = self.dice.choice(self.readers)
        self.note(r.name)
        return r

    def writer(self):
        if len(self.writers) < WRITERS and self.dice.random() < 0.3 or not self.writers:
            self.made += 1
            os.makedirs(self.draft, exist_ok=True)
            self.writers.append(Writer(self.draft / f".tmp{self.made}"))
        w = self.dice.choice(self.writers)
        self.note(w.path.name, len(w.truth))
        return w

    def range(self, size, most=300_000):
        """Any place, with a liking for edges of pages, of chunks and of the file."""
        dice = self.dice
        at = dice.choice((dice.randrange(size + 1), dice.randrange(size + 1), 0,
                          max(0, size - dice.randrange(1, 5000)),
                          dice.randrange(size // PAGE + 1) * PAGE,
                          dice.randrange(size // (1 << 18) + 1) * (1 << 18)))
        at = min(size, max(0, at + dice.choice((0, 0, -1, 1))))
        n = dice.choice((1, 100, PAGE, dice.randrange(1, most), 1 << 17))
        self.note(at, n)
        return at, n

    # -- reading ---------------------------------------------------------------------
    def open(self):
        if len(self.readers) >= READERS:
            self.close()
        name = self.dice.choice(self.names)
        flags = self.dice.choice((0, 0, 0, os.O_DIRECT, os.O_NOATIME, os.O_NONBLOCK))
        self.note(name, flags)
        self.readers.append(Reader(name, self.m / name, self.files[name], flags))

    def close(self):
        if self.readers:
            self.readers.pop(self.dice.randrange(len(self.readers))).close()

    def pread(self):
        r = self.reader()
        at, n = self.range(len(r.truth))
        self.read_same(os.pread(r.fd, n, at), r.truth[at:at + n])

    def preadv(self):
        r = self.reader()
        at, n = self.range(len(r.truth))
        sizes = [self.dice.randrange(1, n + 1) for _ in range(self.dice.randrange(1, 6))]
        buffers = [bytearray(k) for k in sizes]
        got = os.preadv(r.fd, buffers, at)
        self.read_same(b"".join(buffers)[:got], r.truth[at:at + sum(sizes)])

    def read(self):
        """By the file's own place, in pieces."""
        r = self.reader()
        at, n = self.range(len(r.truth))
        os.lseek(r.fd, at, os.SEEK_SET)
        for _ in range(self.dice.randrange(1, 5)):
            piece = os.read(r.fd, n)
            self.read_same(piece, r.truth[at:at + n])
            at += len(piece)
        if os.lseek(r.fd, 0, os.SEEK_CUR) != at:
            raise Wrong("the place in the file is wrong")

    def mapped(self):
        """A map stays as long as its file, whatever is evicted meanwhile.  What
        cannot be read would be SIGBUS, so it is read before."""
        r = self.reader()
        if self.failing or not r.truth:
            return
        if r.map is None:
            r.map = mmap.mmap(r.fd, 0, prot=mmap.PROT_READ, flags=self.dice.choice(
                (mmap.MAP_SHARED, mmap.MAP_PRIVATE)))
        at, n = self.range(len(r.truth))
        if self.dice.random() < 0.2:
            r.map.madvise(self.dice.choice((mmap.MADV_DONTNEED, mmap.MADV_WILLNEED,
                                            mmap.MADV_RANDOM, mmap.MADV_SEQUENTIAL)))
        if len(os.pread(r.fd, n, at)) < len(r.truth[at:at + n]):
            return
        self.same(r.map[at:at + n], r.truth[at:at + n])

    def spliced(self):
        r = self.reader()
        at, n = self.range(len(r.truth), 60_000)
        out, into = os.pipe()
        try:
            got = os.splice(r.fd, into, min(n, 60_000), offset_src=at)
            data = os.read(out, got) if got else b""
        finally:
            os.close(out)
            os.close(into)
        self.same(data, r.truth[at:at + got])
        if got == 0 and at < len(r.truth):
            raise Wrong("splice found an end that is none")

    def into_local(self, call):
        r = self.reader()
        at, n = self.range(len(r.truth))
        os.ftruncate(self.local, 0)
        os.lseek(self.local, 0, os.SEEK_SET)
        got = call(r, at, n)
        if got == 0 and at < len(r.truth):
            raise Wrong("an end that is none")
        self.same(os.pread(self.local, got + 1, 0), r.truth[at:at + got])

    def sent(self):
        self.into_local(lambda r, at, n: os.sendfile(self.local, r.fd, at, n))

    def copied(self):
        """To another file system: it may be refused, not be wrong."""
        try:
            self.into_local(lambda r, at, n: os.copy_file_range(r.fd, self.local, n, at))
        except OSError as e:
            if e.errno not in (errno.EXDEV, errno.EOPNOTSUPP):
                raise

    def holes(self):
        """Data and holes cover the file, and in a hole is nothing but zeros."""
        r = self.reader()
        size = len(r.truth)
        at = self.range(size)[0]
        try:
            data = os.lseek(r.fd, at, os.SEEK_DATA)
        except OSError as e:
            if e.errno != errno.ENXIO:
                raise
            data = size
        if at == size:
            if data != size:
                raise Wrong("data beyond the end")
            return
        hole = os.lseek(r.fd, at, os.SEEK_HOLE)
        if not (at <= data <= size and at <= hole <= size):
            raise Wrong(f"data at {data}, hole at {hole}")
        if any(r.truth[at:data]):
            raise Wrong(f"data from {at} on in what is called a hole up to {data}")

    def direct(self):
        """Aligned, into aligned memory, past the page cache."""
        r = self.reader()
        at = self.range(len(r.truth))[0] // PAGE * PAGE
        with mmap.mmap(-1, 64 * PAGE) as memory:
            fd = os.open(f"/proc/self/fd/{r.fd}", os.O_RDONLY | os.O_DIRECT)
            try:
                got = os.preadv(fd, [memory], at)
            finally:
                os.close(fd)
            self.read_same(memory[:got], r.truth[at:at + 64 * PAGE])

    def advice(self):
        r = self.reader()
        at, n = self.range(len(r.truth))
        os.posix_fadvise(r.fd, at, n, self.dice.choice(
            (os.POSIX_FADV_WILLNEED, os.POSIX_FADV_DONTNEED, os.POSIX_FADV_RANDOM,
             os.POSIX_FADV_SEQUENTIAL, os.POSIX_FADV_NORMAL)))

    def stat(self):
        r = self.reader()
        for s in (os.fstat(r.fd), os.stat(self.m / r.name)):
            if s.st_size != len(r.truth) or s.st_blocks * 512 < s.st_size:
                raise Wrong(f"size {s.st_size}, {s.st_blocks} blocks")

    def past_the_end(self):
        r = self.reader()
        at = len(r.truth) + self.dice.choice((0, 1, PAGE, 1 << 31, 1 << 40))
        self.same(os.pread(r.fd, 5000, at), b"")

    # -- writing -----------------------------------------------------------------------
    def write(self):
        w = self.writer()
        at = min(self.range(len(w.truth))[0], 1 << 20)
        data = self.dice.randbytes(self.dice.choice((1, 10, PAGE, 70_000)))
        grown = at + self.dice.choice((0, 0, 0, 5000)) - len(w.truth)
        at = len(w.truth) + grown if grown > 0 else at
        if os.pwrite(w.fd, data, at) != len(data):
            raise Wrong("a short write")
        w.truth.extend(bytes(max(0, at - len(w.truth))))
        w.truth[at:at + len(data)] = data

    def cut(self):
        w = self.writer()
        size = self.dice.choice((0, len(w.truth) // 2, len(w.truth) + 3000))
        if self.dice.random() < 0.5:
            os.ftruncate(w.fd, size)
        else:
            w.between(lambda path: os.truncate(path, size))
        w.truth = w.truth[:size] + bytes(max(0, size - len(w.truth)))

    def read_written(self):
        w = self.writer()
        at, n = self.range(len(w.truth))
        if self.dice.random() < 0.3:
            self.same(w.between(read_file), w.truth)
        self.same(os.pread(w.fd, n, at), w.truth[at:at + n])
        if os.fstat(w.fd).st_size != len(w.truth):
            raise Wrong(f"size {os.fstat(w.fd).st_size} for {len(w.truth)}")

    def copy_into(self):
        """copy_file_range inside the mount, which only records at first."""
        r, w = self.reader(), self.writer()
        at, n = self.range(len(r.truth))
        to = len(w.truth)
        try:
            got = os.copy_file_range(r.fd, w.fd, n, at, to)
        except OSError as e:
            if e.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP):
                raise
            return
        w.truth.extend(r.truth[at:at + got])
        self.same(os.pread(w.fd, got + 1, to), w.truth[to:])

    def rename(self):
        w = self.writer()
        self.made += 1
        path = w.path.with_name(f".tmp{self.made}")
        os.rename(w.path, path)
        w.path = path

    def remove(self):
        """The file stays readable as long as it is open."""
        if not self.writers:
            return
        w = self.writers.pop(self.dice.randrange(len(self.writers)))
        self.note(w.path.name)
        os.unlink(w.path)
        self.same(os.pread(w.fd, len(w.truth) + 1, 0), w.truth)
        w.close()

    # -- what happens to it ----------------------------------------------------------
    def fault(self):
        kind = self.dice.choice(FAULTS)
        self.note(kind)
        self.failing = True
        self.emu.fault(path="/blobs/", method="GET", nth=self.dice.randrange(1, 4),
                       count=self.dice.randrange(1, 9), **kind)

    def calm(self):
        if self.failing:
            self.emu.clear_faults()
            self.failing, self.calm_since = False, time.monotonic()

    def evict(self):
        name = self.dice.choice(self.evictable)
        self.note(name)
        done = run(program(), "evict", "--force", self.m / name, check=self.failing)
        self.note(done.returncode)

    def drop_caches(self):
        if os.geteuid() != 0:
            return
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write(str(self.dice.choice((1, 2, 3))))

    def remount(self):
        for each in (*self.readers, *self.writers):
            each.close()
        self.readers, self.writers = [], []
        self.m.unmount()
        self.m.expect_exit = None
        self.m.start()
