# SPDX-License-Identifier: Apache-2.0
"""Images whose layers have a table of contents: eStargz and zstd:chunked.

by_ctr() and by_skopeo() have the real tools make them; estargz() and zchunked()
write the formats themselves, with switches for the lies that no tool tells.
All return a LazyImage. Nothing outside of the folder given is written.
"""
import base64
import datetime
import gzip
import hashlib
import io
import json
import os
import shutil
import struct
import subprocess
import tarfile
from pathlib import Path

from images import CONFIG, CREATED, MANIFEST, Image, Layout, make_tar, skopeo_env
from tools import absent, need, run, sha256, wait_until

LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
ESTARGZ_DIGEST = "containerd.io/snapshot/stargz/toc.digest"
CONTAINERS = "io.github.containers.zstd-chunked."
STARGZ_ZSTD = "io.containers.zstd-chunked."

# What a table may say that is not so. All but the first are under a right digest.
LIES = ("toc-digest",      # the manifest's digest is not the table's
        "offset",          # content is said to be behind the end of the blob
        "chunk-digest",    # a file's first piece has another digest
        "disagree")        # the table has other names and modes than the tar


class LazyImage(Image):
    """An image in a layout, with what is known of its layers."""

    def layers(self):
        return self.document()["layers"]

    def blob(self, number=0):
        """The path of a layer's blob."""
        digest = self.layers()[number]["digest"]
        return self.folder / "blobs/sha256" / digest[7:]


