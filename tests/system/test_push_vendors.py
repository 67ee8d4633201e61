# SPDX-License-Identifier: Apache-2.0
"""Pushes to every kind of registry, and what each of them refuses."""
import hashlib
import json
import os

import pytest
from emupush import (REPO, account, check_held, finished, get, has_blob, left, plain,
                     sent, tags)
from logins import auth_file
from pushing import errors, pending, spool_bytes
from tools import errno_of, run, sha256, wait_until

VENDORS = ["hub", "gar", "gcr", "ecr", "acr", "gitlab", "ghcr", "quay", "harbor",
           "zot", "gitea", "nexus", "artifactory"]
OTHERS = ["distribution", "distribution3", "basic", "bearer"]
MIB = 1 << 20


@pytest.fixture
def vendor(emulator, tmp_path):
    """vendor(profile, *settings) -> (emulator with REPO, options to mount it)"""
    def start(profile, *settings):
        emu = emulator(profile, *settings)
        emu.call("raw_names", repos=[REPO])
        options = {}
        if profile in ("basic", "bearer"):
            options["authfile"] = account(tmp_path, emu)
        return emu, options
    return start


def check_all(emu, *held):
    """All of these (tag, image) are there; asked without a password."""
    emu.set(auth="none")
    for tag, image in held:
        check_held(emu, REPO, tag, image)
    assert tags(emu, REPO) == sorted(t for t, _ in held)


@pytest.mark.parametrize("profile", VENDORS + OTHERS)
def test_from_disk(vendor, mount, images, profile):
    """cp -r of layouts; and a second time, which sends nothing."""
    emu, options = vendor(profile)
    m = mount(emu, **options)
    for image in (images.single, images.multi, images.large):
        run("cp", "-r", image.folder, m / REPO / "_tags" / image.ref)
        finished(m)
    assert sorted(os.listdir(m / REPO / "_tags")) == ["1.4", "big", "multi"]
    mark = emu.mark()
    run("cp", "-r", f"{images.multi.folder}/.", m / REPO / "_tags/multi")
    run("cp", "-r", images.single.folder, m / REPO / "_tags/1.5")
    assert sent(emu.log(since=mark)) == []
    assert sorted(os.listdir(m / REPO / "_tags")) == ["1.4", "1.5", "big", "multi"]
    finished(m)
    check_all(emu, ("1.4", images.single), ("1.5", images.single),
              ("big", images.large), ("multi", images.multi))


@pytest.mark.parametrize("profile", VENDORS + OTHERS)
def test_from_registry(vendor, emulator, mount, images, profile):
    """From a registry straight to it, there from one name to another, and
    a tag for it."""
    source = emulator()
    for image in (images.single, images.multi):
        image.fill(source, "team/app")
    emu, options = vendor(profile)
    m = mount(plain_http=plain(source, emu), **options)
    target = m.host(emu) / REPO / "_tags"
    for name in ("1.4", "multi"):
        run("cp", "-r", m.host(source) / "team/app/_tags" / name, target)
    finished(m)
    mark = emu.mark()
    run("cp", "-r", m.host(source) / "team/app/_tags/multi", target)
    run("cp", "-r", target / "1.4", target / "1.5")
    assert sent(emu.log(since=mark)) == []
    finished(m)
    mark = emu.mark()
    os.symlink("multi", target / "stable")
    assert sent(emu.log(since=mark)) == []
    assert sorted(os.listdir(target)) == ["1.4", "1.5", "multi", "stable"]
    finished(m)
    check_all(emu, ("1.4", images.single), ("1.5", images.single),
              ("multi", images.multi), ("stable", images.multi))


# What rmdir of one of two tags, then of the manifest with the last one, and
# rm of a blob say.
REMOVAL = {
    **{p: ("EPERM", "EROFS", "EROFS") for p in ("hub", "ecr", "ghcr")},
    **{p: (None, "EPERM", None) for p in ("gar", "gcr")},
    "acr": ("EPERM", None, None),
    "quay": (None, None, "EROFS"),
    **{p: (None, None, None) for p in ("gitlab", "harbor", "zot", "gitea", "nexus",
                                       "artifactory")},
}


