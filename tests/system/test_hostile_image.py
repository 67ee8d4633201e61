# SPDX-License-Identifier: Apache-2.0
"""Images that mean harm: rows B1 to B15.  Layers are made by hand, what they should
look like is said by a rule, or by the tools that unpack them."""
import ctypes
import errno
import json
import os
import random
import shutil
import stat
import struct
import tempfile
from pathlib import Path

import pytest

import mounting
from images import CONFIG, INDEX, LAYER, MANIFEST
from survey import differences, survey, unpack
from tarmaker import (BLOCK, END, GZIP, Layer, base256, build, directory, fifo, file, gz,
                      hardlink, header, long_link, long_name, node, opaque, pax, plain,
                      symlink, whiteout, xattr)
from tools import absent, errno_of, read_file, run, sha256

MIB = 1 << 20
MORE = int(os.environ.get("RFS_HOSTILE_LONG", "1"))     # times as many mutants
NOBODY = 65534


def paths(root):
    """All paths beneath a directory, as bytes."""
    root = os.fsencode(root)
    return {os.path.relpath(os.path.join(d, n), root)
            for d, dirs, names in os.walk(root) for n in dirs + names}


# -- B1: names that lead out ---------------------------------------------------------------

OUT = ["../x", "../../../../../../etc/passwd", "a/../x", "a/../../x", "a/..", "..", "../",
       "/../x", "//../x", "./../x", ".././x", "a/./../x", "/etc/passwd", "//etc/passwd",
       "/./etc/passwd", "...", ".../x", "..x", "x..", "a/..x/y", "..\\x", "a\\..\\..\\x",
       "C:\\x", "C:/x", "\\\\host\\x", "~/x", "~root", "$HOME/x", "%2e%2e/x", ".. /x",
       " ../x", "../\n", "..\u2025/x", "\uff0e\uff0e/x", "a/b/c/../../../../x",
       "/proc/self/environ", "/dev/null"]


def kept(name):
    """Where an entry goes: its components; nowhere if one leads up."""
    parts = [p for p in name.encode().split(b"/") if p not in (b"", b".")]
    return None if b".." in parts or not parts else b"/".join(parts)


@pytest.mark.parametrize("name", OUT)
def test_b1_name(shelf, tmp_path, name):
    """As a file, a directory, a link of either kind and a whiteout."""
    tar = file("keep", "x") + file(name, "f") + pax({"path": "p/" + name}) + file("x", "p") \
        + long_name("l/" + name) + directory("x") + symlink("s", name) \
        + hardlink("h", name) + END
    path = shelf.layer(plain(tar))
    place, found = kept(name), paths(path)
    want = {b"keep", b"s", *([place] if place else [])}
    for prefix in (b"p", b"l"):
        if place:
            want.add(prefix + b"/" + place)
    for one in list(want):
        while b"/" in one:
            one = one.rpartition(b"/")[0]
            want.add(one)
    assert found - {b"h", b"p", b"l"} == want - {b"p", b"l"}, name
    if place:
        assert read_file(os.path.join(os.fsencode(path), place)) == b"f"
    assert os.readlink(path / "s") == name
    image = build(tmp_path / "i", [tar, whiteout(name) + END])
    root = paths(shelf.rootfs(image))
    assert b"keep" in root and not [p for p in root if b".." in p.split(b"/")]


# -- B2: symbolic links --------------------------------------------------------------------

class Watched:
    """A folder of which every open, read and change is seen (inotify)."""

    MASK = 0xfff

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        (folder / "secret").write_text("of the host")
        (folder / "sub").mkdir()
        (folder / "sub/secret").write_text("of the host")
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for path in (folder, folder / "sub"):
            assert libc.inotify_add_watch(self.fd, os.fsencode(path), self.MASK) >= 0

    def events(self):
        found, data = [], b""
        try:
            data = os.read(self.fd, 65536)
        except BlockingIOError:
            pass
        while data:
            _, mask, _, length = struct.unpack_from("iIII", data)
            found.append((mask, data[16:16 + length].rstrip(b"\0")))
            data = data[16 + length:]
        return found


@pytest.fixture
def watched(tmp_path):
    made = Watched(tmp_path / "host")
    yield made
    os.close(made.fd)


