# SPDX-License-Identifier: Apache-2.0
"""Tar archives made by hand, layers and images made of them.

Every function returns bytes, so an archive is a sum:

    file("a", b"text") + whiteout("b") + pax({"path": "c"}) + file("x") + END

Fields are named as in registries of tar formats; each may be given as bytes,
which go into the header as they are.  Nothing is checked: what no tar program
would write is what these are for.
"""
import base64
import gzip
import json
import struct
import subprocess
import zlib
from dataclasses import dataclass, field

from images import CONFIG, CREATED, MANIFEST, STAMP, Layout
from tools import run, sha256

BLOCK = 512
END = bytes(2 * BLOCK)
USTAR, GNU, V7 = b"ustar\x0000", b"ustar  \0", bytes(8)
# name: (offset, length)
FIELDS = {
    "name": (0, 100), "mode": (100, 8), "uid": (108, 8), "gid": (116, 8),
    "size": (124, 12), "mtime": (136, 12), "checksum": (148, 8), "type": (156, 1),
    "link": (157, 100), "magic": (257, 8), "uname": (265, 32), "gname": (297, 32),
    "major": (329, 8), "minor": (337, 8), "prefix": (345, 155),
}
NUMBERS = ("mode", "uid", "gid", "size", "mtime", "major", "minor")
TAR, GZIP, ZSTD = (f"application/vnd.oci.image.layer.v1.tar{s}"
                   for s in ("", "+gzip", "+zstd"))


def raw(text):
    """Names may be str or bytes."""
    return text.encode() if isinstance(text, str) else bytes(text)


# -- headers -------------------------------------------------------------------

def octal(value, length):
    return b"%0*o\0" % (length - 1, value)


def base256(value, length):
    """GNU's binary numbers, also negative ones."""
    data = bytearray(value.to_bytes(length, "big", signed=value < 0))
    data[0] |= 0x80
    return bytes(data)


def number(value, length):
    """As GNU tar writes it: octal if it fits."""
    if 0 <= value < 8 ** (length - 1):
        return octal(value, length)
    return base256(value, length)


def header(name=b"", type=b"0", signed=False, **fields):
    """One block.  checksum: bytes instead of the right ones."""
    values = {"mode": 0o644, "uid": 0, "gid": 0, "size": 0, "mtime": STAMP,
              "magic": USTAR, "uname": "", "gname": "", "major": 0, "minor": 0,
              **fields, "name": name, "type": type}
    checksum = values.pop("checksum", None)
    extra = values.pop("extra", {})             # {offset: bytes}, last of all
    block = bytearray(BLOCK)
    for key, value in values.items():
        off, length = FIELDS[key]
        if key in NUMBERS and isinstance(value, int):
            value = number(value, length)
        value = raw(value)[:length]
        block[off:off + len(value)] = value
    for off, value in extra.items():
        block[off:off + len(value)] = value
    off, length = FIELDS["checksum"]
    block[off:off + length] = b" " * length
    total = sum(b - 256 if signed and b > 127 else b for b in block)
    block[off:off + length] = checksum or b"%06o\0 " % (total & 0o777777)
    return bytes(block)


def padded(data):
    return data + bytes(-len(data) % BLOCK)


# -- entries -------------------------------------------------------------------

def file(name, data=b"", **fields):
    data = raw(data)
    fields.setdefault("size", len(data))
    return header(name, **fields) + padded(data)


def directory(name, **fields):
    fields.setdefault("mode", 0o755)
    fields.setdefault("type", b"5")
    return header(name, **fields)


def symlink(name, target, **fields):
    fields.setdefault("mode", 0o777)
    return header(name, b"2", link=target, **fields)


def hardlink(name, target, **fields):
    return header(name, b"1", link=target, **fields)


def node(name, type, major=0, minor=0, **fields):
    """type: b"3" character device, b"4" block device, b"6" fifo."""
    return header(name, type, major=major, minor=minor, **fields)


