# SPDX-License-Identifier: Apache-2.0
"""The rows: each a function that takes the rig and returns a Row."""
import json
import http.client
import os
import random
import shutil
import statistics
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import peers
from rig import MIB, drop_pages, shell

GIB = 1 << 30
REPO = "team/app"
TAGS, REPOS = 100_000, 10_000


@dataclass
class Row:
    name: str
    unit: str = "s"                     # of ours and peers: s; ms, µs (kept in s); 1/s
    ours: list = field(default_factory=list)
    peers: dict = field(default_factory=dict)       # name -> measurements
    targets: dict = field(default_factory=dict)     # peer -> least ratio
    limits: list = field(default_factory=list)      # (what, value, at most)
    requests: int = None                # of the last round, for what was measured
    bytes: int = None
    rss: int = None                     # the highest of all rounds

    def peer(self, name, value):
        self.peers.setdefault(name, []).append(value)

    def measured(self, name, value):
        """Of a peer, or ours if the name is empty."""
        (self.peers.setdefault(name, []) if name else self.ours).append(value)

    def ratio(self, peer):
        """How many times as fast as the peer."""
        ours, theirs = statistics.median(self.ours), statistics.median(self.peers[peer])
        return ours / theirs if self.unit == "1/s" else theirs / ours

    def saw(self, mount):
        self.rss = max(self.rss or 0, mount.peak_rss())


def need_size(path, size):
    if os.stat(path).st_size != size:
        raise RuntimeError(f"{path}: size is {os.stat(path).st_size}, not {size}")


def parallel_curl(url, size, part, streams):
    """Seconds that `streams` curls need for ranges of `part` bytes each."""
    def fetch(first):
        last = min(first + part, size) - 1
        subprocess.run(["curl", "-sf", "-o", "/dev/null", "-r", f"{first}-{last}", url],
                       check=True)
    start = time.monotonic()
    with ThreadPoolExecutor(streams) as pool:
        list(pool.map(fetch, range(0, size, part)))
    return time.monotonic() - start


# -- blobs ---------------------------------------------------------------------

def cat_cold(rig):
    """cold sequential cat of a 1 GiB blob, verified, from a loopback registry"""
    digest, size = rig.blob(GIB)
    registry = rig.registry()
    url = registry.url(REPO, digest)
    folder = rig.memory / "plain"
    folder.mkdir()
    shell("curl -sf -o $F $URL", F=str(folder / "blob"), URL=url)
    row = Row(f"cold cat of {size // MIB} MiB, loopback",
              targets={"curl \\| openssl sha256": 1 / 1.1, "curl": 0.5})
    for _ in range(rig.rounds):
        row.peer("curl", shell("curl -sf -o /dev/null $URL", URL=url))
        row.peer("curl \\| openssl sha256",
                 shell("curl -sf $URL | openssl dgst -sha256", URL=url))
        row.peer("curl \\| sha256sum", shell("curl -sf $URL | sha256sum", URL=url))
        kept = rig.folder / "kept"
        row.peer("curl \\| tee, on the cache's disk \\| openssl sha256",
                 shell("curl -sf $URL | tee $F | openssl dgst -sha256", URL=url,
                       F=str(kept)))
        kept.unlink()
        with peers.rclone(rig, folder) as point:
            if point:
                row.peer("rclone mount of the file over http, unverified",
                         shell("cat $F >/dev/null", F=str(point / "blob")))
        with rig.mount(registry.address) as m:
            since = registry.mark()
            row.ours.append(shell("cat $F >/dev/null", F=str(m.blob(REPO, digest))))
            row.requests, row.bytes = registry.traffic(since)
            row.saw(m)
    shutil.rmtree(folder)
    return row


