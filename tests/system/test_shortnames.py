# SPDX-License-Identifier: Apache-2.0
"""Docker Hub's short names and its other hosts, as links that are only found."""
import os

import pytest

from tools import errno_of, read_file, run, sha256

PAGES = ("/manifests/", "/tags/list")


@pytest.fixture
def hub(world, images):
    emu = world.add("docker.io")
    images.single.fill(emu, "library/alpine", "3.20")
    images.single.fill(emu, "alpine/git", "1")
    return emu


@pytest.fixture
def tree(hub, mount, world):
    return mount(None, **world.options)


@pytest.mark.parametrize("short,real", [
    ("docker.io/alpine:3.20", "library/alpine:3.20"),
    ("docker.io/alpine+3.20", "library/alpine+3.20"),
    ("docker.io/alpine/_tags", "../library/alpine/_tags"),
    ("docker.io/alpine/_blobs", "../library/alpine/_blobs"),
    ("docker.io/alpine/_manifests", "../library/alpine/_manifests"),
    ("docker.io/alpine/_rootfs", "../library/alpine/_rootfs"),
    ("docker.io/alpine/_layers", "../library/alpine/_layers"),
    ("index.docker.io", "docker.io"), ("registry-1.docker.io", "docker.io")])
def test_links(tree, hub, short, real):
    """Where they lead is known without asking anybody."""
    assert os.readlink(tree / short) == real
    assert os.readlink(tree / short) == real    # and again, from the kernel
    assert not hub.log()


@pytest.mark.parametrize("path", [
    "docker.io/alpine:3.20", "docker.io/alpine/_tags/3.20",
    "index.docker.io/library/alpine:3.20", "registry-1.docker.io/alpine:3.20",
    "index.docker.io/alpine/_tags/3.20"])
def test_reading(tree, images, path):
    top = tree / path
    assert read_file(top / "manifest.json") == images.single.data(images.single.digest)
    assert os.path.isdir(top / "rootfs/usr") or os.listdir(top / "rootfs/")
    assert os.listdir(top / "layers")
    blob = os.path.realpath(top / "layers/00")
    assert "/docker.io/library/alpine/_layers/" in blob


def test_by_digest(tree, images):
    digest = images.single.digest
    assert sha256(read_file(tree / f"docker.io/alpine@{digest}/manifest.json")) == digest


def test_a_namespace_of_the_same_name(tree, hub, images):
    """alpine/git is somebody's, library/alpine the official image."""
    assert os.path.isdir(tree / "docker.io/alpine/git:1")
    assert os.listdir(tree / "docker.io/alpine/git/_tags") == ["1"]
    assert not os.path.islink(tree / "docker.io/alpine")


def test_not_listed(tree):
    assert "index.docker.io" not in os.listdir(tree.point)
    os.stat(tree / "docker.io/alpine:3.20")
    names = os.listdir(tree / "docker.io")
    assert "alpine:3.20" not in names
    names = os.listdir(tree / "docker.io/alpine")
    assert not [n for n in names if n.startswith("_")]


def test_missing(tree, hub):
    """What the Hub says of the real name; it does not tell what is not there
    from what is private."""
    assert errno_of(os.stat, tree / "docker.io/alpine:none") == "ENOENT"
    assert errno_of(os.stat, tree / "docker.io/alpine/_tags/none") == "ENOENT"
    assert errno_of(os.stat, tree / "docker.io/nothing:1") == "EACCES"
    assert "docker.io/library/nothing/_tags/1" in tree.status("errors")
    assert errno_of(os.stat, tree / "docker.io/alpine/_nothing") == "ENOENT"
    for entry in hub.log():
        if any(p in entry["path"] for p in PAGES):
            assert "/v2/library/" in entry["path"]


def test_mkdir(tree):
    """Images are made by their real names; what is there may be gone into."""
    for name in "new:1", "alpine:new":
        assert errno_of(os.mkdir, tree / "docker.io" / name) == "EPERM"
        real = "the official image is library/" + name.partition(":")[0]
        assert real in tree.status("errors")
    assert errno_of(os.symlink, "x", tree / "docker.io/alpine:new") == "EPERM"
    assert errno_of(os.mkdir, tree / "docker.io/alpine:3.20") == "EEXIST"
    os.mkdir(tree / "docker.io/alpine:3.20/blobs")      # a draft, behind the link


def test_a_mount_of_a_namespace(hub, mount, world):
    """library/ is not in it."""
    m = mount("docker.io/alpine", **world.options)
    assert os.path.isdir(m / "git:1")
    assert errno_of(os.stat, m / "_tags/3.20") == "ENOENT"
    assert "library/alpine" in m.status("errors")


@pytest.mark.parametrize("source", ["docker.io", "index.docker.io",
                                    "registry-1.docker.io"])
def test_source(hub, mount, world, images, source):
    m = mount(source, **world.options)
    assert os.path.isdir(m / "alpine:3.20")
    assert read_file(m / "alpine/_tags/3.20/manifest.json") == \
        images.single.data(images.single.digest)


def test_allow(hub, mount, world):
    m = mount(None, allow="docker.io/library/**", **world.options)
    assert os.path.isdir(m / "docker.io/alpine:3.20")
    assert os.path.isdir(m / "index.docker.io/library/alpine:3.20")
    assert errno_of(os.stat, m / "docker.io/alpine/git:1") == "EPERM"


def test_other_registries_have_none(mount, emulator, images):
    emu = emulator()
    images.single.fill(emu, "alpine", "3.20")
    m = mount(None)
    top = m / emu.address
    assert not os.path.islink(top / "alpine:3.20")
    assert os.path.isdir(top / "alpine/_tags/3.20")


def test_copy_by_short_name(tree, hub, images, world, tmp_path):
    run("cp", "-rL", tree / "docker.io/alpine:3.20/manifest.json", tmp_path / "m")
    assert sha256((tmp_path / "m").read_bytes()) == images.single.digest
    emu = world.add("registry.example.com", profile="distribution",
                    hosts={"registry.example.com": "registry"})
    run("cp", "-r", tree / "docker.io/alpine/_tags/3.20",
        tree / "registry.example.com/a:1")
    assert emu.log(method="PUT", path="/v2/a/manifests/1")
