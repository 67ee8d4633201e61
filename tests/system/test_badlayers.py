# SPDX-License-Identifier: Apache-2.0
"""Layers that are damaged, or made to do damage: told, bounded, survived."""
import errno
import gzip
import io
import os
import random
import struct
import subprocess
import tarfile
import threading
import zlib

import pytest

from mounting import program
from survey import same, survey, unpack
from tarmaker import (END, GZIP, Layer, ZSTD, base256, build, directory, file,
                      filtered, gz, hardlink, header, long_name, pax, plain, skippable,
                      sparse_10, symlink, zst)
from tools import errno_of, need, read_at, read_file, sha256

MIB = 1 << 20
GIB = 1 << 30


def sample():
    dice = random.Random(8)
    tar = directory("d")
    for n in range(25):
        tar += file(f"d/f{n:02}", dice.randbytes(1500 + 100 * n).hex())
    return tar + symlink("l", "d/f00") + hardlink("h", "d/f01") + END


SAMPLE = sample()
PACKED = {"plain": bytes(SAMPLE), "gzip": gz(SAMPLE), "zstd": zst(SAMPLE)}


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return unpack("tar", SAMPLE, tmp_path_factory.mktemp("bad") / "x")


def walk(path):
    """({path: bytes or errno}, did all listings succeed); never hangs, never lies
    about types."""
    found, whole = {}, True
    todo = [os.fsencode(path)]
    while todo:
        folder = todo.pop()
        try:
            for entry in os.scandir(folder):
                name = os.path.relpath(entry.path, os.fsencode(path))
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    found[name] = content(entry.path)
        except OSError as e:
            assert errno.errorcode[e.errno] in ("EBADMSG", "EFBIG"), e
            whole = False
    return found, whole


def content(path):
    try:
        return read_file(path)
    except OSError as e:
        return errno.errorcode[e.errno]


def true_files():
    """The sample's files by Python's tarfile."""
    with tarfile.open(fileobj=io.BytesIO(SAMPLE)) as tar:
        return {m.name.encode(): tar.extractfile(m).read() for m in tar
                if m.isfile() or m.islnk()}


