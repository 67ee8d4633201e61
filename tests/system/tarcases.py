# SPDX-License-Identifier: Apache-2.0
"""Archives with one peculiarity each, and what a tree of them must show.

The oracle is what GNU tar and bsdtar make of the archive; where these disagree
with each other or with the image-spec, the expected value stands here, with the
reason.
"""
from dataclasses import dataclass, field

from images import STAMP
from survey import text_digest
from tarmaker import (BLOCK, END, GNU, V7, base256, directory, fifo, file, hardlink,
                      header, libarchive_xattr, long_link, long_name, node, octal,
                      opaque, padded, pax, pax_global, sparse_00, sparse_01,
                      sparse_10, sparse_old, symlink, whiteout, whole,
                      xattr)

NS = 10**9
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
ROOT_DIR = dict(kind="dir", mode=0o755, uid=0, gid=0)
BINARY = bytes(range(256))


@dataclass
class Case:
    """expect: {path: {field: value}}, over what the oracle says; None: absent.
    With oracle "none" it is all that there is."""
    tar: bytes
    oracle: str = "both"                # both (they must agree), tar, bsdtar, none
    expect: dict = field(default_factory=dict)
    why: str = ""
    implied: tuple = ()                 # directories without an entry
    ignore: dict = field(default_factory=dict)     # {path: fields}


def text(data):
    """The fields of a file with this content."""
    return dict(kind="file", size=len(data), content=text_digest(data))


CASES = {}