def some_tar():
    """All kinds of entries, and files of one and of several chunks."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in _entries():
            info.mtime = 1714557600
            info.uname = info.gname = "root"
            info.size = len(data) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _entries():
    def entry(name, kind=tarfile.REGTYPE, mode=0o644, data=b"", **fields):
        info = tarfile.TarInfo(name)
        info.type, info.mode = kind, mode
        for key, value in fields.items():
            setattr(info, key, value)
        return info, data

    text = "".join(f"line {i}\n" for i in range(60_000)).encode()
    yield entry("etc", tarfile.DIRTYPE, 0o755)
    yield entry("etc/passwd", data=b"root:x:0:0:root:/:/bin/sh\n")
    yield entry("etc/empty")
    yield entry("etc/h\u00e9llo w\u00f6rld", data=b"utf-8\n", uid=1000, gid=1001)
    yield entry("bin", tarfile.DIRTYPE, 0o755)
    yield entry("bin/su", mode=0o4755, data=b"\x7fELF" + bytes(range(256)) * 30)
    yield entry("bin/sh", tarfile.SYMTYPE, 0o777, linkname="su")
    yield entry("bin/again", tarfile.LNKTYPE, 0o4755, linkname="bin/su")
    yield entry("dev", tarfile.DIRTYPE, 0o755)
    yield entry("dev/null", tarfile.CHRTYPE, 0o666, devmajor=1, devminor=3)
    yield entry("dev/sda", tarfile.BLKTYPE, 0o660, devmajor=8, devminor=0, gid=6)
    yield entry("dev/pipe", tarfile.FIFOTYPE, 0o600)
    yield entry("var", tarfile.DIRTYPE, 0o1777)
    yield entry("var/text", data=text)
    yield entry("var/hole", data=b"begin" + bytes(300_000) + b"end")
    yield entry("var/.wh.gone")
    yield entry("var/cap", data=b"x", pax_headers={
        "SCHILY.xattr.user.note": "h\u00e9llo", "SCHILY.xattr.user.empty": "-"})


def plain_layout(folder, tars=None):
    """A layout with an ordinary image of these tars, for tools to convert."""
    layout = Layout(folder)
    top = layout.add_image(tars or [some_tar()])
    return layout.finish(top, "plain")


# --- written here -----------------------------------------------------------


class _Writer:
    """Compresses a tar piece by piece and notes where each is."""

    def __init__(self, tar, pack, chunk_size):
        self.out, self.pack = bytearray(), pack
        self.entries, self.done = [], 0
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            for info in archive:
                self._add(tar, info, chunk_size)
        self._put(tar[self.done:])

    def _put(self, data):
        """Appends a piece of its own; returns where it begins."""
        begin = len(self.out)
        if data:
            self.out += self.pack(data)
        return begin

    def _add(self, tar, info, chunk_size):
        entry = _table_entry(info)
        self.entries.append(entry)
        if not info.isreg() or info.size == 0:
            return
        begin, end = info.offset_data, info.offset_data + info.size
        self._put(tar[self.done:begin])
        entry["digest"] = sha256(tar[begin:end])
        for at in range(begin, end, chunk_size):
            data = tar[at:min(at + chunk_size, end)]
            chunk = entry if at == begin else {"name": info.name, "type": "chunk"}
            chunk["offset"] = self._put(data)
            chunk["chunkDigest"] = sha256(data)
            if at > begin:
                chunk["chunkOffset"] = at - begin
                self.entries.append(chunk)
            if at + chunk_size < end:
                chunk["chunkSize"] = len(data)
        entry["endOffset"] = len(self.out)
        self.done = end


_TYPES = {tarfile.REGTYPE: "reg", tarfile.AREGTYPE: "reg", tarfile.LNKTYPE: "hardlink",
          tarfile.SYMTYPE: "symlink", tarfile.CHRTYPE: "char", tarfile.BLKTYPE: "block",
          tarfile.DIRTYPE: "dir", tarfile.FIFOTYPE: "fifo"}


def _table_entry(info):
    when = datetime.datetime.fromtimestamp(int(info.mtime), datetime.timezone.utc)
    entry = {"name": info.name + ("/" if info.isdir() else ""),
             "type": _TYPES[info.type], "mode": info.mode, "uid": info.uid,
             "gid": info.gid, "modtime": when.strftime("%Y-%m-%dT%H:%M:%SZ")}
    if info.isreg() and info.size:
        entry["size"] = info.size
    if info.linkname:
        entry["linkName"] = info.linkname
    if info.ischr() or info.isblk():
        entry["devMajor"], entry["devMinor"] = info.devmajor, info.devminor
    xattrs = {key[13:]: base64.b64encode(value.encode("utf-8", "surrogateescape")).decode()
              for key, value in info.pax_headers.items()
              if key.startswith("SCHILY.xattr.")}
    if xattrs:
        entry["xattrs"] = xattrs
    return entry


def _tell_lie(lie, entries, size):
    if lie is None or lie == "toc-digest":
        return
    files = [e for e in entries if e.get("offset")]
    if lie == "offset":
        files[0]["offset"] = size + 1_000_000
        files[0]["endOffset"] = size + 1_000_100
    elif lie == "chunk-digest":
        files[0]["chunkDigest"] = sha256(b"something else")
        if "chunkSize" not in files[0]:
            files[0]["digest"] = files[0]["chunkDigest"]
    elif lie == "disagree":
        files[0]["name"], files[0]["mode"] = "only-in-the-table", 0o600
    else:
        raise ValueError(lie)


def _finish(folder, blob, media_type, annotations, diff_id, ref):
    layout = Layout(folder)
    layer = layout.add(blob, media_type, annotations=annotations)
    config = layout.add_json({
        "created": CREATED, "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": CREATED, "created_by": ref}]}, CONFIG)
    top = layout.add_json({"schemaVersion": 2, "mediaType": MANIFEST,
                           "config": config, "layers": [layer]}, MANIFEST)
    image = layout.finish(top, ref)
    return LazyImage(image.folder, image.ref, image.descriptor)


def _stargz_footer(offset, legacy):
    text = b"%016xSTARGZ" % offset
    if not legacy:
        text = b"SG" + struct.pack("<H", len(text)) + text
    return (b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff" + struct.pack("<H", len(text))
            + text + b"\x01\x00\x00\xff\xff" + bytes(8))


def estargz(folder, tar=None, lie=None, legacy=False, annotated=True,
            landmark=None, chunk_size=1 << 16):
    """eStargz; `legacy`: with the footer of stargz; landmark: "prefetch", "no"."""
    tar = tar or some_tar()
    if landmark:
        name = {"prefetch": ".prefetch.landmark", "no": ".no.prefetch.landmark"}[landmark]
        # Behind what is there: everything before it is wanted early.
        tar = tar.rstrip(b"\0")
        tar += bytes(-len(tar) % 512) + make_tar([(name, b"\x0f", 0o644)])
    writer = _Writer(tar, lambda data: gzip.compress(data, 9, mtime=0), chunk_size)
    for entry in writer.entries:
        entry.pop("endOffset", None)
    offset = len(writer.out)
    _tell_lie(lie, writer.entries, offset)
    text = json.dumps({"version": 1, "entries": writer.entries}, indent="\t").encode()
    table = make_tar([("stargz.index.json", text, 0)])
    blob = bytes(writer.out) + gzip.compress(table, 9, mtime=0)
    blob += _stargz_footer(offset, legacy)
    digest = sha256(b"not this" if lie == "toc-digest" else text)
    annotations = {ESTARGZ_DIGEST: digest} if annotated else {}
    diff_id = sha256(gzip.decompress(blob))
    return _finish(folder, blob, LAYER_GZIP, annotations, diff_id, "estargz")


def _zstd(data):
    return subprocess.run(["zstd", "-q", "-c", "-3", "--no-progress"], input=data,
                          stdout=subprocess.PIPE, check=True, timeout=60).stdout


def _skippable(data):
    return b"\x50\x2a\x4d\x18" + struct.pack("<I", len(data)) + data


def zchunked(folder, tar=None, lie=None, stargz=False, annotated=True,
             chunk_size=1 << 16):
    """zstd:chunked of containers; `stargz`: of stargz-snapshotter."""
    need("zstd")
    tar = tar or some_tar()
    writer = _Writer(tar, _zstd, chunk_size)
    for entry in writer.entries if stargz else ():
        entry.pop("endOffset", None)
    data_end = len(writer.out)
    _tell_lie(lie, writer.entries, data_end)
    text = json.dumps({"version": 1, "entries": writer.entries}).encode()
    packed = _zstd(text)
    position = (data_end + 8, len(packed), len(text), 1)
    blob = bytes(writer.out) + _skippable(packed)
    if stargz:
        blob += _skippable(struct.pack("<4Q", *position) + b"GnUlInUx")
    else:
        split = _zstd(b'{"type":2,"position":0}\n')
        more = (len(blob) + 8, len(split), 24)
        blob += _skippable(split)
        blob += _skippable(struct.pack("<7Q", *position, *more) + b"GNUlInUx")
    prefix = STARGZ_ZSTD if stargz else CONTAINERS
    annotations = {
        prefix + "manifest-checksum": sha256(b"not" if lie == "toc-digest" else packed),
        prefix + "manifest-position": ":".join(map(str, position))}
    if stargz:
        annotations[ESTARGZ_DIGEST] = sha256(text)
    return _finish(folder, blob, LAYER_ZSTD, annotations if annotated else {},
                   sha256(tar), "zchunked")


# --- by the real tools ------------------------------------------------------


class _Containerd:
    """A containerd of our own, for the time of a conversion."""

    CONFIG = """version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
