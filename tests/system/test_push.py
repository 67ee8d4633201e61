# SPDX-License-Identifier: Apache-2.0
"""Pushing an OCI layout from disk, by everything that writes files."""
import os
import shutil

import pytest
from images import skopeo_env
from pushing import check_image, copy_out, pending, raw_manifest, spool_bytes
from realimage import Storage
from tools import need, run, sha256

TOOLS = {
    "cp -r": lambda s, t: run("cp", "-r", s, t),
    "cp -r into": lambda s, t: (t.mkdir(), run("cp", "-r", f"{s}/.", t)),
    "cp -a": lambda s, t: run("cp", "-a", s, t),
    "cp -rp": lambda s, t: run("cp", "-rp", s, t),
    "busybox cp -r": lambda s, t: run("busybox", "cp", "-r", s, t),
    "busybox cp -a": lambda s, t: run("busybox", "cp", "-a", s, t),
    "rsync -r": lambda s, t: run("rsync", "-r", f"{s}/", f"{t}/"),
    "rsync -a": lambda s, t: run("rsync", "-a", f"{s}/", f"{t}/"),
    "rsync --inplace": lambda s, t: run("rsync", "-r", "--inplace", f"{s}/", f"{t}/"),
    "tar x": lambda s, t: (t.mkdir(), run("sh", "-ec",
                                          'tar -C "$0" -cf - . | tar -C "$1" -xf -', s, t)),
    "bsdtar x": lambda s, t: (t.mkdir(), run(
        "sh", "-ec", 'tar -C "$0" -cf - . | bsdtar -C "$1" -xf -', s, t)),
    "cpio": lambda s, t: (t.mkdir(), run(
        "sh", "-ec", 'cd "$0"; find . | cpio --quiet -pdm "$1"', s, t)),
    "copytree": lambda s, t: shutil.copytree(s, t),
    "cp -r --reflink=never": lambda s, t: run("cp", "-r", "--reflink=never", s, t),
    "mv": lambda s, t: run("mv", s, t),
}
NEEDED = {"busybox": "busybox", "rsync": "rsync", "bsdtar": "bsdtar", "cpio": "cpio"}


def finished(m):
    """Nothing is left behind: no pending image, no byte in the spool."""
    assert pending(m) == []
    assert spool_bytes(m) == 0


@pytest.mark.parametrize("tool", TOOLS)
def test_tools(registry, mount, images, tmp_path, tool):
    need("skopeo", NEEDED.get(tool.split()[0], "cp"))
    m = mount(registry)
    source = tmp_path / "layout"
    shutil.copytree(images.multi.folder, source)
    repo = "push/" + "".join(c if c.isalnum() else "-" for c in tool).strip("-")
    TOOLS[tool](source, m / repo / "_tags/1.5")
    check_image(registry, repo, "1.5", images.multi, tmp_path)
    assert os.listdir(m / repo / "_tags") == ["1.5"]
    assert sorted(os.listdir(m / repo / "_tags/1.5/blobs/sha256")) == \
        sorted(d[7:] for d in images.multi.blobs())
    finished(m)


@pytest.mark.parametrize("options", ["-aHAX", "-ac", "-rt --size-only"])
def test_rsync_held(registry, mount, images, tmp_path, options):
    """What the repository has already is shown to who looks: that has attributes
    too, which can be read and set."""
    need("rsync", "skopeo")
    m = mount(registry)
    repo = "push/held" + "".join(c for c in options if c.isalpha()).lower()
    run("cp", "-r", images.single.folder, m / repo / "_tags/1")
    run("rsync", *options.split(), f"{images.single.folder}/", m / repo / "_tags/2")
    check_image(registry, repo, "2", images.single, tmp_path)
    assert pending(m) == []


@pytest.mark.parametrize("tool", ["cp -r", "copytree", "rsync -r", "tar x"])
def test_emptied(registry, mount, images, tmp_path, tool):
    """A file that a full disk or a power cut has left empty is not an image's."""
    need(NEEDED.get(tool.split()[0], "cp"))
    m = mount(registry)
    source = tmp_path / "layout"
    shutil.copytree(images.single.folder, source)
    layer = images.single.document()["layers"][0]["digest"]
    (source / "blobs/sha256" / layer[7:]).write_bytes(b"")
    with pytest.raises((AssertionError, shutil.Error)):
        TOOLS[tool](source, m / "push/emptied/_tags/1.5")
    assert layer[7:] in m.status("errors")
    m.expect_exit = 75                             # it is pending: who pushes it again ends that


def test_colon_name(registry, mount, images, tmp_path):
    m = mount(registry)
    run("cp", "-r", images.single.folder, m / "push/app:1.5")
    check_image(registry, "push/app", "1.5", images.single, tmp_path)
    run("cp", "-r", images.single.folder, m / "push/app+1.6")
    check_image(registry, "push/app", "1.6", images.single, tmp_path)
    assert (m / "push/app:1.5/index.json").read_text() == \
        (m / "push/app/_tags/1.5/index.json").read_text()
    finished(m)