# -- names (F.4, B.4: all path spellings) ----------------------------------------
DEEP = "d" * 90 + "/" + "e" * 90 + "/" + "f" * 120
WIDE = "w" * 255
CASES |= {
    "dot slash": Case(directory("./", mode=0o750, uid=7) + directory("./a")
                      + file("./a/b", "x") + END,
                      expect={"": dict(mode=0o750, uid=7, mtime_ns=STAMP * NS)}),
    "lone dot": Case(directory(".", mode=0o711) + file("b", "x") + END, "tar",
                     {"": dict(mode=0o711)}, "bsdtar leaves it as it is"),
    "absolute": Case(directory("/a") + file("/a/b", "x") + file("//c", "y") + END),
    "double slash": Case(directory("a/") + file("a//b", "x") + file("a/./c", "y") + END),
    "slash at the end of a file": Case(
        file("a/", "", type=b"0") + file("b", "x") + END, "none",
        {"a": dict(kind="file", size=0), "b": text(b"x")},
        "type 0 says file; only the old NUL type makes it a directory"),
    "dot dot": Case(
        file("../up", "x") + file("a/../../up", "x") + file("a/../b", "x")
        + file("..", "x") + file("/../up", "x") + file("c/..", "x")
        + file("..d", "in") + file("e..", "in") + file("...", "in") + END, "none",
        {n: text(b"in") for n in ("..d", "e..", "...")},
        "entries with a component .. are left out (faults B1)"),
    "root is a link": Case(
        symlink("./", "/etc") + symlink(".", "/etc") + symlink("/", "/etc")
        + file("passwd", "in") + END, "none",
        {"": ROOT_DIR, "passwd": text(b"in")},
        "the root is a directory, whatever an entry says (CVE-2021-29136)"),
    "root is a file": Case(
        directory("a") + file(".", "x") + node("./", b"3", 1, 3) + file("b", "in")
        + END, "none", {"": ROOT_DIR, "a": ROOT_DIR, "b": text(b"in")},
        "as above"),
    "empty name": Case(file("", "x") + file("b", "in") + END, "none",
                       {"": ROOT_DIR, "b": text(b"in")}, "names nothing"),
    "ustar prefix": Case(directory("p" * 100, prefix="") + file(
        "n" * 100, "x", prefix="p" * 100) + END),
    "old gnu has no prefix": Case(
        file("a", "x", magic=GNU, extra={345: octal(STAMP, 12) + octal(STAMP, 12)})
        + END),
    "v7": Case(directory("a/", magic=V7, type=b"\0") + file("a/b", "x", magic=V7)
               + file("c", "x", magic=V7, type=b"\0")
               + symlink("l", "c", magic=V7) + hardlink("h", "c", magic=V7) + END),
    "gnu long name": Case(
        directory("d" * 90) + long_name(DEEP) + file(DEEP[:100], "x", magic=GNU) + END,
        implied=("d" * 90 + "/" + "e" * 90,)),
    "gnu long name without an end": Case(
        long_name("n" * 150, end=b"") + file("n" * 100, "x", magic=GNU) + END),
    "gnu long link": Case(
        file("f", "x", magic=GNU) + long_link("t" * 200)
        + symlink("l", "t" * 100, magic=GNU) + long_name("n" * 180)
        + file("n" * 100, "y", magic=GNU) + long_link("n" * 180) + long_name("m" * 170)
        + hardlink("m" * 100, "n" * 100, magic=GNU) + END),
    "pax path": Case(
        pax({"path": DEEP}) + file("short", "x") + pax({"path": "l", "linkpath":
                                                        "t" * 1000})
        + symlink("x", "y") + END, implied=("d" * 90, "d" * 90 + "/" + "e" * 90)),
    "255 bytes": Case(pax({"path": WIDE}) + file("x", "x")
                      + pax({"path": WIDE[:-2] + "\u00e9"}) + file("x", "y") + END),
    "path of 3,900 bytes": Case(
        pax({"path": "/".join(["q" * 129] * 30)}) + file("x", "deep") + END,
        implied=tuple("/".join(["q" * 129] * n) for n in range(1, 30))),
    "pax over gnu": Case(
        long_name("by-gnu") + pax({"path": "by-pax"}) + file("by-header", "x") + END,
        "none", {"by-pax": text(b"x")}, "x has force over L"),
    "gnu after pax": Case(
        pax({"path": "by-pax"}) + long_name("by-gnu") + file("by-header", "x") + END,
        "none", {"by-pax": text(b"x")}, "whatever their order"),
    "not UTF-8": Case(file(b"caf\xe9", "x") + directory(b"\xff\xfe") + file(
        b"\xff\xfe/\x80", "y") + symlink("l", b"\xc3\x28") + END),
    "hdrcharset": Case(
        pax([("hdrcharset", "BINARY"), ("path", b"bin\xff\xfe")]) + file("x", "x") + END,
        "none", {b"bin\xff\xfe": text(b"x")}, "names are bytes"),
    "control characters": Case(
        file("a\nb", "x") + file("\x1b[31m", "y") + file("tab\there", "z")
        + file("back\\slash", "b") + END),
    "prefix and pax": Case(
        pax({"path": "only-this"}) + file("x", "x", prefix="not-this") + END),
    "NUL in a name": Case(
        pax({"path": b"a\0b"}) + file("x", "x") + file("c", "in") + END, "none",
        {"c": text(b"in")}, "left out: no system has such a name"),
    "whiteouts are files": Case(
        directory("d") + whiteout("d/gone") + opaque("d") + opaque()
        + file("d/.wh..wh.plnk", "") + file(".wh.", "") + END),
}

