# SPDX-License-Identifier: Apache-2.0
"""The merged layers of an image, as real tools unpack and mount them."""
import json
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

import pytest

import realimage
from images import CREATED
from mounting import Mount
from stacks import random_stack
from survey import same, survey, text_digest
from tarmaker import (END, TAR, Layer, build, directory, fifo, file, hardlink, node,
                      opaque, pax, plain, symlink, whiteout, xattr)
from tools import absent, errno_of, need, read_file, run

NOBODY = 65534
ORAS_CONFIG = "application/vnd.unknown.config.v1+json"


# -- a real image --------------------------------------------------------------

@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """(image, umoci's survey, podman's survey)"""
    need("buildah", "podman", "umoci")
    if os.geteuid() != 0:
        absent("unpacking with owners and devices needs root")
    # podman makes an image name of the path: no "_" next to "-".
    folder = Path(tempfile.mkdtemp(prefix="rfs-real-x", suffix="x", dir="/var/tmp"))
    builder = realimage.Storage(folder / "build")
    puller = realimage.Storage(folder / "pull")
    try:
        image = realimage.make(folder / "layout", builder)
        root = realimage.umoci_root(image, folder / "bundle")
        by_umoci = survey(root)
        point, name = realimage.podman_mount(image, puller)
        by_podman = survey(point)
        puller.run("podman", "image", "unmount", name)
        yield image, by_umoci, by_podman
    finally:
        builder.stop()
        puller.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.limit(120)
def test_real_image(shelf, real):
    image, by_umoci, by_podman = real
    shown = survey(shelf.rootfs(image))
    assert len(shown) > 500
    # umoci leaves the root as it made it
    same(shown, by_umoci, skip=[b""])
    # overlayfs counts links of the lower layer, and directories as 1
    same(shown, by_podman, ignore=("nlink", "names"), skip=[b""])
    kinds = {e.kind for e in shown.values()}
    assert kinds == {"file", "dir", "symlink", "char", "block", "fifo"}
    assert "security.capability" in shown[b"usr/bin/ping"].xattrs
    assert shown[b"usr/bin/passwd"].mode == 0o4755
    assert shown[b"one"].names == frozenset({b"one", b"usr/three"})


def test_real_image_who_brought_it(shelf, real):
    image = real[0]
    layers = [x["digest"] for x in image.document()["layers"]]
    root = shelf.rootfs(image)
    for path, n in (("usr/bin/ls", 0), ("usr/bin/zcat/inside", 1), ("usr/bin/perl", 2),
                    ("usr/bin/perl-again", 2), ("dev", 2), ("new\nline", 3),
                    ("usr/lib/python3.11/email/new", 3), ("usr/share/doc/tar", 1)):
        assert layer_of(root / path) == layers[n], path


def test_real_layers(shelf, real):
    """What each layer removed is there to be seen."""
    image = real[0]
    folder = shelf.image(image) / "layers"
    assert sorted(os.listdir(folder)) == ["00", "01", "02", "03"]
    found = run("find", f"{folder}/01/", "-name", ".wh.*", text=False).stdout.split()
    names = {os.path.basename(p) for p in found}
    assert b".wh.bash" in names and not [
        p for p in run("find", f"{folder}/00/", "-name", ".wh.*").stdout.split()]
    assert read_file(folder / "01/usr/share/doc/tar") == b"a file now\n"


def test_real_tools(shelf, real, tmp_path):
    """diff, du, rsync, tar, find and chroot on the merged tree."""
    need("rsync", "diff")
    root = shelf.rootfs(real[0])
    copy = tmp_path / "copy"
    run("rsync", "-aHAX", "--numeric-ids", f"{root}/", copy)
    same(survey(copy), survey(root))
    done = run("diff", "-r", "--no-dereference", "-x", "dev", root, copy, check=False)
    assert done.returncode == 0, done.stdout[:500]
    assert run("find", root, "-xdev", "-type", "f", "-perm", "-4000").stdout.strip() \
        == f"{root}/usr/bin/passwd"