def fifo(name, **fields):
    return node(name, b"6", **fields)


def whiteout(path, **fields):
    head, _, tail = raw(path).rpartition(b"/")
    return file((head + b"/" if head else b"") + b".wh." + tail, **fields)


def opaque(path=""):
    return file((raw(path) + b"/" if path else b"") + b".wh..wh..opq")


# -- what comes before an entry ------------------------------------------------

def record(key, value):
    body = b" " + raw(key) + b"=" + raw(value) + b"\n"
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length += 1
    return str(length).encode() + body


def records(pairs):
    if isinstance(pairs, dict):
        pairs = pairs.items()
    return b"".join(record(k, v) for k, v in pairs)


def pax(pairs, type=b"x", name="PaxHeaders.0/x"):
    """pairs: a dict, a list of pairs, or the records' bytes themselves."""
    data = pairs if isinstance(pairs, bytes) else records(pairs)
    return file(name, data, type=type)


def pax_global(pairs):
    return pax(pairs, b"g", "PaxHeaders.0/g")


def long_name(text, type=b"L", end=b"\0"):
    return file("././@LongLink", raw(text) + end, type=type, magic=GNU, mode=0)


def long_link(text, **options):
    return long_name(text, b"K", **options)


def xattr(pairs):
    return pax([("SCHILY.xattr." + k, v) for k, v in pairs.items()])


def libarchive_xattr(name, value):
    return ("LIBARCHIVE.xattr." + name, base64.b64encode(value).rstrip(b"="))


def long_path(name):
    """A path that no header field holds, by pax."""
    return pax({"path": name})


# -- sparse files --------------------------------------------------------------

def whole(pieces, size):
    """The content that a sparse file reads as; pieces: [(offset, data)]."""
    data = bytearray(size)
    for off, piece in pieces:
        data[off:off + len(piece)] = piece
    return bytes(data)


def sparse_old(name, pieces, size, map=None, **fields):
    """GNU's typeflag S.  map: [(offset, length)] if it is to lie."""
    map = [(o, len(d)) for o, d in pieces] if map is None else map
    data = b"".join(d for _, d in pieces)

    def pairs(items):
        return b"".join(number(o, 12) + number(n, 12) for o, n in items)

    rest, blocks = map[4:], b""
    extra = {386: pairs(map[:4]), 482: b"\1" if rest else b"\0",
             483: number(size, 12)}
    while rest:
        items, rest = rest[:21], rest[21:]
        blocks += (pairs(items).ljust(504, b"\0") + (b"\1" if rest else b"\0")
                   ).ljust(BLOCK, b"\0")
    fields.setdefault("size", len(data))
    return header(name, b"S", magic=GNU, extra=extra, **fields) + blocks + padded(data)


def sparse_00(name, pieces, size, map=None, **fields):
    map = [(o, len(d)) for o, d in pieces] if map is None else map
    keys = [("GNU.sparse.size", str(size)), ("GNU.sparse.numblocks", str(len(map)))]
    for off, length in map:
        keys += [("GNU.sparse.offset", str(off)), ("GNU.sparse.numbytes", str(length))]
    return pax(keys) + file(name, b"".join(d for _, d in pieces), **fields)


def sparse_01(name, pieces, size, map=None, **fields):
    map = [(o, len(d)) for o, d in pieces] if map is None else map
    text = ",".join(f"{o},{n}" for o, n in map)
    keys = [("GNU.sparse.size", str(size)), ("GNU.sparse.numblocks", str(len(map))),
            ("GNU.sparse.map", text), ("GNU.sparse.name", name)]
    return pax(keys) + file("GNUSparseFile.0/x", b"".join(d for _, d in pieces),
                            **fields)


