# SPDX-License-Identifier: Apache-2.0
"""Tags by symbolic links, renaming, removal, and who may."""
import os
import time

import pytest
from images import skopeo_env
from pushing import check_image, errors, pending, raw_manifest
from tools import errno_of, need, run, sha256


@pytest.fixture
def held(docker_registry, images):
    """A registry that deletes, with team/app:1.4."""
    need("skopeo")
    server = docker_registry(delete=True)
    images.single.push(server.address, "team/app")
    return server


@pytest.mark.parametrize("target", ["1.4", "./1.4", "../_tags/1.4", "../_manifests/{d}",
                                    "{d}", "{m}/team/app/_tags/1.4",
                                    "../_manifests/{p}"])
def test_tag(held, mount, images, tmp_path, target):
    m = mount(held)
    d = images.single.digest
    text = target.format(d=d, p=d.replace(":", "+"), m=m.point)
    os.symlink(text, m / "team/app/_tags/stable")
    check_image(held, "team/app", "stable", images.single, tmp_path)
    assert (m / "team/app/_tags/stable").is_dir()
    assert not (m / "team/app/_tags/stable").is_symlink()
    assert sorted(os.listdir(m / "team/app/_tags")) == ["1.4", "stable"]
    assert '"stable"' in (m / "team/app/_tags/stable/index.json").read_text()


def test_move(held, mount, images, tmp_path):
    """A tag that is there reads as a directory, which no link replaces: it is
    moved by a copy, of which no byte moves."""
    m = mount(held)
    images.multi.push(held.address, "team/app", "1.5")
    run("ln", "-s", "1.4", m / "team/app/_tags/stable")
    check_image(held, "team/app", "stable", images.single, tmp_path)
    assert run("ln", "-sfn", "1.5", m / "team/app/_tags/stable",
               check=False).returncode != 0
    assert run("ln", "-sfT", "1.5", m / "team/app/_tags/stable",
               check=False).returncode != 0
    run("cp", "-rT", m / "team/app/_tags/1.5", m / "team/app/_tags/stable")
    check_image(held, "team/app", "stable", images.multi, tmp_path)
    assert images.multi.digest in \
        (m / "team/app/_tags/stable/index.json").read_text()
    assert sorted(os.listdir(m / "team/app/_tags")) == ["1.4", "1.5", "stable"]
    run("ln", "-s", "app:1.5", m / "team/app:newest")
    check_image(held, "team/app", "newest", images.multi, tmp_path)


@pytest.mark.parametrize("target, name", [
    ("absent", "ENOENT"), ("../_manifests/sha256:" + "0" * 64, "ENOENT"),
    ("../../other/_tags/1.4", "EXDEV"), ("/etc/passwd", "EPERM"),
    ("a b", "EPERM"), ("../_blobs/sha256:" + "0" * 64, "EPERM")])
def test_no_tag(held, mount, target, name):
    m = mount(held)
    assert errno_of(os.symlink, target, m / "team/app/_tags/x") == name
    assert held.tags("team/app") == ["1.4"]


def test_temporary_link(held, mount):
    """The link that ln -sf makes up becomes no tag, and no success either."""
    m = mount(held)
    assert errno_of(os.symlink, "1.4", m / "team/app/_tags/Cu1a2B3c") == "EPERM"
    assert "cp -rT" in errors(m)
    assert run("ln", "-sfT", "1.4", m / "team/app/_tags/1.4", check=False).returncode != 0
    assert held.tags("team/app") == ["1.4"]
    os.symlink("1.4", m / "team/app/_tags/Custom")
    assert sorted(held.tags("team/app")) == ["1.4", "Custom"]


def test_tag_exists(held, mount):
    m = mount(held)
    assert errno_of(os.symlink, "1.4", m / "team/app/_tags/1.4") == "EEXIST"
    assert errno_of(os.mkdir, m / "team/app/_tags/1.4") == "EEXIST"
    assert errno_of(os.mkdir, m / "team/app/_tags/no tag") == "EINVAL"


def test_denied(held, mount, images, tmp_path):
    """Nothing is removed without allow_delete."""
    m = mount(held)
    d = images.single.digest
    layer = images.single.document()["layers"][0]["digest"]
    tags = m / "team/app/_tags"
    assert errno_of(os.rmdir, tags / "1.4") == "EPERM"
    assert errno_of(os.rename, tags / "1.4", tags / "1.5") == "EPERM"
    assert errno_of(os.rmdir, m / f"team/app/_manifests/{d}") == "EPERM"
    assert errno_of(os.unlink, m / f"team/app/_blobs/{layer}") == "EPERM"
    assert errno_of(os.unlink, tags / "1.4/index.json") == "EPERM"
    assert "allow_delete" in errors(m)
    check_image(held, "team/app", "1.4", images.single, tmp_path)


