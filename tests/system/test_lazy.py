# SPDX-License-Identifier: Apache-2.0
"""What looking into layers costs: requests and bytes counted at the registry."""
import os
import random
import shutil
import signal
import subprocess
import threading
import time

import pytest

from survey import same, survey
from tarmaker import (END, Layer, build, directory, file, gz, pax, plain, zst,
                      zst_frames, zst_seekable)
from tools import absent, errno_of, read_at, read_file, run, timed, wait_until

MIB = 1 << 20
COUNT = 240


def body(n):
    """About 80 KB that compress as layers do, to a third or a quarter."""
    dice = random.Random(n)
    return b"".join(dice.randbytes(1500 + 35 * (n % 30)).hex().encode() * 2
                    for _ in range(10))


@pytest.fixture(scope="module")
def tar():
    """18 MB in 240 files; the first and the last are small."""
    text = directory("d") + file("first", "the first")
    for n in range(COUNT):
        text += pax({"mtime": f"{10**9 + n}.5"}) + file(f"d/f{n:03}", body(n))
    return text + file("last", "the last") + END


@pytest.fixture(scope="module")
def layers(tar):
    """The same archive in each format, made when first asked for."""
    kinds = {"gzip": lambda: Layer(tar, gz(tar, 1)), "plain": lambda: plain(tar),
             "zstd": lambda: Layer(tar, zst(tar)),
             "zstd frames": lambda: Layer(tar, b"".join(
                 f for f, _ in zst_frames(tar, MIB))),
             "zstd seekable": lambda: Layer(tar, zst_seekable(tar, MIB))}
    made = {}

    def get(name):
        if name not in made:
            made[name] = kinds[name]()
        return made[name]

    return get


@pytest.fixture
def gzipped(emu, layers):
    """The emulator with the layer as a/_layers/…: emu.layer, emu.truth."""
    return hold(emu, layers("gzip"))


def hold(emu, layer):
    emu.add_blob("a", layer.blob)
    emu.layer, emu.size = layer.digest, len(layer.blob)
    return emu


def inside(m, emu):
    return m / f"a/_layers/{emu.layer}"


def gets(emu, since=0):
    return emu.log(path=emu.layer, method="GET", since=since)


def sent(emu, since=0):
    return sum(e["sent"] for e in gets(emu, since))


def evict(m):
    """Unmounted, all blobs' bytes are deleted; what was learnt stays."""
    m.unmount()
    folder = m.folder / "cache/blobs"
    assert any(folder.rglob("*")), "no blob was kept"
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def check_all(path):
    assert read_file(path / "first") == b"the first"
    assert read_file(path / "last") == b"the last"
    for n in range(COUNT):
        assert read_file(path / f"d/f{n:03}") == body(n)


# -- nothing without need ----------------------------------------------------------

def test_names_cost_a_head(mount, gzipped):
    m = mount(gzipped)
    os.stat(inside(m, gzipped))
    os.listdir(m / "a/_layers")
    os.stat(m / "a")
    assert not gets(gzipped)
    assert len(gzipped.log(path="/blobs/", method="HEAD")) <= 1


def test_image_views_cost_no_layer(mount, emu, tar, layers, tmp_path):
    image = build(tmp_path / "i", [layers("gzip")])
    image.fill(emu, "a")
    hold(emu, layers("gzip"))
    m = mount(emu)
    top = m / "a/_tags/t"
    for name in os.listdir(top):
        os.lstat(top / name)
    assert os.readlink(top / "rootfs").endswith(image.digest)
    assert os.readlink(top / "layers/00").endswith(emu.layer)
    os.listdir(top / "layers")
    read_file(top / "history")
    assert not gets(emu)


# -- one pass ----------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["gzip", "plain", "zstd", "zstd seekable"])
def test_one_pass(mount, emu, layers, kind):
    """A look, and reading everything: each byte is fetched once."""
    hold(emu, layers(kind))
    path = inside(mount(emu), emu)
    assert len(os.listdir(path / "d")) == COUNT
    check_all(path)
    assert emu.size <= sent(emu) <= emu.size * 1.02
    assert len(gets(emu)) < 40


def test_ten_readers_one_pass(mount, gzipped):
    path = inside(mount(gzipped), gzipped)
    readers = [subprocess.Popen(["cat", path / f"d/f{n * 20:03}"],
                                stdout=subprocess.PIPE) for n in range(10)]
    got = [r.communicate(timeout=40)[0] for r in readers]
    assert got == [body(n * 20) for n in range(10)]
    assert sent(gzipped) <= gzipped.size * 1.02