# -- numbers and times -----------------------------------------------------------
CASES |= {
    "octal, leading blanks": Case(file(
        "a", "x", mode=b"   644 \0", uid=b"    17 \0", mtime=b" 1234567012 ") + END),
    "octal, full width": Case(file(
        "a", "x", uid=b"00000017", gid=b"00000021", size=b"000000000001",
        mtime=b"012345670123") + END),
    "base 256": Case(
        file("a", "x", uid=base256(4_000_000_000, 8), gid=base256(3_000_000, 8),
             size=base256(1, 12), mtime=base256(STAMP + 5, 12), magic=GNU) + END),
    "before 1970": Case(file("a", "x", mtime=base256(-86_400, 12), magic=GNU) + END),
    "after 2038": Case(file("a", "x", mtime=base256(5_000_000_000, 12), magic=GNU)
                       + END),
    "pax times": Case(
        pax({"mtime": f"{STAMP}.123456789", "atime": "1.5", "ctime": "2.5"})
        + file("a", "x") + pax({"mtime": f"{STAMP}.5"}) + directory("d")
        + pax({"mtime": f"{STAMP}.25"}) + symlink("l", "t") + END,
        expect={"a": dict(mtime_ns=STAMP * NS + 123_456_789)}),
    "pax time before 1970": Case(
        pax({"mtime": "-1.5"}) + file("a", "x") + pax({"mtime": "-0.25"})
        + file("b", "x") + END, "tar",
        {"a": dict(mtime_ns=-1_500_000_000), "b": dict(mtime_ns=-250_000_000)}),
    "more digits than there are": Case(
        pax({"mtime": f"{STAMP}.1234567899999"}) + file("a", "x") + END,
        expect={"a": dict(mtime_ns=STAMP * NS + 123_456_789)}),
    "pax owner": Case(
        pax({"uid": "3000000", "gid": "4000000000"}) + file("a", "x") + END),
    "mode with the type's bits": Case(file("a", "x", mode=0o100644)
                                      + directory("d", mode=0o40755) + END),
    "setuid": Case(
        file("a", "x", mode=0o4755) + file("b", "x", mode=0o2711)
        + directory("t", mode=0o1777) + directory("g", mode=0o2775)
        + file("n", "x", mode=0) + END),
    "signed checksum": Case(file(b"caf\xe9\xff\xff", "x", signed=True) + END),
}

# -- types -------------------------------------------------------------------------
CASES |= {
    "devices": Case(
        node("null", b"3", 1, 3, mode=0o666) + node("disk", b"4", 8, 17, mode=0o660,
                                                    gid=6)
        + node("big", b"3", 300, 70_000) + fifo("pipe", mode=0o622) + END),
    "device numbers by pax": Case(
        pax({"SCHILY.devmajor": "300", "SCHILY.devminor": "1000"})
        + node("a", b"3", 300, 1000) + END),
    "contiguous": Case(file("a", "data", type=b"7") + file("b", "x") + END),
    "unknown type": Case(
        file("a", "data", type=b"Q") + file("b", "x") + END, "none",
        {"a": text(b"data"), "b": text(b"x")}, "POSIX: as a regular file"),
    "volume label": Case(
        header("label", b"V", magic=GNU) + file("b", "x") + END, "none",
        {"b": text(b"x")}, "no file"),
    "no data follows": Case(
        symlink("l", "t", size=5) + directory("d", size=700) + fifo("p", size=1)
        + node("n", b"3", 1, 3, size=9999) + file("b", "x") + END, "none",
        {"l": dict(kind="symlink", link=b"t"), "d": dict(kind="dir"),
         "p": dict(kind="fifo"), "n": dict(kind="char", rdev=(1, 3)),
         "b": text(b"x")}, "types 1 to 6 have none whatever the field says"),
    "hard link with a size": Case(
        file("a", "data") + hardlink("h", "a", size=4) + file("b", "x") + END, "none",
        {"a": {**text(b"data"), "nlink": 2}, "h": text(b"data"), "b": text(b"x")},
        "as every container tool reads it"),
    "symlinks are verbatim": Case(
        symlink("a", "/etc/passwd") + symlink("b", "../../../x//y/") + symlink("c", "a")
        + symlink("d", ".") + END),
    "dump directory": Case(
        header("d", b"D", size=4, magic=GNU, mode=0o755) + padded(b"Yx\0\0")
        + file("b", "x") + END, "none", {"d": dict(kind="dir"), "b": text(b"x")},
        "a directory whose data lists names"),
}