# -- stacks by hand --------------------------------------------------------------

def text(data):
    return dict(kind="file", size=len(data), content=text_digest(data))


def check_layer(path, layer):
    """The kernel has user.* attributes of files and directories only."""
    kind = stat.S_IFMT(os.lstat(path).st_mode)
    if kind in (stat.S_IFREG, stat.S_IFDIR):
        assert layer_of(path) == layer.digest, path


def umoci_truth(image, folder):
    """(survey, what of it is not to be compared): umoci leaves the root and some
    directories with the time of unpacking."""
    start = time.time_ns() - 10**9
    truth = survey(realimage.umoci_root(image, folder))
    late = {p: ("mtime_ns",) for p, e in truth.items()
            if e.kind == "dir" and e.mtime_ns > start}
    return truth, {**late, b"": None}


def layer_of(path):
    return os.getxattr(path, "user.registryfs.layer", follow_symlinks=False).decode()


DIR = dict(kind="dir")
GONE = None
LOWER = directory("d", mode=0o711, uid=3) + directory("d/sub") + file("d/a", "lower a") \
    + file("d/sub/x", "lower x") + file("f", "lower f") + symlink("l", "f") + END
# name: (archives, {path: (fields, layer) or GONE}, does umoci agree)
STACKS = {
    "whiteout of a file": ([LOWER, whiteout("f") + whiteout("l") + END],
                           {"f": GONE, "l": GONE, "d/a": (text(b"lower a"), 0)}, True),
    "whiteout of a directory": ([LOWER, whiteout("d") + END], {
        "d": GONE, "f": (text(b"lower f"), 0)}, True),
    "whiteout beneath": ([LOWER, whiteout("d/sub/x") + END], {
        "d/sub": (DIR, 0), "d/sub/x": GONE, "d": (dict(mode=0o711, uid=3), 0)}, True),
    "whiteout of nothing": ([LOWER, whiteout("nothing") + whiteout("no/dir/at/all")
                             + END], {"nothing": GONE, "f": (text(b"lower f"), 0)},
                            False),
    "whiteout in the same layer": ([LOWER, file("n", "new") + whiteout("n") + whiteout(
        "m") + file("m", "new") + END], {"n": (text(b"new"), 1),
                                         "m": (text(b"new"), 1)}, True),
    "whiteout and again": ([LOWER, whiteout("f") + END, file("f", "again") + END],
                           {"f": (text(b"again"), 2)}, True),
    "directory removed and made again": ([
        LOWER, whiteout("d") + END, directory("d", mode=0o700) + file("d/b", "b") + END],
        {"d/a": GONE, "d/sub": GONE, "d/b": (text(b"b"), 2),
         "d": (dict(mode=0o700, uid=0), 2)}, True),
    "removed and made again in one layer": ([
        LOWER, whiteout("d") + directory("d", mode=0o700) + file("d/b", "b") + END],
        {"d/a": GONE, "d/b": (text(b"b"), 1), "d": (dict(mode=0o700), 1)}, True),
    "made again before its whiteout": ([
        LOWER, directory("d", mode=0o700) + file("d/b", "b") + whiteout("d") + END],
        {"d/a": GONE, "d/b": (text(b"b"), 1), "d": (dict(mode=0o700), 1)}, True),
    "opaque": ([LOWER, directory("d") + opaque("d") + END],
               {"d": (DIR, 1), "d/a": GONE, "d/sub": GONE}, True),
    "opaque, then added": ([
        LOWER, directory("d") + opaque("d") + file("d/b", "b") + END],
                           {"d/a": GONE, "d/b": (text(b"b"), 1)}, True),
    "added, then opaque": ([LOWER, directory("d") + file("d/b", "b") + directory(
        "d/sub") + file("d/sub/y", "y") + opaque("d") + END],
        {"d/a": GONE, "d/b": (text(b"b"), 1), "d/sub/x": GONE,
         "d/sub/y": (text(b"y"), 1)}, True),
    "opaque beneath opaque": ([LOWER, opaque("d") + file("d/sub/y", "y") + opaque(
        "d/sub") + END], {"d/a": GONE, "d/sub/x": GONE, "d/sub/y": (text(b"y"), 1)},
        True),
    "opaque without an entry": ([LOWER, opaque("d/sub") + END],
                                {"d/sub": (DIR, 0), "d/sub/x": GONE,
                                 "d/a": (text(b"lower a"), 0)}, True),
    "opaque root": ([LOWER, opaque() + file("only", "this") + END],
                    {"d": GONE, "f": GONE, "l": GONE, "only": (text(b"this"), 1)}, True),
    "opaque twice": ([LOWER, opaque("d") + END, file("d/c", "c") + END,
                      opaque("d") + END],
                     {"d": (DIR, 0), "d/c": GONE, "d/a": GONE}, True),
    "file to directory": ([LOWER, directory("f") + file("f/in", "in") + END],
                          {"f": (DIR, 1), "f/in": (text(b"in"), 1)}, True),
    "directory to file": ([LOWER, file("d", "now") + END], {
        "d": (text(b"now"), 1)}, True),
    "directory to symlink": ([LOWER, symlink("d", "f") + END], {
        "d": (dict(kind="symlink", link=b"f"), 1)}, True),
    "symlink to directory": ([directory("t") + symlink("l", "t") + END,
                              directory("l") + file("l/in", "in") + END],
                             {"l": (DIR, 1), "l/in": (text(b"in"), 1), "t": (DIR, 0)},
                             True),
    "there and back": ([LOWER, file("d", "x") + END, directory("d") + file("d/n", "n")
                        + END], {"d/a": GONE, "d/n": (text(b"n"), 2)}, True),
    "through a lower symlink": ([
        directory("t") + symlink("l", "t") + END, file("l/in", "in") + END],
        {"l": (DIR, 1), "l/in": (text(b"in"), 1), "t": (DIR, 0)}, False),
    "device and fifo": ([file("a", "x") + file("b", "x") + END, node("a", b"3", 1, 3)
                         + fifo("b") + END],
                        {"a": (dict(kind="char", rdev=(1, 3)), 1),
                         "b": (dict(kind="fifo"), 1)}, True),
    "whiteout stored as a hard link": ([
        LOWER, file(".wh.f") + hardlink("d/.wh.a", ".wh.f") + hardlink(
            "d/sub/.wh..wh..opq", ".wh.f") + END],
        {"f": GONE, "d/a": GONE, "d/sub/x": GONE, "d/sub": (DIR, 0)}, True),
    "link to a lower file": ([LOWER, hardlink("h", "f") + hardlink("d/h", "./d/a")
                              + END],
                             {"h": ({**text(b"lower f"), "nlink": 2}, 0),
                              "f": (dict(nlink=2), 0),
                              "d/h": ({**text(b"lower a"), "nlink": 2}, 0)}, True),
    "link to a lower file, then its whiteout": ([
        LOWER, hardlink("h", "f") + whiteout("f") + END],
        {"f": GONE, "h": ({**text(b"lower f"), "nlink": 1}, 0)}, True),
    "whiteout, then the link": ([
        LOWER, whiteout("f") + hardlink("h", "f") + END],
        {"f": GONE, "h": ({**text(b"lower f"), "nlink": 1}, 0)}, False),
    "link across, whiteout of the first later": ([
        LOWER, hardlink("h", "f") + END, whiteout("f") + END],
        {"f": GONE, "h": ({**text(b"lower f"), "nlink": 1}, 0)}, True),
    "link across two layers": ([
        LOWER, hardlink("h", "f") + END, hardlink("i", "h") + END],
        {p: ({**text(b"lower f"), "nlink": 3}, 0) for p in "fhi"}, True),
    "a name of a link is replaced": ([
        file("a", "old") + hardlink("b", "a") + hardlink("c", "a") + END,
        file("b", "new") + whiteout("c") + END],
        {"a": ({**text(b"old"), "nlink": 1}, 0), "b": ({**text(b"new"), "nlink": 1}, 1),
         "c": GONE}, True),
    "link to nothing": ([LOWER, hardlink("h", "nowhere") + file("n", "x") + END],
                        {"h": (dict(content="ENOENT"), 1), "n": (text(b"x"), 1)}, False),
    "link to what a layer above brings": ([
        LOWER + b"", hardlink("h", "later") + END, file("later", "x") + END],
        {"h": (dict(content="ENOENT"), 1), "later": (text(b"x"), 2)}, False),
    "duplicates": ([LOWER, file("f", "one") + file("f", "two") + END],
                   {"f": (text(b"two"), 1)}, True),
    "implied parent over a lower directory": ([
        LOWER, file("d/n", "n") + END],
        {"d": (dict(mode=0o711, uid=3), 0), "d/n": (text(b"n"), 1),
         "d/a": (text(b"lower a"), 0)}, True),
    "implied parent over a file": ([LOWER, file("f/n", "n") + END],
                                   {"f": (dict(kind="dir", mode=0o755, uid=0), 1),
                                    "f/n": (text(b"n"), 1)}, False),
    "attributes of a directory only": ([
        LOWER, directory("d", mode=0o500, uid=9) + END],
        {"d": (dict(mode=0o500, uid=9), 1), "d/a": (text(b"lower a"), 0)}, True),
    "xattrs are replaced": ([
        xattr({"user.a": b"1", "user.b": b"1"}) + directory("d") + END,
        xattr({"user.b": b"2"}) + directory("d") + END],
        {"d": (dict(xattrs={"user.b": b"2"}), 1)}, True),
    "dot dot and absolute": ([LOWER, file("../x", "x") + file("/abs", "in") + file(
        "d/../y", "y") + whiteout("../f") + END],
        {"x": GONE, "y": GONE, "abs": (text(b"in"), 1), "f": (text(b"lower f"), 0)},
        False),
    "root by a link": ([LOWER, symlink("./", "/etc") + symlink(".", "/") + END],
                       {"": (DIR, None), "f": (text(b"lower f"), 0)}, False),
    "whiteouts without a name": ([LOWER, file(".wh.", "") + file(".wh..", "") + file(
        ".wh...", "") + file("d/.wh.", "") + END],
        {".wh.": GONE, "d": (DIR, 0), "d/a": (text(b"lower a"), 0),
         "f": (text(b"lower f"), 0), ".wh..": GONE, ".wh...": GONE}, False),
    "names of aufs": ([LOWER, directory(".wh..wh.plnk") + file(".wh..wh.plnk/1.2", "x")
                       + file(".wh..wh.aufs", "") + directory("d/.wh..wh.orph") + END],
                      {".wh..wh.plnk": GONE, ".wh..wh.aufs": GONE,
                       "d/.wh..wh.orph": GONE, "d/a": (text(b"lower a"), 0)}, False),
    "whiteout that is a directory": ([
        LOWER, directory("d") + directory("d/.wh.a") + END],
                                     {"d/.wh.a": GONE}, True),
    "whiteout of a whiteout": ([LOWER, whiteout(".wh.f") + END],
                               {"f": (text(b"lower f"), 0), ".wh.f": GONE,
                                ".wh..wh.f": GONE}, True),
    "whiteout in the lowest layer": ([whiteout("f") + file("g", "x") + opaque() + END,
                                      file("h", "y") + END],
                                     {".wh.f": GONE, "g": (text(b"x"), 0)}, True),
    "long and odd names": ([
        pax({"path": "w" * 255}) + file("x", "one") + file(b"caf\xe9", "x")
        + directory("n\nl") + END,
        pax({"path": "w" * 255}) + file("x", "two") + file(b".wh.caf\xe9")
        + file("n\nl/in", "in") + END],
        {"w" * 255: (text(b"two"), 1), b"caf\xe9": GONE, "n\nl/in": (text(b"in"), 1)},
        True),
    "empty layers": ([END, LOWER, END, END], {"f": (text(b"lower f"), 1)}, True),
    "one layer three times": ([LOWER, LOWER, LOWER], {"f": (text(b"lower f"), None)},
                              True),
}