def shapes(host):
    up = "../" * 20
    return {
        "absolute": f"{host}/secret", "folder": str(host), "slash": f"{host}/",
        "dot": f"{host}/.", "relative": f"{up}{str(host)[1:]}/secret",
        "dots": f"/../../..{host}/secret", "double": f"/{host}//secret",
        "proc": f"/proc/self/root{host}/secret", "cwd": f"/proc/self/cwd{host}/secret",
        "fd": "/proc/self/fd/0", "environ": "/proc/self/environ", "mem": "/proc/self/mem",
        "long": "./" * 2000 + "x", "itself": "itself", "loop": "loop2", "loop2": "loop",
        "up": "..", "here": ".", "root": "/", "empty component": f"a//b{host}",
        "dangling": f"{host}/nothing", "newline": f"{host}/secret\n",
        "sub": f"{host}/sub/secret", "chain": "absolute"}


def test_b2_links(shelf, tmp_path, watched):
    """More than twenty shapes: shown as they are; the daemon follows none of them,
    neither when it merges layers nor when entries lie behind them."""
    links = shapes(watched.folder)
    assert len(links) > 20
    tar = b"".join(long_link(t) + symlink(n, "x") for n, t in links.items()) + END
    upper = b"".join(file(f"{n}/new", "in the image") + file(f"{n}/secret", "in the image")
                     for n in ("absolute", "folder", "slash", "relative", "sub", "root")) \
        + hardlink("hard", "folder/secret") + hardlink("hard2", "absolute") \
        + whiteout("dots/secret") + whiteout("slash2/secret") + opaque("double") + END
    image = build(tmp_path / "i", [tar, upper])
    watched.events()
    path = shelf.layer(plain(tar))
    for name, target in links.items():
        assert os.readlink(path / name) == target
        assert os.lstat(path / name).st_size == len(os.fsencode(target))
    root = shelf.rootfs(image)
    shown = survey(root)
    for name in ("absolute", "folder", "slash", "relative", "sub", "root"):
        assert shown[name.encode()].kind == "dir"
        assert read_file(root / name / "secret") == b"in the image"
    assert watched.events() == []
    assert sorted(os.listdir(watched.folder)) == ["secret", "sub"]
    assert watched.events()                     # it would have been seen


# -- B3: the root --------------------------------------------------------------------------

ROOTS = {
    "symbolic link": lambda n: symlink(n, "/etc"), "file": lambda n: file(n, "x"),
    "character device": lambda n: node(n, b"3", 1, 3), "fifo": fifo,
    "block device": lambda n: node(n, b"4", 8, 0), "hard link": lambda n: hardlink(n, "a"),
    "unknown": lambda n: file(n, "x", type=b"Z"), "contiguous": lambda n: file(
        n, "x", type=b"7")}


@pytest.mark.parametrize("name", ROOTS)
def test_b3_root(shelf, tmp_path, name):
    """However its name is spelled, and in whichever layer: it stays a directory."""
    bad = b"".join(ROOTS[name](spelled) for spelled in (
        ".", "./", "/", "//", "./.", "././/."))
    for n, tars in enumerate(([bad + directory("d") + file("d/f", "in") + END],
                              [directory("d") + file("d/f", "in") + END, bad + END],
                              [directory("d") + file("d/f", "in") + bad + END])):
        image = build(tmp_path / f"i{n}", tars)
        for root in (shelf.rootfs(image), shelf.layer(image.layers[0])):
            assert stat.S_ISDIR(os.lstat(root).st_mode)
            assert paths(root) in ({b"d", b"d/f"}, set())
        assert read_file(shelf.rootfs(image) / "d/f") == b"in"


# -- B4: hard links ------------------------------------------------------------------------

