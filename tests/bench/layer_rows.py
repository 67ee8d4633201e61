# SPDX-License-Identifier: Apache-2.0
"""The rows about looking inside layers: index, single files, whole trees."""
import contextlib
import io
import os
import random
import shutil
import statistics
import subprocess
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

import peers
from rig import MIB, digest_of, shell
from rows import REPO, Row

# Parts of this system, taken until there is enough for about 130 MiB of gzip.
TREES = ("/usr/share/perl", "/usr/share/zoneinfo", "/usr/share/terminfo",
         "/usr/lib/python3",
         "/usr/lib/python3.11", "/usr/share/vim", "/usr/lib/git-core", "/usr/share/doc",
         "/usr/lib/gcc", "/usr/include", "/usr/bin", "/usr/lib/x86_64-linux-gnu",
         "/usr/share", "/usr/lib")
TAR_BYTES = 310 * MIB
FILES = 100_000
BUILD = {"curl \\| gzip -dc \\| tar t": 1 / 0.30,
         "curl \\| igzip -dc \\| tar t": 1 / 0.65}
RSS_LIMIT = 64


@dataclass
class Layer:
    digest: str
    size: int
    tar_size: int
    image: str                          # the manifest's digest
    tag: str
    names: list                         # regular files of some size
    url: str
    folder: Path                        # the same, unpacked on disk


def real_tar(rig, path):
    """A tar of parts of /usr, up to a size."""
    left, seen = rig.bytes(TAR_BYTES), set()
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for top in TREES:
            for folder, dirs, names in os.walk(top):
                dirs.sort()
                for name in [folder, *(os.path.join(folder, n) for n in sorted(names))]:
                    if name in seen or left <= 0 or not os.path.lexists(name):
                        continue
                    seen.add(name)
                    info = tar.gettarinfo(name, name[1:])
                    if info is None:
                        continue
                    left -= info.size if info.isreg() else 0
                    with open(name, "rb") if info.isreg() else io.BytesIO() as f:
                        tar.addfile(info, f)


def many_tar(rig, path):
    """Very many small files."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        dice = random.Random(5)
        for n in range(rig.count(FILES)):
            if n % 1000 == 0:
                info = tarfile.TarInfo(f"d{n // 1000:03}")
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            data = dice.randbytes(40).hex().encode()
            info = tarfile.TarInfo(f"d{n // 1000:03}/file-{n:06}")
            info.size, info.mtime = len(data), 1714557600
            tar.addfile(info, io.BytesIO(data))


def layer(rig, tag, write):
    """A layer in the registry as team/app:TAG, and its tree on disk."""
    def make():
        path = rig.folder / f"{tag}.tar"
        write(rig, path)
        blob = subprocess.run(["gzip", "-6", "-n", "-c", path], check=True,
                              stdout=subprocess.PIPE).stdout
        data = path.read_bytes()
        registry = rig.registry()
        image = registry.add_image(REPO, tag, [digest_of(data)], [blob])
        folder = rig.folder / tag
        folder.mkdir()
        subprocess.run(["tar", "-C", folder, "-xpf", path], check=True)
        with tarfile.open(path) as tar:
            names = [m.name for m in tar if m.isreg() and m.size >= 4096]
        path.unlink()
        digest = digest_of(blob)
        return Layer(digest, len(blob), len(data), image, tag, names,
                     registry.url(REPO, digest), folder)
    return rig.once(("layer", tag), make)


def real(rig):
    return layer(rig, "usr", real_tar)


def many(rig):
    return layer(rig, "many", many_tar)


def inside(m, which):
    return m.point / REPO / "_layers" / which.digest


def rootfs(m, which):
    return m.point / REPO / "_rootfs" / which.image


def index_bytes(m):
    return sum(p.stat().st_size for p in (m.cache / "trees").rglob("*") if p.is_file())


def evict(cache):
    """All blobs' bytes are gone, what was learnt of them stays."""
    for path in (cache / "blobs").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


# -- the index ---------------------------------------------------------------------

def index_usr(rig):
    """first look into a plain .tar.gz layer of some 130 MiB, loopback"""
    return index(rig, real(rig), "of files of /usr", BUILD)


def index_many(rig):
    """first look into a layer of 100,000 small files"""
    return index(rig, many(rig), f"of {rig.count(FILES):,} small files", {})