@pytest.mark.parametrize("profile", VENDORS)
def test_removal(vendor, mount, images, profile):
    emu, options = vendor(profile)
    images.single.fill(emu, REPO, "1")
    images.single.fill(emu, REPO, "2")
    layer = images.single.document()["layers"][0]["digest"]
    m = mount(emu, allow_delete=True, **options)
    top = m / REPO
    by_tag, by_digest, blob = REMOVAL[profile]
    assert errno_of(os.rmdir, top / "_tags/1") == by_tag
    assert tags(emu, REPO) == (["1", "2"] if by_tag else ["2"])
    assert sorted(os.listdir(top / "_tags")) == tags(emu, REPO)
    assert errno_of(os.rmdir, top / "_manifests" / images.single.digest) == by_digest
    assert bool(tags(emu, REPO)) == bool(by_digest)
    assert (top / "_tags/2").exists() == bool(by_digest)
    assert errno_of(os.unlink, top / "_blobs" / layer) == blob
    assert (top / "_blobs" / layer).exists() == bool(blob)
    assert bool(errors(m)) == bool(by_tag or by_digest or blob)


@pytest.mark.parametrize("mirror", [False, True])
def test_remove_azure_tag(emulator, mount, images, tmp_path, mirror):
    """Its own API takes one tag; DELETE by tag is never asked of it."""
    emu = emulator("acr-list", "delete=true", "delete_tag=202")
    repo = f"hub/docker.io/{REPO}" if mirror else REPO
    for tag in "1", "2", "3":
        images.single.fill(emu, repo, tag)
    m = mount("docker.io" if mirror else emu, allow_delete=True,
              authfile=auth_file(tmp_path / "a.json", {emu.address: ("jo", "secret")}),
              **({"mirror": f"{emu.address}/hub"} if mirror else {}))
    assert sorted(os.listdir(m / REPO / "_tags")) == ["1", "2", "3"]
    os.rmdir(m / REPO / "_tags/1")
    assert sorted(emu.call("held", repo=repo)["tags"]) == ["2", "3"]
    assert sorted(os.listdir(m / REPO / "_tags")) == ["2", "3"]
    assert not emu.log(method="DELETE", path="/v2/")
    emu.set(acr_locked=True)
    assert errno_of(os.rmdir, m / REPO / "_tags/2") == "EROFS"
    assert "The operation is disallowed" in errors(m)
    emu.set(acr_locked=False)
    emu.call("delete", repo=repo, ref="2")
    assert errno_of(os.rmdir, m / REPO / "_tags/2") in (None, "ENOENT")
    assert sorted(emu.call("held", repo=repo)["tags"]) == ["3"]


def test_remove_the_last_of_a_digest(vendor, mount, images):
    """A registry that deletes by digest only: the tag goes with the digest."""
    emu, options = vendor("acr")
    images.single.fill(emu, REPO, "1")
    m = mount(emu, allow_delete=True, **options)
    os.rmdir(m / REPO / "_manifests" / images.single.digest)
    assert not (m / REPO / "_tags/1").exists()
    assert os.listdir(m / REPO / "_tags") == []


# -- what registries refuse --------------------------------------------------------

def put(m, image, tag):
    """cp -r of an image to a tag."""
    target = m / REPO / "_tags" / tag
    if target.exists():
        return run("cp", "-r", f"{image.folder}/.", target, check=False)
    return run("cp", "-r", image.folder, target, check=False)


def refused(m, done, text, *words):
    """cp failed with that text, and the registry's words can be read."""
    assert done.returncode == 1
    assert text in done.stderr
    lines = [line for line in errors(m).splitlines()
             if all(w in line for w in words)]
    assert lines, errors(m)
    return lines