TARGETS = {
    "with a mode": ([file("f", "x", mode=0o600) + hardlink("h", "f", mode=0o6777, uid=7)],
                    "f", 0o600),
    "to a suid file": ([file("f", "x", mode=0o4755) + hardlink("h", "f", mode=0o777)], "f",
                       0o4755),
    "to a lower layer's": ([file("f", "x", mode=0o600),
                            hardlink("h", "f", mode=0o6777)], "f", 0o600),
    "to a symbolic link": ([file("f", "x", mode=0o600) + symlink("l", "f")
                            + hardlink("h", "l", mode=0o6777)], "f", 0o600),
    "through a symbolic link": ([directory("d") + file("d/f", "x", mode=0o600)
                                 + symlink("l", "d") + hardlink("h", "l/f", mode=0o6777)],
                                "d/f", 0o600),
    "to a directory": ([directory("d", mode=0o700) + hardlink("h", "d", mode=0o6777)], "d",
                       0o700),
    "to the root": ([directory("d", mode=0o700) + hardlink("h", ".", mode=0o6777)], "d",
                    0o700),
    "to itself": ([file("f", "x", mode=0o600) + hardlink("h", "h", mode=0o6777)], "f", 0o600),
    "to a later": ([hardlink("h", "f", mode=0o6777) + file("f", "x", mode=0o600)], "f",
                   0o600),
    "to a removed": ([file("f", "x", mode=0o600) + file("g", "y"),
                      whiteout("g") + hardlink("h", "g", mode=0o6777)], "f", 0o600),
    "to a host's": ([file("f", "x", mode=0o600) + hardlink("h", "/etc/shadow")
                     + hardlink("i", "../../../etc/shadow")], "f", 0o600),
    "with data": ([file("f", "x", mode=0o600) + header("h", b"1", link="f", size=600,
                                                      mode=0o777)
                   + file("g", "y") + bytes(BLOCK)], "f", 0o600),
}


@pytest.mark.parametrize("name", TARGETS)
def test_b4_hard_link(shelf, tmp_path, name):
    """The link's own metadata changes nothing; what is no file is not linked to."""
    tars, target, mode = TARGETS[name]
    root = shelf.rootfs(build(tmp_path / "i", [t + END for t in tars]))
    st = os.lstat(root / target)
    assert stat.S_IMODE(st.st_mode) == mode and st.st_uid == 0
    if os.path.lexists(root / "h") and stat.S_ISREG(os.lstat(root / "h").st_mode):
        data = b""
        try:
            data = read_file(root / "h")
        except OSError as e:
            assert e.errno in (errno.ENOENT, errno.EBADMSG)
        assert data in (b"", b"x", b"y") and b"root:" not in data


# -- B5: whiteouts -------------------------------------------------------------------------

WHITEOUTS = {
    "as a directory": directory(".wh.f"), "as a symbolic link": symlink(".wh.f", "/etc"),
    "as a device": node(".wh.f", b"3", 0, 0), "with data": file(".wh.f", "data" * 1000),
    "nameless": file(".wh.") + file("d/.wh."), "of dots": file(".wh..") + file(".wh..."),
    "of dots beneath": file("d/.wh...") + file("d/.wh.."),
    "of a path": file(".wh.d/a") + file(".wh.d%2fa"), "of itself": file(".wh..wh.f"),
    "in a directory of that name": directory(".wh.x") + file(".wh.x/y", "z"),
    "opaque file elsewhere": file(".wh..wh..opq/x", "y"),
    "opaque, a directory": directory("d/.wh..wh..opq"),
    "opaque, a link": symlink("d/.wh..wh..opq", "/"),
    "opaque of a file": file("f/.wh..wh..opq"), "of the root": file("./.wh..") + file(
        "/.wh..wh.."), "twice": whiteout("f") + whiteout("f"),
    "overlay's": node("f", b"3", 0, 0),
    "overlay's attribute": xattr({"trusted.overlay.opaque": "y"}) + directory("d"),
    "by long name": long_name(".wh." + "n" * 251) + file("x"),
    "longer than a name": long_name(".wh." + "n" * 300) + file("x"),
}


@pytest.mark.parametrize("name", WHITEOUTS)
def test_b5_whiteout(shelf, tmp_path, name):
    """No name of them is shown, whatever it is; what they do not name stays, also
    where one stands in the middle of a path: there it is none (umoci agrees)."""
    lower = directory("d") + file("d/a", "a") + file("f", "f") + file("stays", "s") + END
    root = shelf.rootfs(build(tmp_path / "i", [lower, WHITEOUTS[name] + END]))
    shown = paths(root)
    assert not [p for p in shown if b".wh." in p], shown
    assert read_file(root / "stays") == b"s"
    assert stat.S_ISDIR(os.lstat(root).st_mode)
    assert (root / "d").is_dir()
    if name in ("of a path", "opaque file elsewhere", "in a directory of that name"):
        assert {b"d", b"d/a", b"f"} <= shown
    if "of dots" in name or "nameless" in name or "of the root" == name:
        assert {b"d", b"d/a", b"f"} <= shown


# -- B6: rights ----------------------------------------------------------------------------