@pytest.mark.parametrize("name", STACKS)
def test_stack(shelf, tmp_path, name):
    tars, expect, agreed = STACKS[name]
    image = build(tmp_path / "i", [Layer(t) for t in tars])
    root = shelf.rootfs(image)
    shown = survey(root)
    for path, wanted in expect.items():
        path = path if isinstance(path, bytes) else path.encode()
        if wanted is GONE:
            assert path not in shown
            full = os.path.join(os.fsencode(root), path)
            assert errno_of(os.lstat, full) == "ENOENT"
            continue
        fields, layer = wanted
        assert path in shown, sorted(shown)
        assert {k: getattr(shown[path], k) for k in fields} == fields, path
        if layer is not None:
            full = Path(os.fsdecode(os.path.join(os.fsencode(root), path)))
            check_layer(full, image.layers[layer])
    assert not [p for p in shown if b".wh." in p]
    if agreed:
        truth, skip = umoci_truth(image, tmp_path / "b")
        same(shown, truth, skip=skip)


@pytest.mark.parametrize("first", range(0, 32, 8))
def test_random_stacks(shelf, tmp_path, first):
    """Random stacks: the tree is umoci's, the layers are the model's."""
    for seed in range(first, first + 8):
        tars, model = random_stack(seed)
        image = build(tmp_path / f"i{seed}", [Layer(t) for t in tars])
        root = shelf.rootfs(image)
        truth, skip = umoci_truth(image, tmp_path / f"b{seed}")
        same(survey(root), truth, skip=skip)
        assert len(truth) > 5
        for path, (_, _, layer) in model.tree.items():
            check_layer(root / path, image.layers[layer])