def index(rig, which, what, targets):
    registry = rig.registry()
    row = Row(f"ls of a new layer {what}, {which.size / MIB:.0f} MiB .tar.gz",
              targets=targets)
    for _ in range(rig.rounds):
        for tool in ("gzip", "igzip"):
            row.peer(f"curl \\| {tool} -dc \\| tar t",
                     shell("curl -sf $URL | $T -dc | tar tf -", URL=which.url, T=tool))
        with rig.mount(registry.address) as m:
            since = registry.mark()
            row.ours.append(shell("ls $D", D=str(inside(m, which))))
            row.requests, row.bytes = registry.traffic(since)
            row.saw(m)
            size = index_bytes(m)
    row.limits = [("index, % of the layer", 100 * size / which.size, 3.5),
                  ("bytes fetched / size", row.bytes / which.size, 1.01),
                  ("peak RSS, MiB", row.rss / MIB, RSS_LIMIT)]
    if what != "of files of /usr":      # entries, not restart points, are its size
        row.limits[0] = ("index, bytes for each file", size / rig.count(FILES), 200)
    return row


# -- one file ----------------------------------------------------------------------

def cat_never_seen(rig):
    """one file of an image never seen, plain gzip"""
    which, registry = real(rig), rig.registry()
    name = which.names[len(which.names) // 2]
    row = Row("cat of one file, image never seen")
    for _ in range(rig.rounds):
        row.peer("curl \\| igzip -dc \\| tar x that file",
                 shell("curl -sf $URL | igzip -dc | tar xOf - $N", URL=which.url,
                       N=name))
        for peer, pull in (("podman pull", peers.podman_pull),
                           ("containerd: ctr images pull", peers.containerd_pull),
                           ("skopeo copy, umoci unpack", peers.umoci_unpack)):
            seconds = pull(rig, registry.address, f"{REPO}:{which.tag}")
            if seconds is not None:
                row.peer(peer, seconds)
        with rig.mount(registry.address) as m:
            since = registry.mark()
            row.ours.append(shell("cat $F", F=str(
                m.point / REPO / "_tags" / which.tag / "rootfs" / name)))
            row.requests, row.bytes = registry.traffic(since)
            row.saw(m)
    row.limits = [("seconds", statistics.median(row.ours), 2),
                  ("bytes fetched / size", row.bytes / which.size, 1.01)]
    return row


def indexed(rig, which):
    """A cache that knows the layer and the image and holds no blob."""
    def make():
        cache = rig.folder / f"cache-{which.tag}"
        with rig.mount(rig.registry().address, cache=cache) as m:
            shell("ls $D; ls $R", D=str(inside(m, which)), R=str(rootfs(m, which)))
        return cache
    cache = rig.once(("indexed", which.tag), make)
    evict(cache)
    return cache


def cat_evicted(rig):
    """one file of an image indexed before, its blobs evicted"""
    return cat_again(rig, rig.registry().address, "loopback", 50)


def cat_evicted_link(rig):
    """the same over a line of 30 ms and 1 Gb/s"""
    return cat_again(rig, rig.link(rig.registry().address), "30 ms", 300)


def cat_again(rig, address, what, limit_ms):
    which, registry = real(rig), rig.registry()
    dice = random.Random(7)
    row = Row(f"cat of one file, indexed and evicted, {what}", unit="ms")
    most = 0
    for n in range(max(5, rig.rounds)):
        name = dice.choice([x for x in which.names if os.path.getsize(
            which.folder / x) < 100_000])
        if n == 0:
            row.peer("curl \\| igzip -dc \\| tar x that file",
                     shell("curl -sf $URL | igzip -dc | tar xOf - $N",
                           URL=which.url.replace(registry.address, address), N=name))
        with rig.mount(address, cache=indexed(rig, which)) as m:
            os.listdir(rootfs(m, which))
            since = registry.mark()
            row.ours.append(shell("cat $F", F=str(rootfs(m, which) / name)))
            row.requests, row.bytes = registry.traffic(since)
            most = max(most, row.requests)
            row.saw(m)
    row.limits = [("ms", 1000 * statistics.median(row.ours), limit_ms),
                  ("requests at most", most, 2), ("MiB fetched", row.bytes / MIB, 1)]
    return row


def random_evicted(rig):
    """4 KiB reads at random places of files of an indexed, evicted gzip layer"""
    which, registry = real(rig), rig.registry()
    row = Row("random 4 KiB of an indexed, evicted .tar.gz, each", unit="ms",
              targets={"gzip -dc of the layer": 1000})
    blob = subprocess.run(["curl", "-sf", which.url], stdout=subprocess.PIPE,
                          check=True).stdout
    copy = rig.memory / "layer.gz"
    copy.write_bytes(blob)
    row.peer("gzip -dc of the layer", shell("gzip -dc $F", F=str(copy)))
    copy.unlink()
    dice = random.Random(3)
    with rig.mount(registry.address, cache=indexed(rig, which)) as m:
        top = inside(m, which)
        os.listdir(top)
        since = registry.mark()
        for name in dice.sample(which.names, min(100, len(which.names))):
            size = os.path.getsize(which.folder / name)
            off = dice.randrange(size - 4095)
            start = time.monotonic()
            fd = os.open(top / name, os.O_RDONLY)
            os.pread(fd, 4096, off)
            row.ours.append(time.monotonic() - start)
            os.close(fd)
        row.requests, row.bytes = registry.traffic(since)
        row.saw(m)
    slowest = sorted(row.ours)[len(row.ours) * 95 // 100]
    row.limits = [("p95, ms", 1000 * slowest, 20),
                  ("requests per read", row.requests / len(row.ours), 2),
                  ("bytes fetched / size", row.bytes / which.size, 1.2),
                  ("peak RSS, MiB", row.rss / MIB, RSS_LIMIT)]
    return row


# -- whole trees -------------------------------------------------------------------

def others(rig, which, command):
    """What else can show the tree, mounted: {name: context}"""
    found = {"squashfuse": peers.squashfuse(rig, which.folder)}
    if command.startswith("find"):      # readlink(2) fails in a passive sshfs
        found["sshfs"] = peers.sshfs(rig, which.folder)
    return found


def trees(rig, row, which, command, warm):
    """The same command on the merged tree and on others, in turns."""
    cache, local = indexed(rig, which), str(which.folder)
    shell(command, D=local)
    if warm:
        with rig.mount(rig.registry().address, cache=cache) as m, \
                contextlib.ExitStack() as stack:
            points = {"ext4, warm": local, "": rootfs(m, which)}
            for name, context in others(rig, which, command).items():
                if point := stack.enter_context(context):
                    points[name] = point
            for point in points.values():
                shell(command, D=str(point))
            for _ in range(max(3, rig.rounds)):
                for name, point in points.items():
                    row.measured(name, shell(command, D=str(point)))
            row.saw(m)
        return row
    for _ in range(rig.rounds):
        row.peer("ext4, warm", shell(command, D=local))
        for name, context in others(rig, which, command).items():
            with context as point:
                if point:
                    row.peer(name, shell(command, D=str(point)))
        with rig.mount(rig.registry().address, cache=cache) as m:
            row.ours.append(shell(command, D=str(rootfs(m, which))))
            row.saw(m)
    return row


def find_warm(rig):
    """find over a rootfs, warm"""
    return trees(rig, Row("find over the rootfs, warm", targets={"ext4, warm": 2}),
                 real(rig), "find $D", True)


def find_cold(rig):
    """find over a rootfs after a new mount, indexed"""
    return trees(rig, Row("find over the rootfs, new mount, indexed",
                          targets={"ext4, warm": 0.25}), real(rig), "find $D", False)


def ls_tree_warm(rig):
    """ls -lR of a rootfs, warm"""
    return trees(rig, Row("ls -lR of the rootfs, warm", targets={"ext4, warm": 0.8}),
                 real(rig), "ls -lR $D", True)


def ls_tree_cold(rig):
    """ls -lR of a rootfs after a new mount, indexed"""
    return trees(rig, Row("ls -lR of the rootfs, new mount, indexed",
                          targets={"ext4, warm": 0.25}), real(rig), "ls -lR $D", False)


def find_many(rig):
    """find over 100,000 small files after a new mount, indexed"""
    row = trees(rig, Row(f"find over {rig.count(FILES):,} files, new mount, indexed",
                         targets={"ext4, warm": 0.25}), many(rig), "find $D", False)
    row.limits = [("peak RSS, MiB", row.rss / MIB, 2 * RSS_LIMIT)]
    return row


def tar_warm(rig):
    """tar c of a rootfs whose files were all read before"""
    return trees(rig, Row("tar c of the rootfs, warm"), real(rig),
                 "tar -C $D -cf - . | cat", True)


def tar_evicted(rig):
    """tar c of a rootfs, indexed, blobs evicted: everything is fetched again"""
    which, registry = real(rig), rig.registry()
    row = Row("tar c of the rootfs, indexed and evicted")
    for _ in range(rig.rounds):
        row.peer("curl \\| gzip -dc",
                 shell("curl -sf $URL | gzip -dc | cat", URL=which.url))
        row.peer("ext4, warm", shell("tar -C $D -cf - . | cat", D=str(which.folder)))
        with rig.mount(registry.address, cache=indexed(rig, which)) as m:
            since = registry.mark()
            row.ours.append(shell("tar -C $D -cf - . | cat", D=str(rootfs(m, which))))
            row.requests, row.bytes = registry.traffic(since)
            row.saw(m)
    row.limits = [("bytes fetched / size", row.bytes / which.size, 1.1),
                  ("peak RSS, MiB", row.rss / MIB, RSS_LIMIT)]
    return row


ROWS = [index_usr, index_many, cat_never_seen, cat_evicted, cat_evicted_link,
        random_evicted, find_warm, find_cold, ls_tree_warm, ls_tree_cold, find_many,
        tar_warm, tar_evicted]