@pytest.mark.parametrize("status", [400, 403, 409, 412])
def test_immutable(vendor, mount, images, status):
    emu, options = vendor("distribution3", f"immutable={status}")
    m = mount(emu, **options)
    assert put(m, images.single, "1").returncode == 0
    done = put(m, images.multi, "1")
    lines = refused(m, done, "Operation not permitted", "EPERM", "mmutable")
    assert len(lines) == 1
    assert "index.json" in done.stderr
    check_held(emu, REPO, "1", images.single)
    assert images.single.digest in (m / REPO / "_tags/1/index.json").read_text()
    assert pending(m) == []
    assert put(m, images.single, "1").returncode == 0
    assert put(m, images.multi, "2").returncode == 0
    assert errno_of(os.symlink, "2", m / REPO / "_tags/3") is None
    assert spool_bytes(m) < 10_000      # the manifests of what was refused


@pytest.mark.parametrize("profile", ["harbor", "distribution3"])
def test_quota(vendor, mount, images, profile):
    emu, options = vendor(profile, "quota=100000")
    m = mount(emu, **options)
    refused(m, put(m, images.large, "1"), "Disk quota exceeded", "EDQUOT", "exceed")
    assert not (m / REPO / "_tags/1/manifest.json").exists()
    assert tags(emu, REPO) == []
    left(m, REPO, "1")


@pytest.mark.parametrize("profile, settings, text, errno", [
    ("ecr", [], "No such file", "ENOENT"), ("harbor", [], "No such file", "ENOENT"),
    ("harbor", ["missing_repo=403"], "Permission denied", "EACCES"),
    ("harbor", ["missing_repo=401"], "Permission denied", "EACCES")])
def test_missing_repository(emulator, mount, images, profile, settings, text, errno):
    emu = emulator(profile, *settings)
    m = mount(emu)
    done = put(m, images.single, "1")
    refused(m, done, text, errno)
    left(m, REPO, "1")
    emu.call("raw_names", repos=[REPO])
    done = put(m, images.single, "1")
    assert done.returncode == 0, done.stderr + errors(m)
    check_held(emu, REPO, "1", images.single)


def test_front_server(vendor, mount, images):
    """413 of a web server before the registry, for a stream and a whole body."""
    emu, options = vendor("distribution3", "body_limit=1000000")
    m = mount(emu, **options)
    refused(m, put(m, images.large, "1"), "File too large", "EFBIG", "413")
    assert tags(emu, REPO) == []
    left(m, REPO, "1")
    assert put(m, images.multi, "2").returncode == 0
    check_held(emu, REPO, "2", images.multi)


def test_read_only(vendor, mount, images):
    emu, options = vendor("distribution3", "read_only=true")
    images.single.fill(emu, REPO, "1")
    m = mount(emu, allow_delete=True, **options)
    refused(m, put(m, images.multi, "2"), "Read-only file system", "EROFS", "405")
    assert errno_of(os.symlink, "1", m / REPO / "_tags/3") == "EROFS"
    assert errno_of(os.rmdir, m / REPO / "_tags/1") in ("EROFS", "EPERM")
    assert tags(emu, REPO) == ["1"]
    left(m, REPO, "2")


def test_sha512_refused(vendor, mount):
    """A registry that knows sha256 only: an error, and no other digest."""
    emu, options = vendor("distribution3", "sha512=false")
    m = mount(emu, **options)
    data = os.urandom(MIB)
    path = m / REPO / "_blobs" / ("sha512:" + hashlib.sha512(data).hexdigest())
    assert errno_of(path.write_bytes, data) in ("EINVAL", "EIO")
    assert not [c for c in emu.call("commits") if c[0] == "blob"]
    assert os.path.basename(path) in errors(m)
    wait_until(lambda: spool_bytes(m) == 0, 3, "the spool is empty")