"""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.socket = self.folder / "s"

    def __enter__(self):
        self.folder.mkdir()
        (self.folder / "config.toml").write_text(self.CONFIG)
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                ["containerd", "--config", self.folder / "config.toml",
                 "--root", self.folder / "root", "--state", self.folder / "state",
                 "--address", self.socket], stdout=log, stderr=log,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder)})
        try:
            wait_until(self._answers, 20, "containerd answers")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _answers(self):
        if self.process.poll() is not None:
            text = (self.folder / "log").read_text(errors="replace")
            absent(f"containerd does not run here: {text[-300:]}")
        return self.socket.exists() and self.ctr("version", check=False).returncode == 0

    def ctr(self, *command, **options):
        return run("ctr-remote", "--address", self.socket, *command, timeout=300,
                   **options)

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)


def _opened(layout):
    """The image in a layout that a tool wrote; of an index the first manifest."""
    layout = Path(layout)
    top = json.loads((layout / "index.json").read_text())["manifests"][0]
    while "index" in top["mediaType"] or "list" in top["mediaType"]:
        path = layout / "blobs/sha256" / top["digest"][7:]
        top = json.loads(path.read_text())["manifests"][0]
    return LazyImage(layout, "lazy", top)


def _archive(image, path):
    with tarfile.open(path, "w") as tar:
        tar.add(image.folder, arcname=".")
    return path


def by_ctr(folder, image=None, zstd=False, *options):
    """eStargz by ctr-remote (or its zstd:chunked), of an ordinary image."""
    need("containerd", "ctr-remote")
    folder = Path(folder)
    folder.mkdir(parents=True)
    image = image or plain_layout(folder / "plain")
    source, target = "example.com/lazy:plain", "example.com/lazy:converted"
    with _Containerd(folder / "containerd") as daemon:
        archive = _archive(image, folder / "plain.tar")
        daemon.ctr("images", "import", "--no-unpack", "--all-platforms",
                   "--base-name", "example.com/lazy", archive)
        daemon.ctr("images", "convert", "--all-platforms", "--oci",
                   "--zstdchunked" if zstd else "--estargz", *options, source, target)
        daemon.ctr("images", "export", "--all-platforms", folder / "out.tar", target)
    (folder / "out").mkdir()
    with tarfile.open(folder / "out.tar") as tar:
        tar.extractall(folder / "out")
    shutil.rmtree(folder / "containerd", ignore_errors=True)
    return _opened(folder / "out")


def by_skopeo(folder, image=None):
    """zstd:chunked by skopeo, which needs a containers-storage as its source."""
    need("skopeo")
    if os.geteuid() != 0:
        absent("a containers-storage of its own needs root")
    folder = Path(folder)
    folder.mkdir(parents=True)
    image = image or plain_layout(folder / "plain")
    conf = folder / "storage.conf"
    conf.write_text(f'[storage]\ndriver = "vfs"\nrunroot = "{folder}/run"\n'
                    f'graphroot = "{folder}/graph"\n')
    # "Rootless": root's cache of what blobs were compressed to is in /var.
    env = {**skopeo_env(folder), "CONTAINERS_STORAGE_CONF": str(conf),
           "_CONTAINERS_ROOTLESS_UID": "1", "XDG_DATA_HOME": f"{folder}/data"}

    def copy(source, target, *options):
        # What a former copy noted of compressed forms would be used instead.
        for cache in folder.rglob("blob-info-cache-v1.*"):
            cache.unlink()
        run("skopeo", "copy", "--insecure-policy", "--quiet", *options, source, target,
            timeout=300, env=env)

    copy(f"oci:{image.folder}:{image.ref}", "containers-storage:localhost/lazy:1")
    copy("containers-storage:localhost/lazy:1", f"oci:{folder}/out:lazy",
         "--dest-compress-format", "zstd:chunked")
    return _opened(folder / "out")


def table(image, number=0):
    """A layer's table, read here: (JSON document, its offset in the blob)."""
    layer = image.layers()[number]
    blob, notes = image.blob(number).read_bytes(), layer.get("annotations", {})
    for prefix in (CONTAINERS, STARGZ_ZSTD):
        if prefix + "manifest-position" in notes:
            offset, size, _, _ = map(int, notes[prefix + "manifest-position"].split(":"))
            text = subprocess.run(["zstd", "-dqc"], input=blob[offset:offset + size],
                                  stdout=subprocess.PIPE, check=True).stdout
            return json.loads(text), offset
    size = 51 if blob[-51:-47] == b"\x1f\x8b\x08\x04" else 47
    offset = int(blob[-size:][16 if size == 51 else 12:][:16], 16)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob[offset:-size]))) as tar:
        text = tar.extractfile("stargz.index.json").read()
    assert hashlib.sha256(text).hexdigest() in notes.get(ESTARGZ_DIGEST, sha256(text))
    return json.loads(text), offset