@pytest.fixture(scope="module")
def rights(tmp_path_factory):
    """(image's root in a mount for all, a file of root alone)"""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        absent("needs root and setpriv")
    # VFS_CAP_REVISION_2, effective; everything permitted.
    caps = struct.pack("<IIIII", 0x02000001, 0xffffffff, 0, 0xffffffff, 0)
    cat, shell = Path("/bin/cat").read_bytes(), Path("/usr/bin/id").read_bytes()
    tar = directory("t", mode=0o1777) + file("suid", cat, mode=0o4755) \
        + file("id", shell, mode=0o6755) + xattr({"security.capability": caps}) \
        + file("capable", cat, mode=0o755) + node("null", b"3", 1, 3, mode=0o666) \
        + node("mem", b"3", 1, 1, mode=0o666) + node("disk", b"4", 8, 0, mode=0o666) \
        + node("fuse", b"3", 10, 229, mode=0o666) + END
    folder = Path(tempfile.mkdtemp(prefix="rfs-rights-"))
    folder.chmod(0o755)
    secret = folder / "secret"
    secret.write_text("of root")
    secret.chmod(0o600)
    image = build(folder / "i", [tar])
    from emulator.client import EmulatorProcess
    emu = EmulatorProcess()
    image.fill(emu, "a")
    m = mounting.Mount(folder / "m", emu.address, allow_other=True)
    yield m / f"a/_rootfs/{image.digest}", secret
    try:
        m.finish()
    finally:
        m.destroy()
        emu.stop()
        shutil.rmtree(folder)


def as_nobody(*words):
    return run("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *words,
               check=False, timeout=20)


@pytest.mark.parametrize("program", ["suid", "capable"])
def test_b6_program(rights, program):
    root, secret = rights
    done = as_nobody(root / program, secret)
    assert done.returncode == 1 and "of root" not in done.stdout, done.stderr
    assert "ermission denied" in done.stderr
    assert "euid" not in as_nobody(root / "id").stdout


@pytest.mark.parametrize("name", ["null", "mem", "disk", "fuse"])
def test_b6_device(rights, name):
    """Shown as it is, and opened by nobody, not even root."""
    root, _ = rights
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_NONBLOCK):
        assert errno_of(os.open, root / name, flags) in ("EACCES", "EROFS", "ENXIO")


# -- B7: names -----------------------------------------------------------------------------

def odd_names():
    every = [b"n%c" % c for c in range(1, 256) if c != 0x2f]
    every += [b"%cn" % c for c in range(1, 256) if c != 0x2f]
    return every + [b"-rf", b"--help", b" ", b"\n", b"\n\n", b"\r", b"a\x1b[31mb", b"*", b"?",
                    b"...", b"a\tb", b"\xe2\x80\xae", b"\xc2\x9b", b"\xff" * 255, b"w" * 255,
                    "\u00e9".encode(), "e\u0301".encode(), b"con", b"nul.txt", b"a ", b"a.",
                    b"sha256:" + b"0" * 64, b"index.json", b"\x80\x80", b"$(id)", b"`id`"]


@pytest.mark.limit(60)
def test_b7_names(shelf, tmp_path):
    """Every byte in a name: ls, find, tar and Python see the same as on a disk."""
    names = sorted(set(odd_names()))
    tar = b"".join(pax({"path": b"d/" + n}) + file("x", n) for n in names) + END
    path = os.fsencode(shelf.layer(plain(tar)) / "d")
    assert sorted(os.listdir(path)) == names
    for name in names:
        assert read_file(path + b"/" + name) == name
    found = run("find", os.fsdecode(path), "-mindepth", "1", "-printf", "%f\\0",
                text=False).stdout
    assert sorted(found.split(b"\0")[:-1]) == names
    copy = tmp_path / "copy"
    copy.mkdir()
    packed = run("tar", "-C", os.fsdecode(path), "-cf", "-", ".", text=False).stdout
    run("tar", "-C", copy, "-xf", "-", input=packed, text=False)
    assert sorted(os.listdir(os.fsencode(copy))) == names
    assert run("ls", "-bA", os.fsdecode(path)).stdout.count("\n") == len(names)
    text = shelf.mount.log() + shelf.mount.status("errors")
    assert "\x1b" not in text and "\x9b" not in text


@pytest.mark.parametrize("name", [b"n" * 256, b"\xff" * 256, b"n" * 4000, b"a\0b", b"\0",
                                  "\U0001f600".encode() * 64, b"n\n" * 200])