def test_layer_and_rootfs_share_the_pass(mount, emu, layers, tmp_path):
    image = build(tmp_path / "i", [layers("gzip")])
    image.fill(emu, "a")
    hold(emu, layers("gzip"))
    m = mount(emu)
    check_all(inside(m, emu))
    check_all(m / f"a/_rootfs/{image.digest}")
    read_file(m / f"a/_blobs/{emu.layer}")
    assert sent(emu) <= emu.size * 1.02


def test_passes_overlap(mount, emu, tmp_path):
    """Layers of an image are read side by side, not one after the other."""
    noise = random.Random(1)
    layers = [Layer(file(f"f{n}", noise.randbytes(MIB)) + END) for n in range(3)]
    image = build(tmp_path / "i", layers)
    image.fill(emu, "a")
    emu.fault(path="/blobs/", method="GET", count=0,
              trickle={"bytes": 16_384, "every": 0.02})      # 1.3 s each
    m = mount(emu)
    assert sorted(os.listdir(m / f"a/_rootfs/{image.digest}")) == ["f0", "f1", "f2"]
    starts = []
    for layer in layers:
        entries = emu.log(path=layer.digest, method="GET")
        starts.append(min(e["time"] for e in entries))
        assert sum(e["sent"] for e in entries) <= len(layer.blob) * 1.05
    assert max(starts) - min(starts) < 0.6