def docker_image(emu, images, folder):
    """An image of Docker's types, in a registry."""
    document = images.single.document()
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    document["mediaType"] = kind
    document["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json"
    for layer in document["layers"]:
        layer["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    images.single.fill(emu, "team/app")
    return emu.add_manifest("team/app", document, kind, "docker")


@pytest.mark.parametrize("profile, takes", [("zot", False), ("distribution3", True)])
def test_docker_types(vendor, emulator, mount, images, tmp_path, profile, takes):
    """Never converted: taken as they are, or refused."""
    source = emulator()
    digest = docker_image(source, images, tmp_path)
    emu, options = vendor(profile)
    m = mount(plain_http=plain(source, emu), **options)
    done = run("cp", "-r", m.host(source) / "team/app/_tags/docker",
               m.host(emu) / REPO / "_tags", check=False)
    if takes:
        assert done.returncode == 0, done.stderr
        assert sha256(get(emu, f"/v2/{REPO}/manifests/docker")) == digest
    else:
        refused(m, done, "Invalid argument", "EINVAL", "manifest invalid")
        assert tags(emu, REPO) == []
    assert pending(m) == []


@pytest.mark.parametrize("profile", ["basic", "bearer"])
@pytest.mark.parametrize("word", [None, "wrong", "reader"])
def test_refused_account(emulator, mount, images, tmp_path, profile, word):
    """Nobody, a wrong password, and one who may only read."""
    emu = emulator(profile)
    users = {"jo": "secret", "reader": "reader"}
    emu.set(users=users, anonymous_pull=True, access=[
        {"repo": ".*", "user": "jo", "actions": ["pull", "push"]},
        {"repo": ".*", "user": "*", "actions": ["pull"]}])
    options = {}
    if word:
        user = "reader" if word == "reader" else "jo"
        options["authfile"] = account(tmp_path, emu, user=user, word=word)
    m = mount(emu, **options)
    refused(m, put(m, images.single, "1"), "Permission denied", "EACCES")
    assert emu.call("commits") == []
    left(m, REPO, "1")
    assert "secret" not in errors(m) + m.log() + m.status("status")


@pytest.mark.parametrize("switch", [
    "range_style=none", "range_style=bytes", "location_query=empty",
    "empty_put=500", "put_body=400", "upload_path=outside", "second_stream=false",
    "chunk_max=1000000", "chunk_min=3000000", "chunks=false", "partial_patch=lost",
    "single_post=true", "mount=401", "mount=404", "mount=500", "location=relative",
    "api_version=false", "digest_header=false", "head_manifest=405",
    "redirect=307", "error_style=artifactory"])
def test_switch(vendor, mount, images, switch):
    """Each peculiarity by itself, with a large layer and a small index, and a
    copy within the registry."""
    emu, options = vendor("distribution3", switch)
    m = mount(emu, **options)
    for image in (images.large, images.multi):
        done = put(m, image, image.ref)
        assert done.returncode == 0, done.stderr + errors(m)
    run("cp", "-r", m / REPO / "_tags/multi", m / "p/r/other/_tags")
    check_all(emu, ("big", images.large), ("multi", images.multi))
    check_held(emu, "p/r/other", "multi", images.multi)
    assert pending(m) == [] and spool_bytes(m) == 0


def test_many_blobs_on_their_way(vendor, mount, tmp_path):
    """Twenty writers of one repository at once; more than go out together."""
    emu, options = vendor("distribution3")
    m = mount(emu, **options)
    data = [os.urandom(300_000) for _ in range(20)]
    folder = tmp_path / "blobs"
    folder.mkdir()
    for d in data:
        (folder / sha256(d)).write_bytes(d)
    run("sh", "-ec", 'for f in "$0"/*; do cp "$f" "$1" & done; wait', folder,
        m / REPO / "_blobs")
    assert all(has_blob(emu, REPO, sha256(d)) for d in data)
    assert json.loads(m.status("status.json"))["outgoing"]["spool"]["bytes"] == 0
    finished(m)