# -- pax -----------------------------------------------------------------------------
GLOBALS = pax_global({"mtime": "1000000000", "uid": "77", "comment": "all"})
CASES |= {
    "global": Case(GLOBALS + file("a", "x") + pax({"uid": "5"}) + file("b", "y") + END,
                   "tar", {"a": dict(uid=77, mtime_ns=NS * NS),
                           "b": dict(uid=5, mtime_ns=NS * NS)}, "bsdtar has none"),
    "empty value": Case(
        GLOBALS + pax({"uid": "", "mtime": ""}) + file("a", "x", uid=3) + END, "none",
        {"a": {**text(b"x"), "uid": 3, "mtime_ns": STAMP * NS}},
        "deletes the key, the header counts"),
    "size by pax": Case(
        pax({"size": "1030"}) + header("a", size=0) + padded(b"y" * 1030)
        + file("b", "x") + END),
    "size by pax is not for the long name": Case(
        pax({"size": "3"}) + long_name("n" * 120) + file("n" * 100, "abc") + END, "none",
        {"n" * 120: text(b"abc")}, "pax size is the entry's, never L's (faults B10)"),
    "records with anything in them": Case(
        pax([("comment", "a=b\nc"), ("user.unknown", b"\0\n="), ("path", "n=o\nw")])
        + file("x", "x") + END),
    "the last record wins": Case(pax([("path", "first"), ("path", "second")])
                                 + file("x", "x") + END),
    "two headers": Case(
        pax({"uid": "9"}) + pax({"gid": "8"}) + file("a", "x") + END, "none",
        {"a": {**text(b"x"), "gid": 8}}, "of uid nobody agrees"),
}

# -- extended attributes -------------------------------------------------------------
CASES |= {
    "xattrs": Case(
        xattr({"user.text": b"v", "user.binary": BINARY, "user.long": b"l" * 3000,
               "security.capability": CAPABILITY}) + file("a", "x")
        + xattr({"user.d": b"\0\0"}) + directory("d") + END),
    "trusted": Case(xattr({"trusted.other": b"1"}) + file("a", "x") + END),
    "trusted.overlay": Case(
        xattr({"trusted.overlay.opaque": b"y", "trusted.overlay.redirect": b"/x",
               "user.kept": b"1"}) + directory("d") + file("d/a", "x") + END, "none",
        {"d": dict(kind="dir", xattrs={"user.kept": b"1"}), "d/a": text(b"x")},
        "means something to whoever mounts, not to the image"),
    "our own names": Case(
        xattr({"user.registryfs.layer": b"lie", "user.kept": b"1"}) + file("a", "x")
        + END, "none", {"a": dict(kind="file", xattrs={"user.kept": b"1"})},
        "an image cannot speak for the mount"),
    "libarchive": Case(
        pax([libarchive_xattr("user.one", BINARY),
             libarchive_xattr("user.sp%20ace%3D", b"two")]) + file("a", "x") + END,
        "bsdtar", {"a": dict(xattrs={"user.one": BINARY, "user.sp ace=": b"two"})}),
    "both kinds": Case(
        pax([("SCHILY.xattr.user.a", b"schily"), libarchive_xattr("user.a", b"other"),
             libarchive_xattr("user.b", b"kept")]) + file("a", "x")
        + pax([libarchive_xattr("user.a", b"other"), ("SCHILY.xattr.user.a", b"schily")])
        + file("b", "x") + END, "none",
        {"a": {**text(b"x"), "xattrs": {"user.a": b"schily", "user.b": b"kept"}},
         "b": {**text(b"x"), "xattrs": {"user.a": b"schily"}}}, "SCHILY wins"),
    "on a symlink": Case(xattr({"security.x": b"1"}) + symlink("l", "t") + END, "tar"),
}

