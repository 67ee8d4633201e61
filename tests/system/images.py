# SPDX-License-Identifier: Apache-2.0
"""Small real images as OCI layouts on disk, made once per session.

Layers are tars of files of this Debian, written deterministically; the layouts
are plain files, so every digest is known before any registry sees the image.
"""
import gzip
import io
import json
import os
import random
import tarfile
from pathlib import Path

from tools import run, sha256

OCI = "application/vnd.oci.image."
INDEX, MANIFEST = OCI + "index.v1+json", OCI + "manifest.v1+json"
CONFIG, LAYER = OCI + "config.v1+json", OCI + "layer.v1.tar+gzip"
REF = "org.opencontainers.image.ref.name"
CREATED = "2024-05-01T10:00:00Z"
STAMP = 1714557600


def make_tar(entries):
    """A tar from [(name, data or None for a directory, mode)]."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data, mode in entries:
            info = tarfile.TarInfo(name)
            info.mode, info.mtime = mode, STAMP
            info.uname = info.gname = "root"
            if data is None:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def some_files(limit):
    """About that many bytes of real files."""
    entries, total, seen = [], 0, set()
    for path in sorted(Path("/usr/share/doc").glob("*/copyright")):
        if path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes()
        if path.parent not in seen:
            seen.add(path.parent)
            entries.append((str(path.parent)[1:], None, 0o755))
        entries.append((str(path)[1:], data, 0o644))
        total += len(data)
        if total >= limit:
            break
    return entries


def busybox_entries():
    for path in ("/bin/busybox", "/usr/bin/busybox", "/bin/true"):
        if os.path.exists(path):
            return [("bin", None, 0o755), ("etc", None, 0o755),
                    ("bin/busybox", Path(path).read_bytes(), 0o755),
                    ("etc/passwd", b"root:x:0:0:root:/:/bin/sh\n", 0o644)]
    return [("etc", None, 0o755)]


class Layout:
    """An OCI layout being filled."""

    def __init__(self, folder):
        self.folder = Path(folder)
        (self.folder / "blobs/sha256").mkdir(parents=True)
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def add(self, data, media_type, **more):
        """Stores a blob and returns its descriptor."""
        digest = sha256(data)
        (self.folder / "blobs/sha256" / digest[7:]).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data), **more}

    def add_json(self, document, media_type, **more):
        text = json.dumps(document, separators=(",", ":")).encode()
        return self.add(text, media_type, **more)

    def add_image(self, tars, arch="amd64", annotations=None, **platform):
        """Config, layers and manifest; returns the manifest's descriptor."""
        layers = [self.add(gzip.compress(t, 6, mtime=0), LAYER) for t in tars]
        config = self.add_json({
            "created": CREATED, "architecture": arch, "os": "linux", **platform,
            "config": {"Cmd": ["/bin/busybox"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [sha256(t) for t in tars]},
            "history": [{"created": CREATED, "created_by": f"layer {i}"}
                        for i in range(len(tars))]}, CONFIG)
        document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
                    "layers": layers}
        if annotations:
            document["annotations"] = annotations
        return self.add_json(document, MANIFEST)

    def finish(self, descriptor, ref):
        top = {**descriptor, "annotations": {REF: ref}}
        (self.folder / "index.json").write_text(json.dumps(
            {"schemaVersion": 2, "mediaType": INDEX, "manifests": [top]}))
        return Image(self.folder, ref, descriptor)