def test_early_files_before_the_end(mount, emu, layers, proxy):
    """A slow line: what came is served while the rest still comes."""
    hold(emu, layers("gzip"))
    line = proxy(emu.address, rate=str(emu.size // 4))       # 4 s in all
    path = inside(mount(line, timeout=30), emu)
    early, data = timed(read_file, path / "first")
    assert data == b"the first" and early < 2
    assert read_file(path / "d/f003") == body(3)
    # What was sent says little here: the line holds much of it.
    late, data = timed(read_file, path / "last")
    assert data == b"the last" and late > 1
    check_all(path)
    assert sent(emu) <= emu.size * 1.05


def test_strict_waits_for_the_digest(mount, emu, layers, proxy):
    """verify=strict gives out nothing before all was checked."""
    hold(emu, layers("gzip"))
    line = proxy(emu.address, rate=str(emu.size // 2))
    path = inside(mount(line, verify="strict", timeout=30), emu)
    assert read_file(path / "first") == b"the first"
    assert sent(emu) >= emu.size
    check_all(path)


def test_names_are_waited_for(mount, emu, layers, proxy):
    """A name that does not come is ENOENT at the end, not before."""
    hold(emu, layers("gzip"))
    line = proxy(emu.address, rate=str(emu.size // 2))
    path = inside(mount(line, timeout=30), emu)
    assert errno_of(os.stat, path / "never") == "ENOENT"
    assert sent(emu) >= emu.size * 0.98


# -- afterwards --------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["gzip", "plain", "zstd frames", "zstd seekable"])
def test_one_file_is_one_small_range(mount, emu, layers, kind):
    """Indexed, evicted, mounted again: a file costs one range request."""
    hold(emu, layers(kind))
    m = mount(emu)
    os.listdir(inside(m, emu))
    evict(m)
    mark = emu.mark()
    m.restart()
    path = inside(m, emu)
    names = [os.path.join(d, f) for d, _, files in os.walk(path) for f in files]
    assert len(names) == COUNT + 2
    assert sum(os.stat(n).st_size for n in names) > 12 * MIB
    assert gets(emu, mark) == []
    assert read_file(path / "d/f150") == body(150)
    asked = gets(emu, mark)
    assert len(asked) == 1 and asked[0]["headers"]["range"].startswith("bytes=")
    assert asked[0]["sent"] < MIB
    assert read_file(path / "d/f020") == body(20)
    assert len(gets(emu, mark)) == 2 and sent(emu, mark) < 2 * MIB


def test_one_file_of_a_rootfs(mount, emu, layers, tmp_path):
    image = build(tmp_path / "i", [file("base", "x") + END, layers("gzip")])
    image.fill(emu, "a")
    hold(emu, layers("gzip"))
    m = mount(emu)
    os.listdir(m / f"a/_rootfs/{image.digest}")
    evict(m)
    mark = emu.mark()
    m.restart()
    root = m / f"a/_rootfs/{image.digest}"
    assert len(list(os.scandir(root / "d"))) == COUNT
    assert gets(emu, mark) == []
    assert read_file(root / "d/f200") == body(200)
    assert len(gets(emu, mark)) == 1 and sent(emu, mark) < MIB


def test_one_frame_is_right_after_eviction(mount, emu, layers):
    """zstd in one frame has no way in: decoded again, and right."""
    hold(emu, layers("zstd"))
    m = mount(emu)
    os.listdir(inside(m, emu))
    evict(m)
    mark = emu.mark()
    m.restart()
    check_all(inside(m, emu))
    assert sent(emu, mark) <= emu.size * 1.02


def test_all_files_are_no_more_than_a_pull(mount, gzipped):
    """In random order after eviction: the worst case is about one download."""
    m = mount(gzipped)
    os.listdir(inside(m, gzipped))
    evict(m)
    mark = gzipped.mark()
    m.restart()
    path = inside(m, gzipped)
    order = list(range(COUNT))
    random.Random(4).shuffle(order)
    for n in order:
        assert read_file(path / f"d/f{n:03}") == body(n)
    assert sent(gzipped, mark) <= gzipped.size * 1.25
    assert len(gets(gzipped, mark)) <= 60


def test_offline_afterwards(mount, gzipped):
    """The index and what is cached need no registry; the rest says so."""
    m = mount(gzipped)
    os.listdir(inside(m, gzipped))
    evict(m)
    m.restart()
    assert read_file(inside(m, gzipped) / "d/f100") == body(100)
    m.restart(offline=True)
    mark = gzipped.mark()
    path = inside(m, gzipped)
    assert len(os.listdir(path / "d")) == COUNT
    assert read_file(path / "d/f100") == body(100)
    assert errno_of(read_file, path / "d/f220") == "ENETDOWN"
    assert gzipped.log(since=mark) == []


@pytest.mark.parametrize("kind", ["gzip", "plain"])
def test_refetched_bytes_are_checked(mount, emu, layers, kind):
    """After the pass each chunk has a digest: a wrong byte spoils one place."""
    hold(emu, layers(kind))
    m = mount(emu)
    os.listdir(inside(m, emu))
    evict(m)
    m.restart()
    emu.fault(path=emu.layer, method="GET", flip=emu.size // 2, count=0)
    path = inside(m, emu)
    assert read_file(path / "d/f010") == body(10)
    assert read_file(path / "d/f230") == body(230)
    results = {errno_of(lambda n: same_bytes(path, n), n)
               for n in range(COUNT // 2 - 8, COUNT // 2 + 8)}
    assert "EBADMSG" in results and results <= {None, "EBADMSG"}


def same_bytes(path, n):
    assert read_file(path / f"d/f{n:03}") == body(n)


def test_damaged_index(mount, gzipped):
    """Whatever becomes of the kept index: set aside, made anew, right."""
    m = mount(gzipped)
    os.listdir(inside(m, gzipped))
    m.unmount()
    kept = [p for p in (m.folder / "cache/trees").rglob("*") if p.is_file()]
    assert kept
    for n, path in enumerate(kept):
        data = path.read_bytes()
        half = len(data) // 2
        path.write_bytes([data[:half], data[:half] + bytes(4096) + data[half + 4096:],
                          b""][n % 3])
    m.restart()
    check_all(inside(m, gzipped))


# -- cut short ---------------------------------------------------------------------

@pytest.mark.parametrize("after", [0.3, 1.0, 1.6])
def test_killed_in_a_pass(mount, emu, layers, proxy, after):
    """kill -9: the next mount makes the pass again, or goes on with it."""
    hold(emu, layers("gzip"))
    line = proxy(emu.address, rate=str(emu.size // 2))
    m = mount(line)
    reader = subprocess.Popen(["find", inside(m, emu)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    time.sleep(after)
    m.kill()
    reader.wait(10)
    m.restart(emu.address)
    check_all(inside(m, emu))
    assert len(os.listdir(inside(m, emu) / "d")) == COUNT


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_cut_by_the_network(mount, gzipped, how):
    """Connections that break: the pass goes on where it was."""
    gzipped.fault(path=gzipped.layer, method="GET", count=3, nth=1,
                  cut={"at": 700_000, "how": how})
    path = inside(mount(gzipped), gzipped)
    check_all(path)
    assert gzipped.hits()[0] >= 1
    assert sent(gzipped) <= gzipped.size * 1.3 + MIB


def test_gone_for_good(mount, gzipped):
    """The registry goes away in mid pass: an error in time, and later all."""
    gzipped.fault(path=gzipped.layer, method="GET", count=1,
                  cut={"at": 1_000_000, "how": "rst"})
    gzipped.fault(path=gzipped.layer, method="GET", count=0, status=503)
    path = inside(mount(gzipped, timeout=2, retries=2), gzipped)
    assert errno_of(os.listdir, path) in ("EIO", "ETIMEDOUT")
    assert errno_of(os.stat, path / "never") in ("EIO", "ETIMEDOUT")
    gzipped.clear_faults()
    wait_until(lambda: errno_of(os.listdir, path) is None, 10, "the registry again")
    check_all(path)


def test_interrupted_reader(mount, emu, layers, proxy):
    """Ctrl-C in a pass ends the reader at once and spoils nothing."""
    hold(emu, layers("gzip"))
    line = proxy(emu.address, rate=str(emu.size // 4))
    path = inside(mount(line, timeout=30), emu)
    reader = subprocess.Popen(["cat", path / "last"], stdout=subprocess.PIPE)
    time.sleep(0.7)
    reader.send_signal(signal.SIGINT)
    took, _ = timed(reader.wait, 10)
    assert took < 1 and reader.returncode != 0
    reader.stdout.close()
    check_all(path)


def test_unmount_in_a_pass(mount, emu, layers, proxy):
    hold(emu, layers("gzip"))
    line = proxy(emu.address, rate=str(emu.size // 6))
    m = mount(line, timeout=30)
    assert read_file(inside(m, emu) / "first") == b"the first"
    took, code = timed(m.unmount)
    assert took < 5 and code == 0


# -- lies --------------------------------------------------------------------------

@pytest.mark.parametrize("verify", ["lazy", "strict"])
@pytest.mark.parametrize("kind", ["plain", "gzip", "zstd"])
def test_digest_lie(mount, emu, layers, kind, verify):
    """Another byte than the digest promises: EBADMSG, and nothing is kept."""
    hold(emu, layers(kind))
    emu.fault(path=emu.layer, method="GET", flip=emu.size * 3 // 4, count=0)
    m = mount(emu, verify=verify)
    path = inside(m, emu)
    assert errno_of(os.listdir, path) == "EBADMSG"
    assert errno_of(read_file, path / "last") == "EBADMSG"
    if verify == "strict":
        assert errno_of(read_file, path / "first") == "EBADMSG"
    assert "EBADMSG" in m.status("errors") and emu.layer in m.status("errors")
    m.restart(offline=True)
    assert errno_of(read_file, inside(m, emu) / "last") not in (None, "ENOENT")
    assert errno_of(os.listdir, inside(m, emu)) not in (None, "ENOENT")
    emu.clear_faults()
    m.restart(offline=False)
    check_all(inside(m, emu))


def test_good_again(mount, gzipped):
    """The same mount recovers once the registry tells the truth."""
    gzipped.fault(path=gzipped.layer, method="GET", flip=gzipped.size // 2, count=0)
    path = inside(mount(gzipped), gzipped)
    assert errno_of(os.listdir, path) == "EBADMSG"
    gzipped.clear_faults()
    wait_until(lambda: errno_of(os.listdir, path) is None, 20, "good data again")
    check_all(path)


def test_size_lie(mount, emu, layers, tmp_path):
    """A manifest that names another size than the blob has."""
    image = build(tmp_path / "i", [layers("gzip")])
    document = image.document()
    document["layers"][0]["size"] += 1000
    image.fill(emu, "a")
    emu.add_manifest("a", document, tag="lie")
    root = mount(emu, timeout=3) / "a/_tags/lie/rootfs"
    assert errno_of(os.listdir, root) in ("EBADMSG", "EIO")


def test_no_leak_across_repositories(mount, emu, layers):
    """An index made through one repository is no way into another."""
    hold(emu, layers("gzip"))
    emu.add_blob("b", b"other")
    m = mount(emu)
    check_all(inside(m, emu))
    assert errno_of(os.stat, m / f"b/_layers/{emu.layer}") == "ENOENT"
    m.restart()
    assert errno_of(os.stat, m / f"b/_layers/{emu.layer}") == "ENOENT"


# -- load --------------------------------------------------------------------------

def test_many_readers_at_random(mount, emu, layers):
    """Readers of random places from the first moment on: all right, one pass."""
    hold(emu, layers("gzip"))
    path = inside(mount(emu), emu)
    wrong = []

    def read(seed):
        dice = random.Random(seed)
        for _ in range(25):
            n = dice.randrange(COUNT)
            data = body(n)
            off = dice.randrange(len(data))
            length = dice.choice((1, 4096, 50_000))
            if read_at(path / f"d/f{n:03}", off, length) != data[off:off + length]:
                wrong.append((seed, n, off))

    threads = [threading.Thread(target=read, args=(s,)) for s in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(50)
    assert wrong == [] and not any(t.is_alive() for t in threads)
    assert sent(emu) <= emu.size * 1.02


def test_small_cache(mount, emu, layers):
    """A cache that holds a fraction of the layer: slower, and right."""
    hold(emu, layers("gzip"))
    m = mount(emu, cache_size="4M")
    check_all(inside(m, emu))
    same(survey(inside(m, emu), contents=False), survey(inside(m, emu), contents=False))


@pytest.mark.parametrize("options", ["ro", "size=3m", "size=24m"])
def test_no_room_for_a_cache(mount, emu, layers, memory, options):
    """The cache's disk is read-only, or full sooner or later: all still works."""
    if os.geteuid() != 0:
        absent("mounting a small tmpfs needs root")
    hold(emu, layers("gzip"))
    small = memory / "small-cache"
    small.mkdir()
    if run("mount", "-t", "tmpfs", "-o", options, "tmpfs", small,
           check=False).returncode:
        absent("tmpfs cannot be mounted here")
    try:
        m = mount(emu, cache_dir=small / "cache")
        check_all(inside(m, emu))
        assert len(os.listdir(inside(m, emu) / "d")) == COUNT
        m.unmount()
    finally:
        run("umount", "-l", small, check=False)
        small.rmdir()


def test_small_cache_disk_is_no_storm(mount, emu, layers, memory):
    """What is fetched ahead fits the disk, or it would be fetched many times."""
    if os.geteuid() != 0:
        absent("mounting a small tmpfs needs root")
    hold(emu, layers("gzip"))
    small = memory / "small-cache"
    small.mkdir()
    if run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small,
           check=False).returncode:
        absent("tmpfs cannot be mounted here")
    try:
        m = mount(emu, cache_dir=small / "cache", cache_min_free="1M")
        assert len(os.listdir(inside(m, emu) / "d")) == COUNT
        assert sent(emu) <= emu.size * 1.5
        m.unmount()
    finally:
        run("umount", "-l", small, check=False)
        small.rmdir()


@pytest.mark.parametrize("how", ["in it", "from outside"])
def test_first_look_is_by_tar(mount, emu, tmp_path, how):
    """What the first look learns about the top is no change under tar's eyes."""
    text = directory("./", mode=0o750, mtime=10**9) + file("./a", "a") + END
    hold(emu, Layer(text, gz(text, 1)))
    path = inside(mount(emu), emu)
    made = tmp_path / "made.tar"
    where = ["-C", path, "."] if how == "in it" else [f"{path}/"]
    done = run("tar", "-P", "-c", "-f", made, *where, check=False)
    assert (done.returncode, done.stderr) in ((0, ""), (0, b""))
    listed = run("tar", "-P", "-t", "-v", "--numeric-owner", "--full-time", "--utc", "-f", made).stdout
    if how == "in it":
        assert listed.splitlines()[0].split() == [
            "drwxr-x---", "0/0", "0", "2001-09-09", "01:46:40", "./"]


@pytest.mark.limit(90)
def test_many_files(mount, emu):
    """20,000 small files, listed and found; memory stays small."""
    parts = []
    for n in range(20_000):
        if n % 500 == 0:
            parts.append(directory(f"d{n // 500:03}"))
        parts.append(file(f"d{n // 500:03}/f{n:05}", b"%d" % n))
    hold(emu, Layer(b"".join(parts) + END))
    m = mount(emu)
    path = inside(m, emu)
    found = sum(len(files) for _, _, files in os.walk(path))
    assert found == 20_000
    assert read_file(path / "d039/f19999") == b"19999"
    assert read_file(path / "d000/f00000") == b"0"
    assert m.rss() < 160 * MIB