def cat_cold_link(rig):
    """cold sequential cat over a line of 30 ms and 1 Gb/s"""
    digest, size = rig.blob(GIB // 4)
    registry = rig.registry()
    link = rig.link(registry.address)
    url = registry.url(REPO, digest, link)
    row = Row(f"cold cat of {size // MIB} MiB, 30 ms, 1 Gb/s",
              targets={"curl": 1.1, "4 curl -r of 4 MiB at a time": 0.95})
    for _ in range(rig.rounds):
        row.peer("curl", shell("curl -sf -o /dev/null $URL", URL=url))
        row.peer("4 curl -r of 4 MiB at a time",
                 parallel_curl(url, size, 4 * MIB, 4))
        with rig.mount(link) as m:
            since = registry.mark()
            row.ours.append(shell("cat $F >/dev/null", F=str(m.blob(REPO, digest))))
            row.requests, row.bytes = registry.traffic(since)
            row.saw(m)
    return row


def cat_warm(rig):
    """re-reading a blob whose pages the kernel has"""
    digest, size = rig.blob(GIB)
    copy = rig.folder / "copy"
    row = Row(f"warm cat of {size // MIB} MiB", targets={"local file": 0.35})
    with rig.mount(rig.registry().address) as m:
        blob = m.blob(REPO, digest)
        shutil.copyfile(blob, copy)
        for _ in range(rig.rounds):
            for path, put in ((copy, lambda s: row.peer("local file", s)),
                              (blob, row.ours.append)):
                shell("cat $F >/dev/null", F=str(path))
                put(shell("cat $F >/dev/null", F=str(path)))
        row.saw(m)
    copy.unlink()
    return row


def cat_cached(rig):
    """reading a cached blob whose pages the kernel has dropped"""
    digest, size = rig.blob(GIB)
    name = digest.partition(":")[2]
    row = Row(f"cat of {size // MIB} MiB from the cache",
              targets={"the cache's file, its pages warm": 0.10})
    with rig.mount(rig.registry().address) as m:
        blob = m.blob(REPO, digest)
        shell("cat $F >/dev/null", F=str(blob))
        cached = next(p for p in m.cache.rglob(f"*{name[2:]}*") if p.is_file())
        for _ in range(rig.rounds):
            shell("cat $F >/dev/null", F=str(cached))
            row.peer("the cache's file, its pages warm",
                     shell("dd if=$F of=/dev/null bs=1M status=none", F=str(cached)))
            drop_pages(blob)
            row.ours.append(shell("dd if=$F of=/dev/null bs=1M status=none",
                                  F=str(blob)))
        row.saw(m)
    return row


def pread_once(path, off, length=4096):
    start = time.monotonic()
    fd = os.open(path, os.O_RDONLY)
    data = os.pread(fd, length, off)
    os.close(fd)
    if len(data) != length:
        raise RuntimeError(f"short read: {len(data)}")
    return time.monotonic() - start


def middle_cold(rig):
    """one cold 4 KiB read in the middle of a 1 GiB blob, loopback"""
    return middle(rig, rig.registry().address, "loopback")


def middle_cold_link(rig):
    """one cold 4 KiB read in the middle of a 1 GiB blob over 30 ms"""
    return middle(rig, rig.link(rig.registry().address), "30 ms")


def middle(rig, address, what):
    digest, size = rig.blob(GIB)
    registry = rig.registry()
    off = size // 2
    url = registry.url(REPO, digest, address)
    row = Row(f"cold 4 KiB in the middle of {size // MIB} MiB, {what}", unit="ms")
    for _ in range(rig.rounds):
        row.peer("curl -r", shell("curl -sf -o /dev/null -r $R $URL", URL=url,
                                  R=f"{off}-{off + 4095}"))
        with rig.mount(address) as m:
            since = registry.mark()
            row.ours.append(pread_once(m.blob(REPO, digest), off))
            row.requests, row.bytes = registry.traffic(since, "/v2/")
            row.saw(m)
    row.limits = [("requests", row.requests, 4),
                  ("KiB fetched", row.bytes / 1024, 512)]
    return row


def random_link(rig):
    """4 KiB reads at random places of an open remote blob, one RTT each"""
    digest, size = rig.blob(GIB)
    registry = rig.registry()
    link = rig.link(registry.address)
    row = Row("random 4 KiB, 30 ms, each", unit="ms")
    places = random.Random(1).sample(range(size // (4 * MIB)), min(20, size // (8 * MIB)))
    with rig.mount(link) as m:
        blob = m.blob(REPO, digest)
        pread_once(blob, 0)
        since = registry.mark()
        fd = os.open(blob, os.O_RDONLY)
        connection = http.client.HTTPConnection(link)
        for n in places:
            off = n * 4 * MIB + 123 * 4096
            start = time.monotonic()
            os.pread(fd, 4096, off)
            row.ours.append(time.monotonic() - start)
            start = time.monotonic()
            connection.request("GET", f"/v2/{REPO}/blobs/{digest}",
                               headers={"Range": f"bytes={off}-{off + 4095}"})
            connection.getresponse().read()
            row.peer("range request, connection kept", time.monotonic() - start)
        os.close(fd)
        connection.close()
        requests, fetched = registry.traffic(since)
        row.requests = requests - len(places)
        row.bytes = fetched - 4096 * len(places)
        row.saw(m)
    row.targets = {"range request, connection kept": 1 / 1.25}
    row.limits = [("requests per read", row.requests / len(places), 2)]
    return row


def readers_64(rig):
    """64 readers of one cold blob share one download"""
    digest, size = rig.blob(GIB // 4)
    registry = rig.registry()
    url = registry.url(REPO, digest)
    row = Row(f"64 readers of one cold blob of {size // MIB} MiB")
    for _ in range(rig.rounds):
        row.peer("one curl", shell("curl -sf -o /dev/null $URL", URL=url))
        with rig.mount(registry.address) as m:
            since = registry.mark()
            path = m.blob(REPO, digest)
            start = time.monotonic()
            readers = [subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL)
                       for _ in range(64)]
            if any([p.wait(600) for p in readers]):
                raise RuntimeError("a reader failed")
            row.ours.append(time.monotonic() - start)
            row.requests, row.bytes = registry.traffic(since)
            row.saw(m)
    row.limits = [("bytes fetched / size", row.bytes / size, 1.01)]
    return row


def stream_10g(rig):
    """memory of the daemon while 10 GiB stream through it"""
    size = rig.bytes(10 * GIB)
    emu = rig.emulator("stream", "distribution")
    digest = rig.once("stream", lambda: emu.call("blob_pattern", repo=REPO, size=size))
    url = f"http://{emu.address}/v2/{REPO}/blobs/{digest}"
    row = Row(f"cat of {size // MIB} MiB, cache of {size // 4 // MIB} MiB")
    row.peer("curl \\| openssl sha256",
             shell("curl -sf $URL | openssl dgst -sha256", URL=url))
    with rig.mount(emu.address, cache_size=f"{size // 4 // MIB}M") as m:
        mark = emu.mark()
        row.ours.append(shell("cat $F >/dev/null", F=str(m.blob(REPO, digest))))
        entries = emu.log(path="/blobs/", since=mark)
        row.requests, row.bytes = len(entries), sum(e["sent"] for e in entries)
        row.saw(m)
    row.limits = [("peak RSS, MiB", row.rss / MIB, 64),
                  ("bytes fetched / size", row.bytes / size, 1.05)]
    return row


# -- lists ---------------------------------------------------------------------

def paged(address, path, key):
    """Seconds that a bare client needs for a whole list, and its length."""
    start, count = time.monotonic(), 0
    connection = http.client.HTTPConnection(address)
    while path:
        connection.request("GET", path)
        answer = connection.getresponse()
        count += len(json.loads(answer.read())[key])
        link = answer.headers.get("Link", "")
        path = link.partition("<")[2].partition(">")[0]
    connection.close()
    return time.monotonic() - start, count


def listing(path):
    """(seconds to the first entry, seconds in all, entries)"""
    start = time.monotonic()
    with os.scandir(path) as entries:
        next(entries)
        first = time.monotonic() - start
        count = 1 + sum(1 for _ in entries)
    return first, time.monotonic() - start, count


def tag_source(rig, repo="team/many", count=TAGS):
    """An emulator with so many tags of one image in this repository."""
    emu = rig.emulator("tags", "distribution3")

    def make():
        config = emu.add_blob(repo, b"{}")
        digest = emu.add_manifest(repo, {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                       "digest": config, "size": 2}, "layers": []}, tag="t000000")
        emu.call("many_tags", repo=repo, digest=digest, count=rig.count(count))
    rig.once(("tags", repo), make)
    return emu


def ls_tags(rig):
    """ls of 100,000 tags, loopback"""
    return tags(rig, tag_source(rig).address, "loopback")


def ls_tags_link(rig):
    """ls of 100,000 tags over 30 ms"""
    return tags(rig, rig.link(tag_source(rig).address), "30 ms")


def tags(rig, address, what):
    emu, count = tag_source(rig), rig.count(TAGS)
    row = Row(f"ls of {count:,} tags, {what}")
    firsts = []
    for _ in range(rig.rounds):
        seconds, found = paged(address, "/v2/team/many/tags/list?n=1000", "tags")
        if found != count:
            raise RuntimeError(f"the emulator lists {found} tags")
        row.peer("bare client, page by page", seconds)
        row.peer("skopeo list-tags", shell(
            "skopeo list-tags --tls-verify=false docker://$A/team/many >/dev/null",
            A=address))
        with rig.mount(address) as m:
            mark = emu.mark()
            first, seconds, found = listing(m.point / "team/many/_tags")
            if found != count:
                raise RuntimeError(f"{found} tags listed of {count}")
            firsts.append(first)
            row.ours.append(seconds)
            entries = emu.log(path="/tags/list", since=mark)
            row.requests, row.bytes = len(entries), sum(e["sent"] for e in entries)
            row.saw(m)
    row.targets = {"bare client, page by page": 0.8}
    row.limits = [("seconds to the first entry", sorted(firsts)[len(firsts) // 2], 0.1),
                  ("peak RSS, MiB", row.rss / MIB, 64)]
    return row


def ls_catalogue(rig):
    """ls of a catalogue of 10,000 repositories"""
    count = rig.count(REPOS)
    emu = rig.emulator("repos", "distribution")
    rig.once("repos", lambda: emu.call("many_repos", count=count))
    row = Row(f"ls of {count:,} repositories, loopback")
    firsts = []
    for _ in range(rig.rounds):
        seconds, found = paged(emu.address, "/v2/_catalog?n=1000", "repositories")
        if found < count:
            raise RuntimeError(f"the emulator lists {found} repositories")
        row.peer("bare client, page by page", seconds)
        with rig.mount(emu.address) as m:
            mark = emu.mark()
            first, seconds, found = listing(m.point / "many")
            if found < count:
                raise RuntimeError(f"{found} repositories listed of {count}")
            firsts.append(first)
            row.ours.append(seconds)
            entries = emu.log(path="/_catalog", since=mark)
            row.requests, row.bytes = len(entries), sum(e["sent"] for e in entries)
            row.saw(m)
    row.limits = [("seconds to the first entry", sorted(firsts)[len(firsts) // 2], 0.5),
                  ("peak RSS, MiB", row.rss / MIB, 64)]
    return row


# -- metadata ------------------------------------------------------------------

def image_source(rig):
    """An image of 60 small layers in the emulator: (emulator, repository, tag)."""
    def make():
        emu = rig.emulator("image", "distribution")
        kind = "application/vnd.oci.image."
        layers = []
        for n in range(60):
            data = random.Random(n).randbytes(1000 + n)
            layers.append({"mediaType": kind + "layer.v1.tar", "size": len(data),
                           "digest": emu.add_blob(REPO, data)})
        text = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {
            "type": "layers", "diff_ids": [x["digest"] for x in layers]}}).encode()
        config = {"mediaType": kind + "config.v1+json", "size": len(text),
                  "digest": emu.add_blob(REPO, text)}
        emu.add_manifest(REPO, {"schemaVersion": 2, "config": config, "layers": layers,
                                "mediaType": kind + "manifest.v1+json"}, tag="1.0")
        return emu
    return rig.once("image", make)


def stat_rate(paths, seconds=0.3):
    until, count = time.monotonic() + seconds, 0
    start = time.monotonic()
    while time.monotonic() < until:
        for path in paths:
            os.lstat(path)
        count += len(paths)
    return count / (time.monotonic() - start)


def tree(path):
    return [os.path.join(d, x) for d, dirs, files in os.walk(path) for x in dirs + files]


def with_image(rig, row, measure):
    """measure(directory) on the mount and on a local copy, in turns."""
    emu = image_source(rig)
    copy = rig.folder / "layout"
    with rig.mount(emu.address, tag_ttl=3600) as m:
        image = m.point / REPO / "_tags/1.0"
        shutil.copytree(image, copy, symlinks=True)
        measure(image)
        for _ in range(max(5, rig.rounds)):
            measure(copy)
            row.peer("local copy", measure(copy))
            row.ours.append(measure(image))
        row.saw(m)
    shutil.rmtree(copy)
    return row


def ls_warm(rig):
    """ls -lR of a warm image directory"""
    return with_image(rig, Row("ls -lR of an image, 20 times, warm",
                               targets={"local copy": 0.8}),
                      lambda d: shell("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 "
                                      "18 19 20; do ls -lR $D; done", D=str(d)))


def stat_warm(rig):
    """stat rate in a warm image directory"""
    return with_image(rig, Row("lstat of an image's files, warm", unit="1/s",
                               targets={"local copy": 0.6}),
                      lambda d: stat_rate(tree(d)))


def open_warm(rig):
    """open, read, close of small warm files"""
    def rate(directory):
        paths = [p for p in tree(directory)
                 if os.path.isfile(p) and not os.path.islink(p)]
        until, count, start = time.monotonic() + 0.3, 0, time.monotonic()
        while time.monotonic() < until:
            for path in paths:
                fd = os.open(path, os.O_RDONLY)
                os.read(fd, 4096)
                os.close(fd)
            count += len(paths)
        return count / (time.monotonic() - start)
    return with_image(rig, Row("open, read 4 KiB, close, warm", unit="1/s",
                               targets={"local copy": 0.15}), rate)


def contagion(rig):
    """cached answers while 64 readers wait for a registry that is silent"""
    emu = image_source(rig)
    row = Row("lstat, warm, while 64 readers wait", unit="1/s")
    data = random.Random(99).randbytes(MIB)
    digests = [emu.add_blob(REPO, data + bytes([n])) for n in range(64)]
    with rig.mount(emu.address, tag_ttl=3600, timeout=20) as m:
        paths = tree(m.point / REPO / "_tags/1.0")
        blobs = [m.blob(REPO, d) for d in digests]
        for path in blobs:
            os.stat(path)
        row.peer("the same, nobody waiting", stat_rate(paths))
        emu.fault(method="GET", path="/blobs/", count=0,
                  stall={"at": 0, "seconds": 60})
        readers = [threading.Thread(target=quiet_read, args=(p,), daemon=True)
                   for p in blobs]
        for reader in readers:
            reader.start()
        time.sleep(0.5)
        for _ in range(rig.rounds):
            row.ours.append(stat_rate(paths))
        row.saw(m)
        emu.clear_faults()
        m.process.kill()
    row.targets = {"the same, nobody waiting": 0.5}
    return row


def quiet_read(path):
    try:
        with open(path, "rb", buffering=0) as f:
            f.read(4096)
    except OSError:
        pass


ROWS = [cat_cold, cat_cold_link, cat_warm, cat_cached, middle_cold, middle_cold_link,
        random_link, readers_64, stream_10g, ls_tags, ls_tags_link, ls_catalogue,
        ls_warm, stat_warm, open_warm, contagion]