def boundaries():
    """(where a cut leaves a complete archive, {file: end of its data}, where one
    cuts nothing but padding)"""
    with tarfile.open(fileobj=io.BytesIO(SAMPLE)) as tar:
        members = tar.getmembers()
    ends = {m.name.encode(): m.offset_data + m.size for m in members if m.isfile()}
    last = len(SAMPLE) - len(END)
    padding = {at for end in ends.values() for at in range(end, -(-end // 512) * 512)}
    return {m.offset for m in members} | set(range(last, len(SAMPLE) + 1)), ends, padding


def prefix(kind, blob):
    """What a real tool decodes of a stream that is cut."""
    tool = {"plain": ["cat"], "gzip": ["gzip", "-dc"], "zstd": ["zstd", "-qdc"]}[kind]
    return subprocess.run(tool, input=blob, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout


TRUE = true_files()
BETWEEN, ENDS, PADDING = boundaries()


def points(kind, count):
    size = len(PACKED[kind])
    dice = random.Random(kind)
    return sorted({0, 1, 2, 10, 100, 511, 512, 513, 1024, size - 1, size - 512,
                   size - 1024, size - 1025, size - 1536,
                   *(dice.randrange(size) for _ in range(count))})


@pytest.mark.parametrize("kind", PACKED)
def test_truncated(shelf, kind):
    """Cut anywhere: what is whole is readable, what is not is no short file, and
    no listing claims to be complete."""
    for at in points(kind, 25):
        blob = PACKED[kind][:at]
        path = shelf.layer(plain(blob))
        found, whole = walk(path)
        if list(found) == [b"sha256-" + sha256(blob)[7:].encode()]:
            # No block came of it, so it may be anything.
            assert found.popitem()[1] == blob and len(prefix(kind, blob)) < 512
            continue
        wrong = {n for n, data in found.items() if data not in (TRUE[n], "EBADMSG")}
        assert not wrong, (kind, at, wrong)
        if kind != "plain" or at not in PADDING:
            assert whole == (at == 0 or kind == "plain" and at in BETWEEN), (kind, at)
        there = {n for n, d in found.items() if d == TRUE[n]}
        if kind == "plain":
            assert there >= {n for n, end in ENDS.items() if end <= at}, at
    shelf.check()


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_bit_flips(shelf, truth, tmp_path, kind):
    """One wrong bit in a blob with the right digest: diff_id decides."""
    dice, shown, refused = random.Random(kind), 0, 0
    good = build(tmp_path / "good", [Layer(SAMPLE, PACKED[kind])])
    same(survey(shelf.rootfs(good)), truth, skip=[b""])
    for n in range(40):
        at = n if n < 12 else dice.randrange(len(PACKED[kind]))
        blob = bytearray(PACKED[kind])
        blob[at] ^= 1 << dice.randrange(8)
        blob = bytes(blob)
        image = build(tmp_path / f"i{n}", [Layer(SAMPLE, blob, diff_id=sha256(SAMPLE))])
        root = shelf.rootfs(image)
        if decoded(kind, blob) == SAMPLE:
            same(survey(root), truth, skip=[b""])
            shown += 1
        else:
            assert errno_of(os.listdir, root) == "EBADMSG", (kind, at)
            refused += 1
        found, _ = walk(shelf.layer(plain(blob)))
        assert {d for d in found.values() if isinstance(d, str)} <= {"EBADMSG"}
    assert refused > 20


def decoded(kind, blob):
    try:
        if kind == "gzip":
            return gzip.decompress(blob)
        return filtered(blob, "zstd", "-q", "-dc")
    except (OSError, EOFError, zlib.error, subprocess.CalledProcessError):
        return None


def test_flipped_headers(shelf):
    """Wrong bits in a plain archive's headers: whatever it is, it is bounded."""
    dice = random.Random(2)
    for _ in range(60):
        tar = bytearray(SAMPLE)
        block = dice.choice([0, 512, len(SAMPLE) - 2048, len(SAMPLE) - 1536])
        tar[block + dice.randrange(512)] ^= 1 << dice.randrange(8)
        found, _ = walk(shelf.layer(plain(bytes(tar))))
        assert {d for d in found.values() if isinstance(d, str)} <= {"EBADMSG", "ENOENT"}
    shelf.check()


@pytest.mark.parametrize("what", ["garbage", "another format", "half a member",
                                  "wrong sum", "wrong length"])
def test_odd_ends(shelf, what):
    """Behind, or at the end of, the gzip stream."""
    good = gz(SAMPLE)
    crc, length = struct.unpack("<II", good[-8:])
    blob = {"garbage": good + b"garbage" * 100, "another format": good + zst(b"x"),
            "half a member": good + gz(SAMPLE)[:2000],
            "wrong sum": good[:-8] + struct.pack("<II", crc ^ 1, length),
            "wrong length": good[:-8] + struct.pack("<II", crc, length + 1)}[what]
    path = shelf.layer(plain(blob))
    assert read_file(path / "d/f00") == TRUE[b"d/f00"]
    assert errno_of(os.listdir, path) == "EBADMSG"


def test_window_too_large(shelf):
    """zstd that wants 2 GiB of memory is refused."""
    data = random.Random(1).randbytes(1000) * 200
    blob = bytearray(zst(b"x" * 100_000, "--no-content-size"))
    assert blob[:4] == b"\x28\xb5\x2f\xfd"
    blob[4] &= 0xdf                             # not single segment: a window byte
    blob = bytes(blob[:5]) + bytes([21 << 3]) + bytes(blob[6:])
    path = shelf.layer(plain(blob))
    assert errno_of(os.listdir, path) in ("EBADMSG", "EFBIG") or [
        n for n in os.listdir(path) if n.startswith("sha256-")]
    blob = zst(file("a", data) + END, "--ultra", "-22", "--long=27")
    assert read_file(shelf.layer(plain(blob)) / "a") == data


# -- bombs -------------------------------------------------------------------------

def gzip_bomb(size):
    """A file of that many zeros, in some members."""
    step = 16 * MIB
    zeros = gzip.compress(bytes(step), 9, mtime=0)
    head = directory("d") + file("before", "read me")
    return gz(head + header("d/zeros", size=size)) + zeros * (size // step) \
        + gz(file("after", "me too") + END)


def zstd_bomb(size):
    step = 64 * MIB
    zeros = zst(bytes(step))
    head = directory("d") + file("before", "read me")
    return zst(head + header("d/zeros", size=size)) + zeros * (size // step) \
        + zst(file("after", "me too") + END)


def one_frame_bomb(size):
    """The same in one frame, which has no way in."""
    tar = directory("d") + file("before", "read me") + header("d/zeros", size=size)
    done = subprocess.Popen(["zstd", "-q", "-c"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
    step = bytes(16 * MIB)

    def feed():
        done.stdin.write(tar)
        for _ in range(size // len(step)):
            done.stdin.write(step)
        done.stdin.write(file("after", "me too") + END)
        done.stdin.close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    blob = done.stdout.read()
    feeder.join()
    done.stdout.close()
    assert done.wait() == 0
    return blob


BOMBS = {"gzip": gzip_bomb, "zstd": zstd_bomb}


@pytest.mark.parametrize("kind", BOMBS)
def test_bomb(mount, emu, kind):
    """Over the allowed ratio: EFBIG, early, in little memory; allowed, it works."""
    need("zstd")
    size = GIB + GIB // 8
    blob = BOMBS[kind](size)
    digest = emu.add_blob("a", blob)
    m = mount(emu, layer_ratio=50)
    path = m / f"a/_layers/{digest}"
    assert errno_of(os.listdir, path) == "EFBIG"
    assert errno_of(os.stat, path / "after") == "EFBIG"
    assert m.rss() < 160 * MIB
    assert "EFBIG" in m.status("errors")
    m.restart(layer_ratio=100_000)
    path = m / f"a/_layers/{digest}"
    assert sorted(os.listdir(path)) == ["after", "before", "d"]
    assert os.stat(path / "d/zeros").st_size == size
    assert read_file(path / "after") == b"me too"
    assert read_at(path / "d/zeros", size - 5000, 9999) == bytes(5000)
    assert m.rss() < 256 * MIB


def test_one_frame(mount, emu):
    """A file that expands a thousandfold and has no way in: spooled, not held."""
    size = GIB // 8
    digest = emu.add_blob("a", one_frame_bomb(size))
    m = mount(emu)
    path = m / f"a/_layers/{digest}"
    assert read_file(path / "after") == b"me too"
    assert read_at(path / "d/zeros", size - 5000, 9999) == bytes(5000)
    assert read_at(path / "d/zeros", size // 2, 4096) == bytes(4096)
    assert m.rss() < 160 * MIB


def test_bomb_by_default(mount, emu):
    """Without any option a thousandfold layer is still refused or bounded."""
    digest = emu.add_blob("a", zstd_bomb(64 * GIB))
    m = mount(emu)
    path = m / f"a/_layers/{digest}"
    assert errno_of(os.listdir, path) == "EFBIG"
    assert m.rss() < 160 * MIB
    used = sum(os.stat(os.path.join(d, n)).st_blocks * 512
               for d, _, names in os.walk(m.folder / "cache") for n in names)
    assert used < 64 * MIB


@pytest.mark.parametrize("option, value", [("layer_entries", 20), ("layer_size", "2M")])
def test_caps(mount, emu, option, value):
    """More entries, or more bytes, than are allowed: EFBIG; allowed, all is there."""
    tar = SAMPLE[:-len(END)] + file("much", bytes(5 * MIB)) + END
    digest = emu.add_blob("a", gz(tar, 1))
    m = mount(emu, **{option: value})
    path = m / f"a/_layers/{digest}"
    assert errno_of(os.listdir, path) == "EFBIG"
    assert errno_of(os.stat, path / "never") == "EFBIG"
    assert "EFBIG" in m.status("errors") and option in m.status("errors")
    m.restart(**{option: 100 if option == "layer_entries" else "1G"})
    assert walk(m / f"a/_layers/{digest}") == ({**TRUE, b"much": bytes(5 * MIB)}, True)


def test_caps_are_named_by_help():
    done = subprocess.run([program(), "--help"], capture_output=True, text=True,
                          timeout=20)
    for option in ("layer_ratio", "layer_entries", "layer_size"):
        assert option in done.stdout + done.stderr


# -- shapes ------------------------------------------------------------------------

def test_deeper_than_any_path(mount, emu):
    """Paths of hundreds of thousands of directories, and a million by L."""
    tar = file("first", "1") + pax({"path": "a/" * 400_000 + "f"}) + file("x", "deep") \
        + long_name("b/" * 400_000 + "f") + file("x", "deep") \
        + symlink("s", "t") + pax({"linkpath": "c/" * 400_000}) + symlink("far", "x") \
        + file("last", "2") + END
    digest = emu.add_blob("a", gz(tar))
    m = mount(emu)
    path = m / f"a/_layers/{digest}"
    assert {"first", "last", "s"} <= set(os.listdir(path)) <= {"first", "last", "s",
                                                               "far"}
    assert read_file(path / "last") == b"2"
    assert m.rss() < 128 * MIB
    tar = file("first", "1") + long_name("m/" * 1_000_000) + file("x", "deep") + END
    digest = emu.add_blob("a", gz(tar))
    path = m / f"a/_layers/{digest}"
    assert read_file(path / "first") == b"1"
    assert errno_of(os.listdir, path) == "EBADMSG"
    assert m.rss() < 128 * MIB


def test_names_growing(mount, emu):
    """Each entry one directory deeper, beyond what a path can be."""
    tar = b"".join(pax({"path": "/".join(["q" * 20] * n)}) + directory("x")
                   for n in range(1, 300)) + file("z", "1") + END
    digest = emu.add_blob("a", gz(tar))
    m = mount(emu)
    assert sorted(os.listdir(m / f"a/_layers/{digest}")) == ["q" * 20, "z"]


def test_links_of_links(mount, emu):
    """10,000 links one to the other, in circles, and to themselves."""
    tar = file("f", "x") + hardlink("h0", "f")
    tar += b"".join(hardlink(f"h{n + 1}", f"h{n}") for n in range(3000))
    tar += b"".join(hardlink(f"c{n}", f"c{(n + 1) % 2000}") for n in range(2000))
    tar += b"".join(hardlink(f"s{n}", f"s{n}") for n in range(2000)) + END
    image_blob = gz(tar)
    digest = emu.add_blob("a", image_blob)
    m = mount(emu)
    path = m / f"a/_layers/{digest}"
    assert os.stat(path / "h3000").st_nlink == 3002
    assert read_file(path / "h3000") == b"x"
    assert errno_of(read_file, path / "c5") == "ENOENT"
    assert errno_of(read_file, path / "s5") == "ENOENT"


def test_links_in_a_circle_across_layers(shelf, tmp_path):
    image = build(tmp_path / "i", [hardlink("a", "b") + END, hardlink("b", "a") + END,
                                   hardlink("a", "b") + file("c", "x") + END])
    root = shelf.rootfs(image)
    assert read_file(root / "c") == b"x"
    assert errno_of(read_file, root / "a") == errno_of(read_file, root / "b") == "ENOENT"


def test_huge_sparse_file(mount, emu):
    """8 EiB of hole are a size and nothing else."""
    size = (1 << 62) + 5
    tar = sparse_10("s", [(0, b"start"), (size - 3, b"end")], size) \
        + file("b", "x") + END
    digest = emu.add_blob("a", gz(tar))
    m = mount(emu)
    path = m / f"a/_layers/{digest}"
    if errno_of(os.listdir, path) == "EFBIG":
        return
    assert os.stat(path / "s").st_size == size
    assert read_at(path / "s", 0, 8) == b"start\0\0\0"
    assert read_at(path / "s", size - 4, 100) == b"\0end"
    assert read_at(path / "s", 1 << 60, 4096) == bytes(4096)
    assert read_file(path / "b") == b"x"


def test_many_xattrs(mount, emu):
    """More attributes than a kernel would list: no crash, the file is there."""
    pairs = {f"SCHILY.xattr.user.{n:05}": b"v" * 10 for n in range(5000)}
    tar = pax(pairs) + file("a", "x") + pax({"SCHILY.xattr.user.big": b"b" * 200_000}) \
        + file("b", "y") + file("c", "z") + END
    digest = emu.add_blob("a", gz(tar))
    path = mount(emu) / f"a/_layers/{digest}"
    assert read_file(path / "c") == b"z" or errno_of(os.listdir, path) == "EBADMSG"
    for name in "ab":
        assert errno_of(os.listxattr, path / name) in (
            None, "E2BIG", "ERANGE", "EBADMSG", "ENOENT")


def test_extreme_numbers(shelf):
    """Owners, times and modes at the ends of what fits: clamped, never a crash."""
    tar = b""
    for n, mtime in enumerate((-(1 << 62), (1 << 62), -1, (1 << 40))):
        tar += file(f"t{n}", "x", mtime=base256(mtime, 12))
    tar += file("u", "x", uid=base256(-1, 8), gid=base256(1 << 40, 8))
    tar += pax({"mtime": "9" * 30, "uid": "9" * 30}) + file("p", "x")
    tar += file("z", "x") + END
    path = shelf.layer(plain(tar))
    try:
        names = os.listdir(path)
    except OSError as e:
        assert errno.errorcode[e.errno] == "EBADMSG"
        names = [n for n in ("t0", "t1", "t2", "t3")
                 if errno_of(os.stat, path / n) is None]
    assert len(names) >= 4
    for name in names:
        os.stat(path / name)
    run_ok = subprocess.run(["ls", "-la", path], capture_output=True, timeout=20)
    assert b"t2" in run_ok.stdout


def test_compressed_twice(shelf):
    """gzip in gzip is no archive."""
    blob = gz(gz(SAMPLE))
    path = shelf.layer(plain(blob))
    assert [read_file(path / n) for n in os.listdir(path)] == [blob]


def test_only_skippable_frames(shelf):
    """zstd without content: an empty layer."""
    blob = skippable(b"a" * 100) + skippable(b"", 7)
    assert os.listdir(shelf.layer(plain(blob))) == []


def test_claims_are_no_help(shelf, tmp_path):
    """A damaged layer is damaged whatever its type says."""
    for n, kind in enumerate((GZIP, ZSTD, "application/octet-stream")):
        blob = gz(SAMPLE)[:-4000]
        image = build(tmp_path / f"i{n}", [Layer(SAMPLE, blob, kind)])
        assert errno_of(os.listdir, shelf.rootfs(image)) == "EBADMSG"