# -- sparse --------------------------------------------------------------------------
SIZE = 100_000
PIECES = [(0, b"a" * 512), (4096, b"b" * 1024), (69_632, b"c" * 100), (SIZE, b"")]
MANY = [(n * 2048, bytes([65 + n % 26]) * 512) for n in range(60)] + [(200_000, b"")]
SPARSE = {"old": sparse_old, "0.0": sparse_00, "0.1": sparse_01, "1.0": sparse_10}
for _name, _make in SPARSE.items():
    _odd = text(whole([(3, b"odd"), (1000, b"places")], 5000))
    CASES |= {
        f"sparse {_name}": Case(
            _make("s", PIECES, SIZE) + file("b", "x") + END, "tar",
            {"s": text(whole(PIECES, SIZE))}),
        f"sparse {_name}, many pieces": Case(
            _make("s", MANY, 200_000, uid=9) + file("b", "x") + END, "tar",
            {"s": {**text(whole(MANY, 200_000)), "uid": 9}}),
        f"sparse {_name}, all hole": Case(
            _make("s", [(SIZE, b"")], SIZE) + file("b", "x") + END, "tar",
            {"s": text(bytes(SIZE))}),
        f"sparse {_name}, no map": Case(
            _make("s", [], SIZE) + file("b", "x") + END, "none",
            {"s": text(bytes(SIZE)), "b": text(b"x")}, "no piece: all of it a hole"),
        f"sparse {_name}, unaligned": Case(
            _make("s", [(3, b"odd"), (1000, b"places")], 5000) + file("b", "x") + END,
            "none", {"s": _odd, "b": text(b"x")}, "pieces follow each other unpadded"),
    }
CASES["sparse old, name by pax and L"] = Case(
    long_name("n" * 130) + sparse_old("x", PIECES, SIZE) + END, "tar",
    {"n" * 130: text(whole(PIECES, SIZE))})

# -- links and what stands in the way (B.4) ------------------------------------------
CASES |= {
    "hard links": Case(
        directory("d") + file("d/a", "data", mode=0o600) + hardlink("b", "d/a")
        + hardlink("c", "b") + END),
    "spellings of a target": Case(
        file("a", "data") + hardlink("b", "./a") + hardlink("c", "/a")
        + hardlink("e", ".//a") + END),
    "hard link to a symlink": Case(file("t", "data") + symlink("l", "t")
                                   + hardlink("h", "l") + END),
    "hard link to a device": Case(node("n", b"3", 1, 3) + hardlink("h", "n")
                                  + fifo("p") + hardlink("q", "p") + END),
    "hard link to nothing": Case(
        hardlink("h", "nowhere") + file("b", "x") + END, "none",
        {"h": dict(content="ENOENT"), "b": text(b"x")}, "ENOENT on open"),
    "hard link to a directory": Case(
        directory("d") + file("d/a", "data") + hardlink("h", "d") + END, "none",
        {"d": ROOT_DIR, "d/a": text(b"data"), "h": dict(content="ENOENT")},
        "no system has such a link"),
    "hard links in a circle": Case(
        hardlink("a", "b") + hardlink("b", "a") + hardlink("c", "c") + file("d", "x")
        + END, "none", {"a": dict(content="ENOENT"), "b": dict(content="ENOENT"),
                        "c": dict(content="ENOENT"), "d": text(b"x")},
        "none of them is anything"),
    "hard link out of the tree": Case(
        hardlink("h", "../../etc/passwd") + hardlink("i", "/../etc/passwd") + END,
        "none", {"": ROOT_DIR}, "left out, as a name with .. is"),
    "duplicates": Case(
        file("a", "old") + file("a", "newer") + symlink("l", "x") + symlink("l", "y")
        + file("b", "old") + symlink("b", "a") + symlink("c", "a") + file("c", "new")
        + END),
    "directory twice": Case(
        directory("d", mode=0o700, uid=5) + file("d/a", "x") + directory("d", mode=0o755)
        + END),
    "file over a directory": Case(
        directory("d") + file("d/a", "x") + file("d", "now a file") + END, "none",
        {"d": text(b"now a file")}, "the last wins; the old tree is gone"),
    "directory over a file": Case(
        file("d", "x") + directory("d") + file("d/a", "in") + END, "none",
        {"d": ROOT_DIR, "d/a": text(b"in")}, "the last wins"),
    "directory over a symlink": Case(
        directory("t") + symlink("d", "t") + directory("d") + file("d/a", "in") + END,
        "none", {"t": ROOT_DIR, "d": ROOT_DIR, "d/a": text(b"in")},
        "the last wins; never through the link"),
    "through a symlink": Case(
        directory("t") + symlink("l", "t") + file("l/a", "in")
        + symlink("m", "/etc") + file("m/registryfs-test", "in") + END, "none",
        {"t": ROOT_DIR, "l": dict(kind="dir"), "l/a": text(b"in"),
         "m": dict(kind="dir"), "m/registryfs-test": text(b"in")},
        "a parent that is no directory becomes one"),
    "through a file": Case(
        file("f", "x") + file("f/a", "in") + END, "none",
        {"f": dict(kind="dir"), "f/a": text(b"in")}, "as above"),
    "link kept when its first name is replaced": Case(
        file("a", "old") + hardlink("b", "a") + file("a", "new") + END),
    "implied parents": Case(
        file("a/b/c", "x", uid=9) + END, "both",
        {"a": ROOT_DIR, "a/b": ROOT_DIR}, implied=("a", "a/b")),
    "parent after child": Case(
        file("a/b", "x") + directory("a", mode=0o710, uid=4) + END),
    "parent by a link's replacement": Case(
        file("a", "data") + hardlink("b", "a") + directory("a") + file("a/c", "in")
        + END, "none", {"a": ROOT_DIR, "a/c": text(b"in"),
                        "b": {**text(b"data"), "nlink": 1}}, "the last wins"),
}