def test_inodes_of_a_merge(mount, emu, tmp_path):
    """Link counts and numbers are those of the merged tree, in any order."""
    tars, _ = random_stack(101, layers=5, entries=25)
    image = build(tmp_path / "i", [Layer(t) for t in tars])
    image.fill(emu, "a")
    seen = []
    for order in (False, True):
        m = mount(emu)
        numbers = {}
        root = m / f"a/_rootfs/{image.digest}"
        for folder, dirs, names in os.walk(root):
            dirs.sort(reverse=order)
            for name in sorted(dirs + names, reverse=order):
                st = os.lstat(os.path.join(folder, name))
                numbers[os.path.join(folder, name)[len(str(root)):]] = (
                    st.st_ino, st.st_nlink)
        seen.append(numbers)
    assert seen[0] == seen[1] and len(seen[0]) > 10


# -- what is no file system --------------------------------------------------------

def test_artifact(shelf, tmp_path):
    """ORAS: layers that are no archives are files, by their title or digest."""
    title = "org.opencontainers.image.title"
    layers = [Layer(b"x", b"hello", "text/plain", annotations={title: "hello.txt"}),
              Layer(b"y", b"nameless", "application/octet-stream"),
              Layer(b"z", b"tricky", "text/plain", annotations={title: "../up/there"}),
              Layer(b"w", b"slash", "text/plain", annotations={title: "/abs"})]
    image = build(tmp_path / "i", layers, config_type=ORAS_CONFIG)
    root = shelf.rootfs(image)
    names = os.listdir(root)
    assert len(names) == 4
    assert read_file(root / "hello.txt") == b"hello"
    assert read_file(root / f"sha256-{layers[1].digest[7:]}") == b"nameless"
    assert {read_file(root / n) for n in names} == {b"hello", b"nameless", b"tricky",
                                                    b"slash"}
    assert read_file(shelf.image(image) / "layers/00/hello.txt") == b"hello" or \
        read_file(shelf.image(image) / f"layers/00/sha256-{layers[0].digest[7:]}")