def test_by_digest(registry, mount, images, tmp_path):
    """_manifests/DIGEST takes an image that has no tag, and only that one."""
    m = mount(registry)
    run("cp", "-r", images.single.folder, m / f"push/untagged/_manifests/{images.single.digest}")
    check_image(registry, "push/untagged", images.single.digest, images.single, tmp_path)
    wrong = "sha256:" + "0" * 64
    done = run("cp", "-r", images.single.folder, m / f"push/untagged/_manifests/{wrong}",
               check=False)
    assert done.returncode != 0 and "index.json" in done.stderr


def test_overwrite(registry, mount, images, tmp_path):
    """The tag means the old image till the last file, and the new one at once."""
    m = mount(registry)
    tag = m / "push/over/_tags/1"
    run("cp", "-r", images.single.folder, tag)
    old = (tag / "index.json").read_text()
    run("cp", "-r", f"{images.multi.folder}/blobs", tag)
    assert (tag / "index.json").read_text() == old
    check_image(registry, "push/over", "1", images.single, tmp_path)
    run("cp", f"{images.multi.folder}/index.json", tag)
    check_image(registry, "push/over", "1", images.multi, tmp_path)
    assert images.multi.digest in (tag / "index.json").read_text()
    assert (tag / "platforms").is_dir()
    finished(m)


def test_index_first(registry, mount, images, tmp_path):
    """In any order: what is incomplete is pending, and published by the close of
    the last blob."""
    m = mount(registry)
    tag = m / "push/order/_tags/1"
    source = images.single.folder
    (tag / "blobs/sha256").mkdir(parents=True)
    run("cp", source / "index.json", tag)
    assert len(pending(m)) == 1
    assert not (m / "push/order/_tags/1/manifest.json").exists()
    assert run("sync", tag, check=False).returncode != 0
    blobs = sorted((source / "blobs/sha256").iterdir())
    for blob in blobs[:-1]:
        run("cp", blob, tag / "blobs/sha256")
    assert blobs[-1].name in pending(m)[0]
    assert registry.status("/v2/push/order/manifests/1") == 404
    run("cp", blobs[-1], tag / "blobs/sha256")
    check_image(registry, "push/order", "1", images.single, tmp_path)
    run("sync", tag)
    finished(m)


@pytest.mark.parametrize("form", ["oci", "oci-archive"])
def test_skopeo(registry, mount, images, tmp_path, form):
    """skopeo writes the layout itself, under temporary names."""
    need("skopeo")
    m = mount(registry)
    source = f"oci:{images.single.folder}:1.4"
    if form == "oci-archive":
        archive = f"oci-archive:{tmp_path}/a.tar:1.4"
        run("skopeo", "copy", "--insecure-policy", source, archive,
            env=skopeo_env(tmp_path))
        source = archive
    repo = f"push/skopeo-{form}"
    (m / repo).is_dir()
    run("skopeo", "copy", "--insecure-policy", source, f"oci:{m / repo}/_tags/1.5",
        env=skopeo_env(tmp_path), timeout=120)
    check_image(registry, repo, "1.5", images.single, tmp_path)
    finished(m)


def test_skopeo_again(registry, mount, images, tmp_path):
    """Writing over a tag: index.json then holds the old image, too."""
    need("skopeo")
    m = mount(registry)
    for image in (images.single, images.multi):
        run("skopeo", "copy", "--insecure-policy", "--all",
            f"oci:{image.folder}:{image.ref}", f"oci:{m.point}/push/twice/_tags/1.5",
            env=skopeo_env(tmp_path), timeout=120)
        check_image(registry, "push/twice", "1.5", image, tmp_path)
    finished(m)


def test_umoci(registry, mount, tmp_path):
    """An image made from nothing, in the mount."""
    need("umoci")
    m = mount(registry)
    tag = m / "push/umoci/_tags/1.5"
    run("umoci", "init", "--layout", tag)
    run("umoci", "new", "--image", f"{tag}:1.5")
    first = sha256(raw_manifest(registry, "push/umoci", "1.5", skopeo_env(tmp_path)))
    run("umoci", "config", "--image", f"{tag}:1.5", "--config.cmd", "/bin/true")
    second = sha256(raw_manifest(registry, "push/umoci", "1.5", skopeo_env(tmp_path)))
    assert first != second
    finished(m)


def test_buildah(registry, mount, memory, tmp_path):
    """buildah push oci:, and podman pulls it from the registry."""
    need("buildah", "podman")
    m = mount(registry)
    storage = Storage(memory / "push-storage")
    try:
        container = storage.run("buildah", "from", "scratch")
        (tmp_path / "hello").write_text("hello\n")
        storage.run("buildah", "copy", container, tmp_path / "hello", "/hello")
        storage.run("buildah", "commit", *storage.policy, container, "app")
        target = m / "push/buildah/_tags/1.5"
        storage.run("buildah", "push", *storage.policy, "app", f"oci:{target}")
        storage.run("podman", "pull", *storage.policy, "--tls-verify=false",
                    f"{registry.address}/push/buildah:1.5")
    finally:
        storage.stop()
    assert len(copy_out(registry, "push/buildah", "1.5", tmp_path)) == 3
    finished(m)