def test_b7_no_name(shelf, name):
    """What no directory holds is shown by another name, or left out; never an error
    for the whole directory."""
    tar = file("d/a", "x") + pax({"path": b"d/" + name}) + file("x", "odd") \
        + file("d/z", "x") + END
    path = os.fsencode(shelf.layer(plain(tar)) / "d")
    names = os.listdir(path)
    assert {b"a", b"z"} <= set(names) and len(names) <= 4
    for one in names:
        assert 0 < len(one) <= 255 and b"/" not in one and b"\0" not in one
        assert read_file(path + b"/" + one) in (b"x", b"odd")


# -- B8: bombs of other kinds ---------------------------------------------------------------

def used(folder):
    return sum(os.lstat(os.path.join(d, n)).st_blocks * 512
               for d, _, names in os.walk(folder) for n in names)


@pytest.mark.parametrize("kind", ["attributes", "entries", "headers", "links"])
def test_b8_bomb_of_metadata(mount, emu, kind):
    """Small layers that mean much: memory stays, and what is kept on disk is in
    proportion to what the layer holds."""
    head = file("before", "x")
    tar = {
        "attributes": lambda: b"".join(
            xattr({f"user.{k}": b"v" * 20_000 for k in "abcde"}) + file(f"f{n}", "x")
            for n in range(300)),
        "entries": lambda: b"".join(header(f"d{n % 97}/e{n}", b"0") for n in range(20_000)),
        "headers": lambda: b"".join(pax({"comment": "c" * 60_000}) for _ in range(700)),
        "links": lambda: b"".join(long_link("t" * 4000) + symlink(f"s{n}", "x")
                                  for n in range(3000))}[kind]()
    digest = emu.add_blob("a", gz(head + tar + END, 1))
    m = mount(emu)
    path = m / f"a/_layers/{digest}"
    result = errno_of(os.listdir, path)
    assert result in (None, "EFBIG", "EBADMSG"), m.status("errors")
    assert m.rss() < 160 * MIB
    assert used(m.folder / "cache") < len(tar) + 16 * MIB
    assert read_file(path / "before") == b"x"


# -- B9: numbers ---------------------------------------------------------------------------