def test_remove(held, mount, images, tmp_path):
    """distribution 2.8 cannot delete a tag alone: EPERM, and it is still there;
    by digest it goes."""
    m = mount(held, allow_delete=True)
    d = images.single.digest
    assert errno_of(os.rmdir, m / "team/app/_tags/1.4") == "EPERM"
    check_image(held, "team/app", "1.4", images.single, tmp_path)
    assert errno_of(os.unlink, m / "team/app/_tags/1.4/index.json") == "EPERM"
    os.rmdir(m / f"team/app/_manifests/{d}")
    assert held.status("/v2/team/app/manifests/1.4",
                       "application/vnd.oci.image.manifest.v1+json") == 404
    assert not (m / f"team/app/_manifests/{d}").exists()
    assert not (m / "team/app/_tags/1.4").exists()
    layer = images.single.document()["layers"][0]["digest"]
    os.unlink(m / f"team/app/_blobs/{layer}")
    assert held.status(f"/v2/team/app/blobs/{layer}") == 404
    assert not (m / f"team/app/_blobs/{layer}").exists()


def test_remove_tag(emulator, mount, images):
    emu = emulator("distribution3", "delete=true")
    images.single.fill(emu, "team/app", "1.4")
    images.single.fill(emu, "team/app", "rc1")
    m = mount(emu, allow_delete=True)
    tags = m / "team/app/_tags"
    os.rmdir(tags / "1.4")
    assert os.listdir(tags) == ["rc1"]
    assert not (tags / "1.4").exists()
    run("mv", tags / "rc1", tags / "1.6")
    assert os.listdir(tags) == ["1.6"]
    assert images.single.digest in (tags / "1.6/index.json").read_text()
    run("rm", "-r", tags / "1.6", check=False)
    assert os.listdir(tags) == ["1.6"]      # rm removes what is inside first


def test_read_only(held, mount, images):
    m = mount(held, ro=True)
    tags = m / "team/app/_tags"
    for call in (lambda: os.symlink("1.4", tags / "x"), lambda: os.mkdir(tags / "x"),
                 lambda: os.rmdir(tags / "1.4"),
                 lambda: open(tags / "1.4/index.json", "w")):
        assert errno_of(call) == "EROFS"


def test_registry_read_only(emulator, mount, images):
    """405 is EROFS, with the registry's words."""
    emu = emulator("distribution", "read_only=true")
    images.single.fill(emu, "team/app", "1.4")
    m = mount(emu)
    assert errno_of(os.symlink, "1.4", m / "team/app/_tags/x") == "EROFS"
    assert "The operation is unsupported" in errors(m)


def test_other_mount(held, mount, images, tmp_path):
    """The mount that did it sees it at once, another within tag_ttl."""
    a, b = mount(held), mount(held, tag_ttl=1)
    images.multi.push(held.address, "team/app", "1.5")
    old = images.single.digest
    assert old in (b / "team/app/_tags/1.4/index.json").read_text()
    run("cp", "-rT", a / "team/app/_tags/1.5", a / "team/app/_tags/1.4")
    assert images.multi.digest in (a / "team/app/_tags/1.4/index.json").read_text()
    time.sleep(1.2)
    assert images.multi.digest in (b / "team/app/_tags/1.4/index.json").read_text()
    body = raw_manifest(held, "team/app", "1.4", skopeo_env(tmp_path))
    assert sha256(body) == images.multi.digest


@pytest.mark.parametrize("allowed", [False, True])
def test_remove_written(emulator, mount, images, allowed):
    """A directory that may not be removed keeps what was written there; one
    that was removed is gone with it."""
    emu = emulator("distribution3", "delete=true")
    images.single.fill(emu, "team/app", "1.4")
    m = mount(emu, allow_delete=allowed)
    tag = m / "team/app/_tags/1.4"
    run("cp", images.multi.folder / "index.json", tag)
    assert len(pending(m)) == 1
    if allowed:
        os.rmdir(tag)
        assert pending(m) == []
        assert not tag.exists()
        return
    assert errno_of(os.rmdir, tag) == "EPERM"
    assert len(pending(m)) == 1
    for name in os.listdir(m / ".registryfs/pending"):
        os.unlink(m / ".registryfs/pending" / name)
    os.unlink(tag / "index.json")
    assert images.single.digest in (tag / "index.json").read_text()
