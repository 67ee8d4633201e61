# SPDX-License-Identifier: Apache-2.0
"""Images that are no good, too large or full of tricks: an errno on the file that
is wrong, nothing published, and a daemon that stays small."""
import json
import os
import shutil

import pytest
from emupush import REPO, check_held, has_blob, left, tags, write
from images import CONFIG, INDEX, LAYER, MANIFEST, Layout, make_tar
from pushing import errors, pending, spool_bytes
from tools import absent, errno_of, run, sha256, timed, wait_until

MIB = 1 << 20


@pytest.fixture
def place(emulator, mount, images):
    """(emulator, mount, directory of the tag 1, which is there)"""
    emu = emulator("distribution3")
    images.single.fill(emu, REPO, "1")
    m = mount(emu, timeout=3, retries=2)
    return emu, m, m / REPO / "_tags/1"


def unchanged(emu, m, images):
    check_held(emu, REPO, "1", images.single)
    assert tags(emu, REPO) == ["1"]
    assert m.process.poll() is None
    assert m.rss() < 300 * MIB


ENTRY = '{"mediaType":"%s","digest":"%s","size":%s}'
ONE = f"sha256:{'1' * 64}"
TOP = '{"schemaVersion":2,"manifests":[%s]}'
INDEXES = {
    "empty": ("", {"EINVAL", None}),    # an empty file is no object
    "no json": ("hello", {"EINVAL"}),
    "nul": ('{"schemaVersion":2,\x00"manifests":[]}', {"EINVAL"}),
    "array": ("[]", {"EINVAL"}),
    "list is none": ('{"schemaVersion":2,"manifests":7}', {"EINVAL"}),
    "twice": ('{"schemaVersion":2,"manifests":[],"manifests":[]}', {"EINVAL"}),
    "objects": (TOP % ("{}" + ",{}" * 1_300_000), {"EINVAL", "EFBIG"}),
    "deep": (TOP % ("[" * 200_000), {"EINVAL", "EFBIG"}),
    "numbers": (TOP % ("0" + ",0" * 1_900_000), {"EINVAL", "EFBIG"}),
    "over 4 MiB": (TOP % "" + " " * (4 * MIB), {"EFBIG", "EINVAL"}),
    "short digest": (TOP % ENTRY % (MANIFEST, "sha256:12", 5), {"EINVAL"}),
    "path digest": (TOP % ENTRY % (MANIFEST, "sha256:../../etc/passwd", 5), {"EINVAL"}),
    "upper digest": (TOP % ENTRY % (MANIFEST, "sha256:" + "A" * 64, 5), {"EINVAL"}),
    "negative size": (TOP % ENTRY % (MANIFEST, ONE, -1), {"EINVAL"}),
    "real size": (TOP % ENTRY % (MANIFEST, ONE, "1.0"), {"EINVAL"}),
    "huge size": (TOP % ENTRY % (MANIFEST, ONE, 1 << 62), {"EINVAL", "EFBIG"}),
    "several": (TOP % ",".join(ENTRY % (MANIFEST, f"sha256:{str(i) * 64}", 5)
                               for i in range(3)), {"EINVAL"}),
}


@pytest.mark.parametrize("name", INDEXES)
def test_index(place, images, name):
    emu, m, tag = place
    text, expected = INDEXES[name]
    took, result = timed(errno_of, write, tag / "index.json", text.encode())
    assert result in expected, errors(m)
    assert took < 5
    if result:
        assert errors(m).count("\n") == 1 and "index.json" in errors(m)
        assert len(errors(m)) < 1000
    assert pending(m) == []
    unchanged(emu, m, images)
    assert images.single.digest in (tag / "index.json").read_text()


def odd(folder, **change):
    """An image in which something is wrong."""
    layout = Layout(folder)
    layer = layout.add(make_tar([("a", b"a", 0o644)]), LAYER)
    config = layout.add_json({"architecture": "amd64", "os": "linux"}, CONFIG)
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
                "layers": [layer]}
    for key, value in change.items():
        target = {"layer": layer, "config": config, "document": document}.get(key)
        if target is not None:
            target.update(value)
    text = json.dumps(document)
    text = change.get("text", lambda t: t)(text)
    top = layout.add(text.encode(), MANIFEST)
    if change.get("nest"):
        for _ in range(change["nest"]):
            top = layout.add_json({"schemaVersion": 2, "mediaType": INDEX,
                                   "manifests": [top]}, INDEX)
    top.update(change.get("top", {}))
    return layout.finish(top, "1")