def test_artifact_with_empty_config(shelf):
    empty = shelf.emu.add_blob("t", b"{}")
    layer = shelf.emu.add_blob("t", b"sbom text")
    kind = "application/vnd.oci.image.manifest.v1+json"
    digest = shelf.emu.add_manifest("t", {
        "schemaVersion": 2, "mediaType": kind, "artifactType": "application/x-sbom",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
                   "digest": empty},
        "layers": [{"mediaType": "text/spdx", "size": 9, "digest": layer, "annotations":
                    {"org.opencontainers.image.title": "sbom.spdx"}}]})
    root = shelf.mount / f"t/_rootfs/{digest}"
    assert {n: read_file(root / n) for n in os.listdir(root)} \
        == {"sbom.spdx": b"sbom text"}


def test_image_without_layers(shelf, tmp_path):
    """None to show: ENOENT, and the rest of the image is there."""
    image = build(tmp_path / "i", [])
    assert errno_of(os.listdir, shelf.rootfs(image)) == "ENOENT"
    assert os.listdir(shelf.image(image) / "layers") == []


def test_empty_blob_among_layers(shelf, tmp_path):
    image = build(tmp_path / "i", [LOWER, plain(b""), file("g", "x") + END])
    assert {"f", "g", "d", "l"} <= set(os.listdir(shelf.rootfs(image)))