class Image:
    """A finished image: its layout and what is known of it."""

    def __init__(self, folder, ref, descriptor):
        self.folder = folder
        self.ref = ref
        self.descriptor = descriptor
        self.digest = descriptor["digest"]

    def data(self, digest):
        return (self.folder / "blobs/sha256" / digest[7:]).read_bytes()

    def document(self, digest=None):
        return json.loads(self.data(digest or self.digest))

    def blobs(self):
        """digest -> size of everything in the layout."""
        return {"sha256:" + p.name: p.stat().st_size
                for p in (self.folder / "blobs/sha256").iterdir()}

    def manifests(self):
        """Digests of the top and, of an index, its children."""
        document = self.document()
        return [self.digest] + [m["digest"] for m in document.get("manifests", [])]

    def push(self, address, name, tag=None, *options):
        """Pushes by skopeo and returns the repository's name."""
        target = f"docker://{address}/{name}:{tag or self.ref}"
        run("skopeo", "copy", "--insecure-policy", "--all", "--dest-tls-verify=false",
            "--quiet", *options, f"oci:{self.folder}:{self.ref}", target,
            timeout=120, env=skopeo_env(self.folder.parent))
        return name

    def fill(self, emu, name, tag=None):
        """Puts the image into an emulator directly, without a push."""
        for digest in self.blobs():
            if digest not in self.manifests():
                emu.add_blob(name, self.data(digest))
        for digest in reversed(self.manifests()):
            body = self.data(digest).decode()
            kind = json.loads(body)["mediaType"]
            top = tag or self.ref
            emu.add_manifest(name, body, kind, top if digest == self.digest else None)
        return name


def skopeo_env(folder):
    """An environment in which skopeo finds nobody's settings or caches."""
    home = Path(folder) / "skopeo-home"
    home.mkdir(exist_ok=True)
    (home / "none").write_text('{"auths":{}}')
    return {"PATH": os.environ["PATH"], "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home), "REGISTRY_AUTH_FILE": str(home / "none"),
            "TMPDIR": os.environ.get("TMPDIR", "/tmp")}


def single(folder):
    """One platform, four gzip layers of real files."""
    layout = Layout(folder)
    files = some_files(1_200_000)
    third = len(files) // 3
    tars = [make_tar(busybox_entries()), make_tar(files[:third]),
            make_tar(files[third:2 * third]), make_tar(files[2 * third:])]
    top = layout.add_image(tars, annotations={
        "org.opencontainers.image.title": "single", "com.example.note": "h\u00e9llo"})
    return layout.finish(top, "1.4")


def multi(folder):
    """An index: amd64, arm64, arm/v7 and an attestation entry."""
    layout = Layout(folder)
    entries = []
    for arch, variant in (("amd64", None), ("arm64", None), ("arm", "v7")):
        tar = make_tar([("etc", None, 0o755),
                        ("etc/arch", f"{arch}{variant or ''}\n".encode(), 0o644)])
        more = {"variant": variant} if variant else {}
        item = layout.add_image([make_tar(some_files(100_000)), tar], arch, **more)
        entries.append({**item, "platform":
                        {"architecture": arch, "os": "linux", **more}})
    entries.append(_attestation(layout, entries[0]["digest"]))
    top = layout.add_json({"schemaVersion": 2, "mediaType": INDEX,
                           "manifests": entries}, INDEX)
    return layout.finish(top, "multi")


def _attestation(layout, about):
    statement = layout.add(b'{"_type":"https://in-toto.io/Statement/v0.1"}',
                           "application/vnd.in-toto+json")
    config = layout.add_json({"architecture": "unknown", "os": "unknown",
                              "config": {}, "rootfs": {
                                  "type": "layers",
                                  "diff_ids": [statement["digest"]]}}, CONFIG)
    item = layout.add_json({"schemaVersion": 2, "mediaType": MANIFEST,
                            "config": config, "layers": [statement]}, MANIFEST)
    return {**item, "platform": {"architecture": "unknown", "os": "unknown"},
            "annotations": {"vnd.docker.reference.type": "attestation-manifest",
                            "vnd.docker.reference.digest": about}}


def large(folder, mebibytes=8):
    """One incompressible layer of some size, for ranges and read-ahead."""
    layout = Layout(folder)
    noise = random.Random(7).randbytes(mebibytes << 20)
    tar = make_tar([("noise", noise, 0o644)])
    return layout.finish(layout.add_image([tar]), "big")
