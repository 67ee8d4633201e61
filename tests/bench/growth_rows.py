# SPDX-License-Identifier: Apache-2.0
"""Rows that show growth: ten times as much of something, and what one of them
costs then.  The peer is the mount itself with a tenth, so a ratio of 1 means that
nothing is lost by size, and the peak RSS may not follow.
"""
import gzip
import io
import os
import shutil
import subprocess
import tarfile
import time

from rig import MIB, digest_of
from rows import TAGS, Row, listing, tag_source

TENTH = "a tenth of it"
LOSS = 0.8                              # of the speed that may be lost
RSS_GROWTH = 2.0                        # of the peak, for ten times as much


def grown(rig, row, small, large, measure):
    """measure(n) -> (seconds, peak RSS) for n of something."""
    peaks = {small: [], large: []}
    for _ in range(rig.rounds):
        for n in (small, large):
            seconds, rss = measure(n)
            peaks[n].append(rss)
            (row.ours.append if n == large else
             lambda s: row.peer(TENTH, s))(seconds / n)
    row.rss = max(peaks[large])
    row.targets = {TENTH: LOSS}
    row.limits = [("peak RSS / that of a tenth", row.rss / max(peaks[small]), RSS_GROWTH)]
    return row


def tags_tenfold(rig):
    """one of 100,000 tags against one of 10,000"""
    small, large = rig.count(TAGS // 10), rig.count(TAGS)
    tag_source(rig)
    emu = tag_source(rig, "team/few", TAGS // 10)

    def measure(n):
        repo = "many" if n == large else "few"
        with rig.mount(emu.address) as m:
            _, seconds, found = listing(m.point / f"team/{repo}/_tags")
            if found != n:
                raise RuntimeError(f"{found} tags of {n}")
            return seconds, m.peak_rss()

    return grown(rig, Row(f"each of {large:,} tags listed", unit="µs"), small, large,
                 measure)


def small_layer(files, mark):
    """A gzip layer of small files: the digest of its tar, its bytes."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for n in range(files):
            info = tarfile.TarInfo(f"d{n // 1000:03}/file-{n:06}-{mark}")
            body = f"{mark}-{n}".encode()
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return digest_of(data.getvalue()), gzip.compress(data.getvalue(), 6, mtime=0)


def image_of(rig, tag, layers, files):
    """An image of so many layers of so many files: its manifest's digest."""
    def make():
        made = [small_layer(files, i) for i in range(layers)]
        return rig.registry().add_image("team/grown", tag, [d for d, _ in made],
                                        [b for _, b in made])
    return rig.once(("grown", tag), make)


def find_rootfs(rig, digest):
    """The first look, index and all: (seconds, peak RSS)."""
    with rig.mount(rig.registry().address) as m:
        start = time.monotonic()
        subprocess.run(["find", m.point / "team/grown/_rootfs" / digest], check=True,
                       stdout=subprocess.DEVNULL)
        return time.monotonic() - start, m.peak_rss()


def files_tenfold(rig):
    """one of 100,000 files of a new layer against one of 10,000"""
    count = rig.count(100_000)
    return grown(rig, Row(f"each of {count:,} files found in a new layer", unit="µs"),
                 count // 10, count,
                 lambda n: find_rootfs(rig, image_of(rig, f"files-{n}", 1, n)))


def layers_tenfold(rig):
    """one of 120 layers merged against one of 12"""
    return grown(rig, Row("each of 120 new layers of 100 files merged", unit="ms"),
                 12, 120, lambda n: find_rootfs(rig, image_of(rig, f"layers-{n}", n, 100)))


def readers_tenfold(rig):
    """one of 200 readers of a cold blob against one of 20"""
    digest, size = rig.blob(64 * MIB)

    def measure(n):
        with rig.mount(rig.registry().address) as m:
            path = m.blob("team/app", digest)
            start = time.monotonic()
            readers = [subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL)
                       for _ in range(n)]
            if any([p.wait(600) for p in readers]):
                raise RuntimeError("a reader failed")
            return time.monotonic() - start, m.peak_rss()

    return grown(rig, Row(f"each of 200 readers of one cold blob of {size // MIB} MiB",
                          unit="ms"), 20, 200, measure)


def bytes_tenfold(rig):
    """one MiB of a cold blob of 2 GiB against one of 200 MiB"""
    sizes = [rig.blob(n << 20) for n in (200, 2000)]

    def measure(mib):
        digest = next(d for d, size in sizes if size == mib * MIB)
        with rig.mount(rig.registry().address) as m:
            start = time.monotonic()
            with open(os.devnull, "wb") as sink, open(m.blob("team/app", digest),
                                                      "rb", buffering=0) as f:
                shutil.copyfileobj(f, sink, MIB)
            return time.monotonic() - start, m.peak_rss()

    small, large = (size // MIB for _, size in sizes)
    return grown(rig, Row(f"each MiB of a cold blob of {large} MiB", unit="ms"),
                 small, large, measure)


def blobs_tenfold(rig):
    """one of 400 small blobs pushed against one of 40"""
    target = rig.registry("second")

    def measure(n):
        folder = rig.folder / f"pushed-{n}-{time.monotonic_ns()}"
        folder.mkdir()
        for i in range(n):
            body = f"{folder} {i}".encode() * 64
            (folder / digest_of(body)).write_bytes(body)
        with rig.mount(target.address) as m:
            start = time.monotonic()
            subprocess.run(["cp", "-r", "--", *folder.iterdir(),
                            m.point / "team/pushed/_blobs"], check=True)
            seconds = time.monotonic() - start
            shutil.rmtree(folder)
            return seconds, m.peak_rss()

    return grown(rig, Row("each of 400 small blobs pushed", unit="ms"), 40, 400, measure)


ROWS = [tags_tenfold, files_tenfold, layers_tenfold, readers_tenfold, bytes_tenfold,
        blobs_tenfold]