def sparse_10(name, pieces, size, map=None, **fields):
    map = [(o, len(d)) for o, d in pieces] if map is None else map
    text = f"{len(map)}\n" + "".join(f"{o}\n{n}\n" for o, n in map)
    keys = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
            "GNU.sparse.name": name, "GNU.sparse.realsize": str(size)}
    data = padded(text.encode()) + b"".join(d for _, d in pieces)
    return pax(keys) + file("GNUSparseFile.0/x", data, **fields)


# -- compression ---------------------------------------------------------------

def gz(data, level=6):
    return gzip.compress(data, level, mtime=0)


def gz_fields(data):
    """A gzip member with every optional header field."""
    raw_deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = raw_deflate.compress(data) + raw_deflate.flush()
    head = (b"\x1f\x8b\x08\x1f" + bytes(4) + b"\0\xff" + struct.pack("<H", 5)
            + b"ab\1\0c" + b"layer.tar\0" + b"a comment\0")
    head += struct.pack("<H", zlib.crc32(head) & 0xffff)
    return head + body + struct.pack("<II", zlib.crc32(data), len(data) & 0xffffffff)


def gz_members(data, sizes, level=6):
    """Many members, cut at any places; what is left is the last one."""
    out = []
    for size in sizes:
        out.append(gz(data[:size], level))
        data = data[size:]
    return b"".join(out) + gz(data, level)


def filtered(data, *command):
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True,
                          timeout=60).stdout


def zst(data, *options):
    return filtered(data, "zstd", "-q", "-c", *options)


def skippable(payload, kind=0):
    return struct.pack("<II", 0x184D2A50 + kind, len(payload)) + payload


def zst_frames(data, size):
    """A frame for every so many bytes: [(frame, decoded length)]."""
    return [(zst(data[at:at + size]), len(data[at:at + size]))
            for at in range(0, len(data), size)]


def zst_seekable(data, size):
    frames = zst_frames(data, size)
    table = b"".join(struct.pack("<II", len(f), n) for f, n in frames)
    foot = struct.pack("<IBI", len(frames), 0, 0x8F92EAB1)
    return b"".join(f for f, _ in frames) + skippable(table + foot, 14)


# -- layers and images ---------------------------------------------------------

@dataclass
class Layer:
    """A layer's archive and the blob that carries it."""
    tar: bytes
    blob: bytes = None                  # default: the archive by gzip
    media_type: str = GZIP
    diff_id: str = None                 # default: the right one
    annotations: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.blob is None:
            self.blob = gz(self.tar, 1)
        if self.diff_id is None:
            self.diff_id = sha256(self.tar)

    @property
    def digest(self):
        return sha256(self.blob)


def plain(tar):
    return Layer(tar, tar, TAR)


def build(folder, layers, ref="t", history=None, config=None, layout=None,
          config_type=CONFIG):
    """An image in an OCI layout on disk; layers: Layer objects or archives."""
    layers = [x if isinstance(x, Layer) else Layer(x) for x in layers]
    layout = layout or Layout(folder)
    found = [layout.add(x.blob, x.media_type, **(
        {"annotations": x.annotations} if x.annotations else {})) for x in layers]
    if history is None:
        history = [{"created": CREATED, "created_by": f"step {i}"}
                   for i in range(len(layers))]
    document = {"created": CREATED, "architecture": "amd64", "os": "linux",
                "config": {}, "rootfs": {"type": "layers",
                                         "diff_ids": [x.diff_id for x in layers]},
                "history": history, **(config or {})}
    top = layout.add_json({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": layout.add_json(document, config_type), "layers": found}, MANIFEST)
    image = layout.finish(top, ref)
    image.layers = layers
    return image


def by_gnu_tar(folder, *options):
    """What GNU tar makes of a folder."""
    return run("tar", "-C", folder, *options, "-cf", "-", ".", text=False,
               check=False).stdout      # what a format cannot hold it leaves out


def to_json(value):
    return json.dumps(value, separators=(",", ":")).encode()