NUMBERS = {
    "size: all bits": dict(size=b"\xff" * 12), "size: letters": dict(size=b"12x45678901"),
    "size: 8 and 9": dict(size=b"00000000089\0"), "size: minus": dict(size=b"-0000000001\0"),
    "size: 2^63": dict(size=base256(1 << 63, 12)), "size: 2^64": dict(size=base256(
        1 << 64, 12)), "size: 2^63-1": dict(size=base256((1 << 63) - 1, 12)),
    "size: nothing": dict(size=bytes(12)), "size: blanks": dict(size=b" " * 12),
    "mode: all bits": dict(mode=b"\xff" * 8), "mode: 7777777": dict(mode=b"7777777\0"),
    "uid: -1": dict(uid=base256(-1, 8)), "uid: 2^55": dict(uid=base256(1 << 55, 8)),
    "gid: letters": dict(gid=b"abcdefgh"), "mtime: all bits": dict(mtime=b"\xff" * 12),
    "mtime: 2^94": dict(mtime=base256(1 << 94, 12)), "major": dict(major=b"\xff" * 8),
    "checksum: minus": dict(checksum=b"-00001\0 "),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_b9_number(shelf, name):
    """An end is made, what came before is there, and no file has a size below 0."""
    tar = file("a", "before") + file("s", "data", **NUMBERS[name]) + file("z", "z") + END
    path = shelf.layer(plain(tar))
    assert read_file(path / "a") == b"before"
    shown = survey(path) if errno_of(os.listdir, path) is None else {}
    assert all(e.size is None or e.size >= 0 for e in shown.values())
    assert errno_of(os.listdir, path) in (None, "EBADMSG")


@pytest.mark.parametrize("key, value", [
    ("size", "-1"), ("size", "18446744073709551617"), ("size", "1e3"), ("size", "0x10"),
    ("size", " 4"), ("size", "4 "), ("size", "4.0"), ("size", "9" * 400), ("mtime", "-9" * 99),
    ("mtime", "nan"), ("uid", "-1"), ("uid", "4294967296"), ("path", ""), ("linkpath", ""),
    ("GNU.sparse.realsize", "-1"), ("GNU.sparse.size", "99999999999999999999"),
    ("GNU.sparse.map", "0,1,2"), ("GNU.sparse.numblocks", "1000000000"),
    ("SCHILY.xattr.", "x"), ("SCHILY.realsize", "-5"), ("hdrcharset", "x" * 70_000)])
def test_b9_pax(shelf, key, value):
    tar = file("a", "before") + pax({key: value}) + file("s", "data") + file("z", "z") + END
    path = shelf.layer(plain(tar))
    assert read_file(path / "a") == b"before"
    assert errno_of(os.listdir, path) in (None, "EBADMSG")
    if errno_of(os.listdir, path) is None:
        assert all(e.size is None or e.size >= 0 for e in survey(path).values())


# -- B10: two readings ---------------------------------------------------------------------

def mutants(seed, count):
    """Archives in which a few bytes of headers are others, with right sums."""
    dice = random.Random(seed)
    parts = [directory("d"), file("d/a", "A" * 600), pax({"path": "d/long"}), file("x", "L"),
             long_name("d/gnu"), file("x", "G" * 520), symlink("s", "d/a"),
             hardlink("h", "d/a"), pax({"size": "3"}), file("z", "end")]
    spots = [*range(0, 10), *range(100, 108), *range(124, 136), 156, *range(157, 165),
             *range(257, 265), 345]
    for _ in range(count):
        tar = bytearray(b"".join(parts) + END)
        blocks = [at for at in range(0, len(tar), BLOCK) if tar[at + 257:at + 262] == b"ustar"]
        for _ in range(dice.randrange(1, 4)):
            at = dice.choice(blocks)
            tar[at + dice.choice(spots)] = dice.choice(
                (0, 0x20, 0x2f, 0x2e, 0x30, 0x31, 0x35, 0x37, 0x38, 0x80, 0xff, ord("x"),
                 ord("g"), ord("L"), ord("S"), dice.randrange(256)))
            tar[at + 148:at + 156] = b" " * 8
            tar[at + 148:at + 156] = b"%06o\0 " % sum(tar[at:at + BLOCK])
        yield bytes(tar)


@pytest.mark.limit(60 * MORE)
@pytest.mark.parametrize("seed", range(3))
def test_b10_mutants(shelf, tmp_path, seed):
    """Where GNU tar and bsdtar read the same, it is shown the same, or refused; names
    and bytes that neither of them sees are not shown."""
    agreed = 0
    for n, tar in enumerate(mutants(seed, 10 * MORE)):
        path = shelf.layer(plain(tar))
        one = unpack("tar", tar, tmp_path / f"t{n}")
        two = unpack("bsdtar", tar, tmp_path / f"b{n}")
        ignore = ("mtime_ns", "nlink", "names")
        if differences(one, two, ignore=ignore, skip=[b""]):
            continue
        if errno_of(os.listdir, path) is not None or len(one) < 3:
            continue
        lines = differences(survey(path), one, ignore=ignore, skip=[b""])
        assert not lines, (n, lines)
        agreed += 1
    assert agreed > 1


SMUGGLED = {
    # A header within a file's data, which is skipped by whoever believes another size.
    "pax size over header": (pax({"size": str(3 * BLOCK)}) + header("carrier", size=0)
                             + file("hidden", "x" * 600), {b"carrier", b"z"}),
    "header over pax of another": (pax({"size": "5"}) + long_name("n" * 120) + file(
        "x", "12345"), {b"n" * 120, b"z"}),
    "size for a directory": (header("d", b"5", size=BLOCK) + file("in", "x"),
                             None),
    "size for a symlink": (header("l", b"2", link="t", size=BLOCK) + file("in", "x"), None),
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_b10_smuggled(shelf, tmp_path, name):
    """A file within a file is seen by whom GNU tar shows it, and by nobody else."""
    part, want = SMUGGLED[name]
    tar = part + file("z", "z") + END
    truth = unpack("tar", tar, tmp_path / "t")
    shown = survey(shelf.layer(plain(tar)))
    assert set(shown) - {b""} == set(truth) - {b""}
    if want:
        assert set(shown) - {b""} == want


# -- B13: no byte without its digest -------------------------------------------------------

@pytest.mark.limit(60 * MORE)
def test_b13_every_offset(mount, emu):
    """One wrong byte at any place of a blob: never rc 0."""
    blob = gz(random.Random(2).randbytes(20_000), 1)
    m = mount(emu, timeout=2, retries=1)
    digest = emu.add_blob("a", blob)
    path = m / f"a/_blobs/{digest}"
    os.stat(path)
    dice = random.Random(3)
    for at in [0, 1, len(blob) - 1, *(dice.randrange(len(blob)) for _ in range(27 * MORE))]:
        emu.fault(path=digest, method="GET", count=0, flip=at)
        assert errno_of(read_file, path) == "EBADMSG", at
        emu.clear_faults()
    emu.fault(path=digest, method="GET", count=0, flip=7)
    done = run("cat", path, check=False, text=False)
    assert done.returncode == 1 and b"Bad message" in done.stderr
    emu.clear_faults()
    assert sha256(read_file(path)) == digest


# -- B14: sizes ----------------------------------------------------------------------------

@pytest.mark.parametrize("what", ["layer", "config", "child"])
@pytest.mark.parametrize("size", [0, 1, 10_000_000, 1 << 50, (1 << 50) + 1, (1 << 63) - 1])
def test_b14_size(shelf, what, size):
    """A descriptor of another size than its blob's: an error, never a short file,
    nor one with something behind its end."""
    emu, folder = shelf.emu, shelf.mount / "t"
    layer, config = gz(file("a", f"{what} {size}") + END), b'{"os":"linux","x":%d}' % size
    for data in (layer, config):
        emu.add_blob("t", data)
    parts = {"layer": {"mediaType": LAYER, "digest": sha256(layer), "size": len(layer)},
             "config": {"mediaType": CONFIG, "digest": sha256(config), "size": len(config)}}
    if what in parts:
        parts[what]["size"] = size
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": parts["config"],
                "layers": [parts["layer"]]}
    digest, truth = emu.add_manifest("t", document), layer if what == "layer" else config
    if what == "child":
        truth = json.dumps(document).encode()
        digest = emu.add_manifest("t", {"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            {"mediaType": MANIFEST, "digest": digest, "size": size}]})
    name = f"_manifests/{digest}/blobs/sha256/{sha256(truth)[7:]}"
    try:
        read_file(folder / name)
    except OSError as e:
        assert errno.errorcode[e.errno] in ("EBADMSG", "EIO", "EFBIG", "EINVAL")
        return
    pytest.fail("it was read")


# -- B15: extremes -------------------------------------------------------------------------

def test_b15_deep_tree_of_directories(mount, emu):
    """Two thousand directories, each within the one before, and their removal above."""
    deep = "d/" * 1990
    digest = emu.add_blob("a", gz(pax({"path": deep + "f"}) + file("x", "x")
                                  + file("top", "t") + END))
    m = mount(emu)
    path = m / f"a/_layers/{digest}"
    assert read_file(path / "top") == b"t"
    assert sorted(os.listdir(path)) == ["d", "top"]
    assert m.rss() < 128 * MIB


@pytest.mark.parametrize("seconds", [-(1 << 62), -1, 0, (1 << 31), (1 << 33), (1 << 62)])
def test_b15_time(shelf, seconds):
    """Shown as it is, or at the end of what can be shown; the next file is right."""
    tar = file("a", "x", mtime=base256(seconds, 12)) + pax({"mtime": f"{seconds}.5"}) \
        + file("b", "x") + file("z", "z", mtime=7) + END
    path = shelf.layer(plain(tar))
    for name in "ab":
        assert -(1 << 63) <= os.stat(path / name).st_mtime_ns // 10**9 < (1 << 63)
    if abs(seconds) < 1 << 34:
        assert os.stat(path / "a").st_mtime_ns == seconds * 10**9
    assert os.stat(path / "z").st_mtime == 7
    assert run("ls", "-l", path).returncode == 0


@pytest.mark.parametrize("count", [0, 1, 128, 4096])
def test_b15_layers(shelf, tmp_path, count):
    """As many layers as a manifest may have; one more is refused."""
    layer, over = Layer(file("a", "x") + END), count == 4096
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": {
        "mediaType": CONFIG, "size": 2, "digest": shelf.emu.add_blob("t", b"{}")},
        "layers": [{"mediaType": GZIP, "size": len(layer.blob),
                    "digest": shelf.emu.add_blob("t", layer.blob)}] * (count + over)}
    digest = shelf.emu.add_manifest("t", document)
    folder = shelf.mount / f"t/_manifests/{digest}"
    if over:
        assert errno_of(os.listdir, folder / "layers") in ("EFBIG", "EINVAL", "EBADMSG", "EIO")
    else:
        assert len(os.listdir(folder / "layers")) == count