# -- the end of an archive -----------------------------------------------------------
CASES |= {
    "one zero block": Case(file("a", "x") + bytes(BLOCK)),
    "no zero block": Case(file("a", "x")),
    "garbage after the end": Case(file("a", "x") + END + b"\1garbage" * 999),
    "another archive after the end": Case(file("a", "x") + END + file("b", "y") + END),
    "much padding": Case(file("a", "x") + END + bytes(200_000)),
    "only an end": Case(END, "none", {"": ROOT_DIR}, "an empty layer"),
    "windows": Case(
        pax({"MSWINDOWS.fileattr": "16", "LIBARCHIVE.creationtime": "1.5",
             "MSWINDOWS.rawsd": "AQAUgBQ="}) + directory("Files")
        + pax({"MSWINDOWS.fileattr": "32"}) + file("Files/a.txt", "dos")
        + directory("Hives") + file("Hives/Sam_Delta", "hive") + END),
}

DAMAGED = {
    "sparse old, overlapping": sparse_old("s", PIECES, SIZE,
                                          [(0, 512), (256, 1024), (8192, 100)]),
    "sparse 1.0, backwards": sparse_10("s", PIECES, SIZE,
                                       [(4096, 512), (0, 1024), (8192, 100)]),
    "sparse 0.1, over its size": sparse_01("s", PIECES, SIZE,
                                           [(0, 512), (4096, 1024), (SIZE, 100)]),
    "sparse 0.0, more than is stored": sparse_00("s", PIECES, SIZE,
                                                 [(0, 512), (4096, 90_000)]),
    "sparse 1.0, letters": pax({"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
                                "GNU.sparse.name": "s", "GNU.sparse.realsize": "9"})
    + file("x", b"1\nabc\n0\n"),
    "wrong checksum": file("s", "x", checksum=b"000001\0 "),
    "negative size": file("s", b"x", size=base256(-512, 12)),
    "size over all": header("s", size=base256(1 << 62, 12)),
    "pax record too long": pax(b"999 path=a\n") + file("s", "x"),
    "pax record without a number": pax(b"path=a\n") + file("s", "x"),
    "pax record of length 0": pax(b"0 path=a\n") + file("s", "x"),
    "pax size negative": pax({"size": "-1"}) + file("s", "x"),
    "pax header over its maximum": pax({"comment": b"c" * (1 << 20)}) + file("s", "x"),
    "long name over its maximum": long_name(b"n/" * (1 << 20)) + file("s", "x"),
    "not a header": b"\1" * BLOCK,
}