def test_windows_layers(shelf, tmp_path):
    """Shown as they are: Files and Hives."""
    one = pax({"MSWINDOWS.fileattr": "16"}) + directory("Files") \
        + file("Files/a.txt", "dos") + directory("Hives") \
        + file("Hives/Sam", "hive") + END
    two = file("Files/.wh.a.txt") + file("Files/b.txt", "b") + END
    image = build(tmp_path / "i", [one, two], config={"os": "windows"})
    root = shelf.rootfs(image)
    assert {p for p in survey(root)} == {b"", b"Files", b"Files/b.txt", b"Hives",
                                         b"Hives/Sam"}


def test_no_such_image(shelf, tmp_path):
    image = build(tmp_path / "i", [LOWER])
    folder = shelf.rootfs(image).parent
    assert errno_of(os.stat, folder / ("sha256:" + "1" * 64)) == "ENOENT"
    assert errno_of(os.stat, folder / "x") == "ENOENT"
    assert errno_of(os.stat, folder / image.layers[0].digest) in ("ENOENT", "EINVAL")


# -- digests -----------------------------------------------------------------------

@pytest.mark.parametrize("seen", [False, True], ids=["fresh", "indexed before"])
def test_diff_id_lies(shelf, tmp_path, seen):
    """The layer is not the one that the config names."""
    lie = Layer(file("a", f"one {seen}") + END, diff_id="sha256:" + "5" * 64)
    good = build(tmp_path / "g", [Layer(lie.tar)])
    image = build(tmp_path / "i", [LOWER, lie])
    if seen:
        assert read_file(shelf.rootfs(good) / "a") == f"one {seen}".encode()
    root = shelf.rootfs(image)
    assert errno_of(os.listdir, root) == "EBADMSG"
    assert errno_of(read_file, root / "a") == "EBADMSG"
    assert read_file(shelf.rootfs(good) / "a") == f"one {seen}".encode()
    assert read_file(shelf.layer(lie) / "a") == f"one {seen}".encode()


def test_damaged_layer_in_a_stack(shelf, tmp_path):
    """One bad layer: the image's tree is not shown as if it were whole."""
    bad = file("b", "x") + b"\1" * 512
    image = build(tmp_path / "i", [LOWER, bad, file("c", "y") + END])
    root = shelf.rootfs(image)
    assert errno_of(os.listdir, root) == "EBADMSG"
    assert read_file(shelf.image(image) / "layers/00/f") == b"lower f"
    assert read_file(shelf.image(image) / "layers/02/c") == b"y"