IMAGES = {
    "layer larger": ({"layer": {"size": 99_999}}, {"EBADMSG", "EINVAL"}),
    "layer smaller": ({"layer": {"size": 1}}, {"EBADMSG", "EINVAL"}),
    "config larger": ({"config": {"size": 9999}}, {"EBADMSG", "EINVAL"}),
    "root of another type": ({"top": {"mediaType": INDEX}}, {"EBADMSG", "EINVAL"}),
    "both": ({"document": {"manifests": []}}, {"EINVAL"}),
    "keys twice": ({"text": lambda t: '{"layers":[],' + t[1:]}, {"EINVAL"}),
    "trailing": ({"text": lambda t: t + " x"}, {"EINVAL"}),
    "layers no list": ({"document": {"layers": {}}}, {"EINVAL"}),
    "version": ({"text": lambda t: t.replace(": 2,", ": 2.0,", 1)}, {"EINVAL"}),
    "deep": ({"nest": 12}, {"ELOOP"}),
}


@pytest.mark.parametrize("name", IMAGES)
def test_image(place, images, tmp_path, name):
    emu, m, tag = place
    change, expected = IMAGES[name]
    image = odd(tmp_path / "odd", **change)
    done = run("cp", "-r", image.folder / "blobs", tag, check=False)
    assert done.returncode == 0, done.stderr
    data = (image.folder / "index.json").read_bytes()
    assert errno_of(write, tag / "index.json", data) in expected, errors(m)
    assert pending(m) == []
    assert errors(m).count("\n") == 1
    unchanged(emu, m, images)


@pytest.mark.parametrize("name", ["keys twice", "both", "trailing", "layers no list"])
def test_manifest_json(place, images, tmp_path, name):
    """The same as a file manifest.json, which is the document itself.  Where the
    view of that name is, it leads to the blob that it cannot be."""
    emu, m, tag = place
    change, expected = IMAGES[name]
    image = odd(tmp_path / "odd", **change)
    data = image.data(image.digest)
    run("cp", "-r", image.folder / "blobs", tag)
    assert errno_of(write, tag / "manifest.json", data) == "EBADMSG"
    new = m / REPO / "_tags/2"
    new.mkdir()
    assert errno_of(write, new / "manifest.json", data) in expected, errors(m)
    assert "_tags/2/manifest.json" in errors(m)
    unchanged(emu, m, images)


def test_wide(place, images, tmp_path):
    """An index of thirty thousand: refused, and quickly."""
    emu, m, tag = place
    layout = Layout(tmp_path / "wide")
    children = [{"mediaType": MANIFEST, "digest": "sha256:%064x" % i, "size": 5}
                for i in range(30_000)]
    top = layout.add_json({"schemaVersion": 2, "mediaType": INDEX,
                           "manifests": children}, INDEX)
    image = layout.finish(top, "1")
    mark = emu.mark()
    took, done = timed(lambda: run("cp", "-r", f"{image.folder}/.", tag, check=False))
    assert done.returncode == 1 and took < 5
    assert len(emu.log(since=mark)) < 50
    assert pending(m) == []
    unchanged(emu, m, images)


def test_wrong_bytes(place, images, tmp_path):
    """One wrong byte in one layer: that file fails, and the image is not there."""
    emu, m, tag = place
    folder = tmp_path / "wrong"
    shutil.copytree(images.multi.folder, folder)
    layer = images.multi.document(images.multi.manifests()[1])["layers"][0]["digest"]
    path = folder / "blobs/sha256" / layer[7:]
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    done = run("cp", "-r", f"{folder}/.", tag, check=False)
    assert done.returncode == 1 and "Bad message" in done.stderr
    assert path.name in done.stderr and path.name in errors(m)
    assert not has_blob(emu, REPO, sha256(bytes(data))) and not has_blob(emu, REPO, layer)
    unchanged(emu, m, images)
    run("cp", images.multi.folder / "blobs/sha256" / path.name, tag / "blobs/sha256")
    assert pending(m) == []
    check_held(emu, REPO, "1", images.multi)


# -- names -------------------------------------------------------------------------

@pytest.mark.parametrize("name, where", [
    ("a\nb", "_tags"), ("x" * 129, "_tags"), ("-a", "_tags"), ("ä", "_tags"),
    ("sha256:" + "g" * 64, "_manifests"), ("x" * 300, "_tags")])