@pytest.mark.parametrize("verify", ["lazy", "strict"])
def test_verify_modes(mount, emu, tmp_path, verify):
    tars, _ = random_stack(7)
    image = build(tmp_path / "i", [Layer(t) for t in tars])
    image.fill(emu, "a")
    m = mount(emu, verify=verify)
    truth, skip = umoci_truth(image, tmp_path / "b")
    same(survey(m / f"a/_rootfs/{image.digest}"), truth, skip=skip)


# -- views in an image's directory -------------------------------------------------

def test_ways_to_the_rootfs(mount, emu, images):
    """rootfs and layers/NN lead to the same from whichever name."""
    images.single.fill(emu, "team/app")
    m = mount(emu)
    digest = images.single.digest
    truth = (m / f"team/app/_rootfs/{digest}/etc/passwd").read_bytes()
    for way in ("team/app/_tags/1.4", f"team/app/_manifests/{digest}", "team/app:1.4",
                "team/app+1.4", f"team/app@{digest}",
                f"team/app@{digest.replace(':', '+')}"):
        assert (m / way / "rootfs/etc/passwd").read_bytes() == truth, way
        assert (m / way / "layers/00/etc/passwd").read_bytes() == truth, way
        link = os.readlink(m / way / "rootfs")
        assert link.endswith(f"_rootfs/{digest}") or "+" in way


def test_plus_instead_of_colon(mount, emu, images):
    images.single.fill(emu, "a")
    m = mount(emu)
    name = images.single.digest.replace(":", "+")
    assert read_file(m / f"a/_rootfs/{name}/etc/passwd")
    layer = images.single.document()["layers"][0]["digest"].replace(":", "+")
    assert read_file(m / f"a/_layers/{layer}/etc/passwd")


def test_platforms(mount, emu, images):
    """Each platform's tree, and the chosen one's under the index."""
    images.multi.fill(emu, "a")
    m = mount(emu, platform="linux/arm64")
    top = m / "a/_tags/multi"
    for name, text_ in (("linux-amd64", b"amd64\n"), ("linux-arm64", b"arm64\n"),
                        ("linux-arm-v7", b"armv7\n")):
        assert read_file(top / f"platforms/{name}/rootfs/etc/arch") == text_
    assert read_file(top / "rootfs/etc/arch") == b"arm64\n"
    assert read_file(m / f"a/_rootfs/{images.multi.digest}/etc/arch") == b"arm64\n"
    done = run("diff", "-r", top / "platforms/linux-amd64/rootfs",
               top / "platforms/linux-arm64/rootfs", check=False)
    assert done.returncode == 1 and "etc/arch" in done.stdout


def test_history(shelf, tmp_path):
    """Dockerfile steps beside the layers and sizes that they made."""
    steps = [("ADD rootfs.tar /", False), ("ENV A=b", True), ("RUN make", False),
             ("CMD [\"sh\"]", True)]
    image = build(tmp_path / "i", [LOWER, file("m", "x" * 5000) + END], history=[
        {"created": CREATED, "created_by": by, **({"empty_layer": True} if e else {})}
        for by, e in steps])
    folder = shelf.image(image)
    assert "history" in os.listdir(folder)
    lines = read_file(folder / "history").decode().splitlines()
    at = [next(n for n, x in enumerate(lines) if by in x) for by, _ in steps]
    assert at == sorted(at)
    for i, n in enumerate((at[0], at[2])):
        assert lines[n].split()[1:3] == [f"{i:02}", str(len(image.layers[i].blob))]
    for n in (at[1], at[3]):
        assert lines[n].split()[1:3] == ["-", "-"]


@pytest.mark.parametrize("history", [[], None, [{}] * 9, [{"created_by": "a\nb\x1b[1m"}],
                                     "text", [7]])
def test_odd_history(shelf, tmp_path, history):
    """More steps than layers, none, or none that can be read."""
    image = build(tmp_path / "i", [LOWER], config={"history": history})
    folder = shelf.image(image)
    assert read_file(folder / "rootfs/f") == b"lower f"
    text_ = read_file(folder / "history")
    assert b"\x1b" not in text_ and len(text_.splitlines()) < 20
    assert os.stat(folder / "history").st_size == len(text_)


# -- who may read what -------------------------------------------------------------

OWNED = (file("open", "for all") + file("root", "secret", mode=0o600)
         + file("theirs", "mine", mode=0o600, uid=NOBODY, gid=NOBODY)
         + directory("shut", mode=0o700) + file("shut/in", "x")
         + file("group", "g", mode=0o040, gid=NOBODY) + file("none", "n", mode=0) + END)


@pytest.fixture
def open_folder():
    """A folder that others can reach."""
    if os.geteuid() != 0:
        absent("acting as another user needs root")
    folder = Path(tempfile.mkdtemp(prefix="rfs-open-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def as_nobody(*words):
    return run("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
               *words, check=False, timeout=20)


def test_allow_other(emu, tmp_path, open_folder):
    """Permissions of the image count, for everybody but root."""
    suid = file("id", Path("/usr/bin/id").read_bytes(), mode=0o4755)
    image = build(tmp_path / "i", [suid + OWNED])
    image.fill(emu, "a")
    m = Mount(open_folder / "m", emu.address, allow_other=True)
    try:
        root = m / f"a/_rootfs/{image.digest}"
        for name, good in (("open", True), ("root", False), ("theirs", True),
                           ("shut/in", False), ("group", True), ("none", False)):
            done = as_nobody("cat", root / name)
            assert (done.returncode == 0) == good, (name, done.stderr)
            assert good or "ermission denied" in done.stderr
        assert read_file(root / "none") == b"n"             # as root
        assert stat.S_IMODE(os.stat(root / "id").st_mode) == 0o4755
        done = as_nobody(root / "id")
        assert "65534" in done.stdout and "euid=0" not in done.stdout
        assert as_nobody("ls", root / "shut").returncode != 0
    finally:
        try:
            m.finish()
        finally:
            m.destroy()


def test_without_allow_other(emu, tmp_path, open_folder):
    """Nobody but whoever mounts gets in, and that one may read everything."""
    image = build(tmp_path / "i", [OWNED])
    image.fill(emu, "a")
    m = Mount(open_folder / "m", emu.address)
    try:
        root = m / f"a/_rootfs/{image.digest}"
        assert as_nobody("cat", root / "open").returncode != 0
        assert {read_file(root / n) for n in ("open", "root", "theirs", "none")} \
            == {b"for all", b"secret", b"mine", b"n"}
    finally:
        try:
            m.finish()
        finally:
            m.destroy()


def test_chroot(shelf, tmp_path):
    """A static program runs in the tree (as root)."""
    places = ("/bin/busybox", "/usr/bin/busybox")
    busybox = next((p for p in places if os.path.exists(p)), None)
    if busybox is None or os.geteuid() != 0:
        absent("needs a static busybox and root")
    tar = directory("bin") + file("bin/sh", Path(busybox).read_bytes(), mode=0o755) \
        + file("hello", "world\n") + END
    image = build(tmp_path / "i", [Layer(tar)])
    done = run("chroot", shelf.rootfs(image), "/bin/sh", "-c", "read x </hello; echo $x",
               check=False)
    assert done.stdout == "world\n", done.stderr


def test_layer_media_types(shelf, tmp_path):
    """Docker's names for layers and foreign ones that are there after all."""
    kinds = ["application/vnd.docker.image.rootfs.diff.tar.gzip", TAR,
             "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
             "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"]
    layers = []
    for n, kind in enumerate(kinds):
        tar = file(f"f{n}", kind) + END
        layers.append(Layer(tar, tar if kind == TAR else None, kind))
    image = build(tmp_path / "i", layers)
    root = shelf.rootfs(image)
    assert {n: read_file(root / n).decode() for n in os.listdir(root)} \
        == {f"f{n}": kind for n, kind in enumerate(kinds)}


def test_config_is_json(shelf, tmp_path):
    image = build(tmp_path / "i", [LOWER])
    assert json.loads(read_file(shelf.image(image) / "config.json"))["rootfs"]