def test_no_names(place, name, where):
    emu, m, _ = place
    mark = emu.mark()
    result = errno_of(os.mkdir, m / REPO / where / name)
    assert result in ("EINVAL", "EPERM", "ENAMETOOLONG")
    assert not [e for e in emu.log(since=mark) if e["method"] != "GET"]
    assert os.listdir(m / REPO / "_tags") == ["1"]


@pytest.mark.parametrize("name, works", [
    ("x" * 255, True), ("a\nb", True), ("\x1b[31m", True), ("-rf", True), ("..x", True),
    ("x" * 256, False), ("sha256", True)])
def test_temporary_names(place, name, works):
    """Names that mean nothing are the writer's own, whatever they are; none of them
    reaches the registry, the disk or the log as it is."""
    emu, m, tag = place
    new = m / REPO / "_tags/2"
    new.mkdir()
    result = errno_of(write, new / name, b"data")
    if not works:
        assert result == "ENAMETOOLONG"
        return
    assert result is None, errors(m)
    assert (new / name).read_bytes() == b"data"
    assert name in os.listdir(new)
    assert not [p for p in (m.folder / "cache").rglob("*") if p.name == name]
    os.unlink(new / name)
    assert not (new / name).exists()
    assert "\x1b" not in m.log() + errors(m)
    assert [c[0] for c in emu.call("commits")].count("manifest") == 1
    left(m, REPO, "2")


def test_dots(place, images):
    """`..` is the kernel's: it leads within the mount, to what is there."""
    emu, m, tag = place
    for path in ("blobs/sha256/..", "blobs/..", "blobs/sha256/../../../2"):
        assert errno_of(write, tag / path, b"x") in ("EISDIR", "EPERM", "EINVAL")
    assert errno_of(os.mkdir, tag / "blobs/md5") in ("EPERM", "EINVAL")
    assert errno_of(os.rmdir, tag / "blobs") in ("EPERM", "ENOTEMPTY")
    assert errno_of(os.symlink, "/etc/passwd", tag / "blobs/sha256" / ("1" * 64)) \
        in ("EPERM", "EINVAL")
    assert errno_of(os.mknod, tag / "fifo", 0o10644) in ("EPERM", "ENOSYS")
    unchanged(emu, m, images)


def test_many_entries(place, images):
    """Thirty thousand names in one image directory: bounded, and told."""
    emu, m, tag = place
    new = m / REPO / "_tags/2"
    new.mkdir()
    (new / ".own").mkdir()
    made = 0
    while made < 30_000:
        result = errno_of(os.symlink, "x", new / ".own" / str(made))
        if result:
            break
        made += 1
    assert result == "ENOSPC" and 10_000 < made <= 20_000
    assert "_tags/2" in errors(m)
    assert m.rss() < 200 * MIB
    run("cp", "-r", f"{images.multi.folder}/.", m / REPO / "_tags/3")
    check_held(emu, REPO, "3", images.multi)
    os.rmdir(new)
    assert sorted(os.listdir(m / REPO / "_tags")) == ["1", "3"]


# -- the disk ----------------------------------------------------------------------

@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = run("mount", "-t", "tmpfs", "-o", "size=24m", "rfs-test", folder, check=False)
    if done.returncode:
        absent("no tmpfs can be mounted")
    yield folder
    run("umount", "-l", folder)


def test_disk_full(emulator, small_disk, mount, images):
    """No room for what is written: the write fails, and the mount lives on."""
    emu = emulator("distribution3")
    images.single.fill(emu, REPO, "1")
    m = mount(emu, cache_dir=small_disk / "cache", cache_size="4M", cache_min_free=0)
    data = os.urandom(40 * MIB)
    path = m / REPO / "_blobs" / sha256(data)
    emu.fault(method="PATCH|PUT", delay=600, count=0, path="/blobs/")
    took, result = timed(errno_of, write, path, data)
    assert result == "ENOSPC" and took < 10
    assert "ENOSPC" in errors(m)
    emu.clear_faults()
    assert not has_blob(emu, REPO, sha256(data))
    wait_until(lambda: spool_bytes(m) == 0, 5, "the spool is empty")
    wait_until(lambda: shutil.disk_usage(small_disk).used < 10 * MIB, 5, "room")
    run("cp", "-r", images.large.folder, m / REPO / "_tags/2")
    check_held(emu, REPO, "2", images.large)
    assert (m / REPO / "_tags/1/index.json").exists()
