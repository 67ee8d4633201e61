# SPDX-License-Identifier: Apache-2.0
"""The tree over a real docker-registry: what is where, and what it says."""
import io
import json
import os
import stat
import tarfile

import pytest

from images import REF
from tools import errno_of, read_file, run, sha256sum, wait_until

LAYOUT = {"oci-layout", "index.json", "blobs", "manifest.json", "config.json", "layers",
          "history", "rootfs"}


@pytest.fixture
def host(mount, registry):
    return mount().host(registry)


def spellings(app, tag, digest):
    """Every name under which an image is to be found."""
    top, name = app.parent, app.name
    other = top.parent.parent / top.parent.name.replace(":", "+") / top.name / name
    plus = digest.replace(":", "+")
    return [app / "_tags" / tag, app / "_manifests" / digest, app / "_manifests" / plus,
            top / f"{name}:{tag}", top / f"{name}+{tag}",
            top / f"{name}@{digest}", top / f"{name}@{plus}",
            other / "_tags" / tag, other.parent / f"{name}+{tag}"]


def test_directories(host):
    assert "team" in os.listdir(host)
    assert {"app", "big"} <= set(os.listdir(host / "team"))
    names = set(os.listdir(host / "team/app"))
    assert {"_tags", "_manifests", "_blobs", "_layers", "_rootfs", "web"} <= names
    assert sorted(os.listdir(host / "team/app/_tags")) == ["1.4", "multi", "v2s2"]
    assert os.listdir(host / "team/app/web/_tags") == ["1.0"]


def test_source_host_and_namespace(mount, registry):
    assert "team" in os.listdir(mount(registry).point)
    inner = mount(f"{registry.address}/team")
    assert {"app", "big"} <= set(os.listdir(inner.point))
    assert "1.4" in os.listdir(inner / "app/_tags")
    repo = mount(f"{registry.address}/team/app")
    assert "1.4" in os.listdir(repo / "_tags")


def test_hosts_are_listed(mount, registry):
    m = mount()
    os.stat(m.host(registry) / "team/app/_tags")
    names = os.listdir(m.point)
    assert ".registryfs" in names and registry.address in names


def test_colon_option(mount, registry):
    m = mount(colon="+")
    os.stat(m.host(registry) / "team/app/_tags")
    assert registry.address.replace(":", "+") in os.listdir(m.point)


def test_image_directory(host, images):
    image = host / "team/app/_tags/1.4"
    assert LAYOUT <= set(os.listdir(image))
    assert json.loads((image / "oci-layout").read_text()) == {
        "imageLayoutVersion": "1.0.0"}
    index = json.loads((image / "index.json").read_text())
    assert len(index["manifests"]) == 1
    entry = index["manifests"][0]
    assert entry["digest"] == images.single.digest
    assert entry["size"] == images.single.descriptor["size"]
    assert entry["annotations"][REF] == "1.4"


def test_digest_directory_has_no_name(host, images):
    image = host / "team/app/_manifests" / images.single.digest
    entry = json.loads((image / "index.json").read_text())["manifests"][0]
    assert entry["digest"] == images.single.digest
    assert REF not in entry.get("annotations", {})


@pytest.mark.parametrize("tag, name", [("1.4", "single"), ("multi", "multi")])
def test_all_blobs(host, images, tag, name):
    """Everything reachable is there, all platforms, byte for byte."""
    image, folder = getattr(images, name), host / "team/app/_tags" / tag
    blobs = folder / "blobs/sha256"
    assert {f"sha256:{n}" for n in os.listdir(blobs)} == set(image.blobs())
    for digest, size in image.blobs().items():
        path = blobs / digest[7:]
        assert path.stat().st_size == size
        assert sha256sum(path) == digest


def test_schema2(host, registry):
    raw = run("skopeo", "inspect", "--raw", "--tls-verify=false",
              f"docker://{registry.address}/team/app:v2s2", text=False).stdout
    image = host / "team/app/_tags/v2s2"
    assert read_file(image / "manifest.json") == raw
    document = json.loads(raw)
    for item in [document["config"], *document["layers"]]:
        path = image / "blobs/sha256" / item["digest"][7:]
        assert path.stat().st_size == item["size"]
        assert sha256sum(path) == item["digest"]
    top = json.loads((image / "index.json").read_text())["manifests"][0]
    assert top["mediaType"] == document["mediaType"]


def test_every_name(host, images):
    """The same image under each name, its symlinks right from each."""
    image = images.multi
    child = image.document()["manifests"][0]["digest"]
    for folder in spellings(host / "team/app", "multi", image.digest):
        index = json.loads((folder / "index.json").read_text())
        assert index["manifests"][0]["digest"] == image.digest, folder
        assert read_file(folder / "manifest.json"), folder
        assert json.loads((folder / "config.json").read_text())["os"] == "linux", folder
        inner = json.loads((folder / "platforms/linux-amd64/index.json").read_text())
        assert inner["manifests"][0]["digest"] == child, folder


def test_inside_from_every_name(host, images):
    """rootfs and layers lead to the chosen platform's, from each name."""
    image = images.multi
    child = image.document()["manifests"][0]["digest"]
    for folder in spellings(host / "team/app", "multi", image.digest):
        assert os.readlink(folder / "rootfs").endswith(f"app/_rootfs/{child}") or \
            os.readlink(folder / "rootfs") == f"../../_rootfs/{child}"
        assert read_file(folder / "rootfs/etc/arch") == b"amd64\n", folder
        assert read_file(folder / "layers/01/etc/arch") == b"amd64\n", folder
        other = folder / "platforms/linux-arm-v7/rootfs/etc/arch"
        assert read_file(other) == b"armv7\n", folder


def test_inside_of_the_chosen_platform(mount, registry):
    image = mount(registry, platform="linux/arm64") / "team/app/_tags/multi"
    assert read_file(image / "rootfs/etc/arch") == b"arm64\n"
    assert read_file(image / "layers/01/etc/arch") == b"arm64\n"


def test_history(host, images, tmp_path):
    """Steps and layers; its size is right for whoever copies by size."""
    path = host / "team/app/_tags/1.4/history"
    size = path.stat().st_size
    lines = path.read_text().splitlines()
    assert len(read_file(path)) == size
    assert lines[0].split() == ["STEP", "LAYER", "SIZE", "CREATED", "CREATED_BY"]
    for i, layer in enumerate(images.single.document()["layers"]):
        assert lines[1 + i].split(None, 4) == [
            str(i), f"{i:02d}", str(layer["size"]), "2024-05-01T10:00:00Z", f"layer {i}"]
    run("cp", path, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == read_file(path)
    with tarfile.open(fileobj=io.BytesIO(
            run("tar", "c", "-C", path.parent, "history", text=False).stdout)) as tar:
        assert tar.extractfile("history").read() == read_file(path)


def test_trees_are_listed_once_looked_into(mount, registry, images):
    app = mount(registry) / "team/app"
    layer = images.single.document()["layers"][1]["digest"]
    assert os.listdir(app / "_layers") == os.listdir(app / "_rootfs") == []
    assert os.listdir(app / "_layers" / layer)
    assert os.listdir(app / "_layers" / layer.replace(":", "+"))
    assert os.listdir(app / "_layers") == [layer]
    assert os.listdir(app / "_rootfs" / images.single.digest)
    assert os.listdir(app / "_rootfs") == [images.single.digest]
    assert errno_of(os.listdir, app / "_layers/nothing") == "ENOENT"
    assert errno_of(os.listdir, app / "_rootfs" / ("sha256:" + "0" * 64)) == "ENOENT"


def test_views_are_symlinks(host, images):
    image = host / "team/app/_tags/1.4"
    for name in ("manifest.json", "config.json"):
        assert os.readlink(image / name).startswith("blobs/sha256/")
    document = images.single.document()
    assert sorted(os.listdir(image / "layers")) == ["00", "01", "02", "03"]
    for i, layer in enumerate(document["layers"]):
        target = os.readlink(image / "layers" / f"{i:02d}")
        assert target.endswith(layer["digest"][7:])
        assert not target.startswith("/")
    manifest = images.single.data(images.single.digest)
    assert read_file(image / "manifest.json") == manifest
    assert read_file(image / "config.json") == images.single.data(
        document["config"]["digest"])


def test_platforms(host, mount, registry, images):
    image = host / "team/app/_tags/multi"
    names = set(os.listdir(image / "platforms"))
    assert {"linux-amd64", "linux-arm64", "linux-arm-v7"} <= names
    for name, arch in (("linux-arm64", "arm64"), ("linux-arm-v7", "arm")):
        config = json.loads((image / "platforms" / name / "config.json").read_text())
        assert config["architecture"] == arch
    other = mount(registry, platform="linux/arm64")
    config = json.loads((other / "team/app/_tags/multi/config.json").read_text())
    assert config["architecture"] == "arm64"


def test_blob_directory(host, images):
    """Configs and layers; manifests are no blobs to a registry."""
    for digest, size in images.single.blobs().items():
        if digest == images.single.digest:
            continue
        for name in (digest, digest.replace(":", "+")):
            path = host / "team/app/_blobs" / name
            assert path.stat().st_size == size
        assert sha256sum(path) == digest


def test_attributes(host, images):
    image = host / "team/app/_tags/1.4"
    assert {"user.oci.digest", "user.oci.mediatype"} <= set(os.listxattr(image))
    assert os.getxattr(image, "user.oci.digest").decode() == images.single.digest
    note = os.getxattr(image, "user.oci.annotation.com.example.note")
    assert note.decode() == "héllo"
    text = run("getfattr", "-d", host / "team/app:1.4").stdout
    assert images.single.digest in text
    assert errno_of(os.getxattr, image, "user.nothing") == "ENODATA"


def test_cached_and_verified(host, images):
    layer = images.large.document()["layers"][0]
    path = host / "team/big/_tags/big/blobs/sha256" / layer["digest"][7:]
    assert os.getxattr(path, "user.oci.digest").decode() == layer["digest"]
    assert os.getxattr(path, "user.registryfs.cached") == b"0"
    before = os.getxattr(path, "user.registryfs.verified")
    read_file(path)
    wait_until(lambda: os.getxattr(path, "user.registryfs.cached") == b"100",
               what="cached in full")
    wait_until(lambda: os.getxattr(path, "user.registryfs.verified") != before,
               what="verified")


def test_stat(host, images):
    image = host / "team/app/_tags/1.4"
    for digest, size in images.single.blobs().items():
        s = os.stat(image / "blobs/sha256" / digest[7:])
        assert stat.S_ISREG(s.st_mode) and not s.st_mode & 0o7000
        assert s.st_blocks * 512 >= s.st_size == size
        assert s.st_nlink == 1
    assert os.stat(image).st_nlink in (1, 2 + sum(
        e.is_dir(follow_symlinks=False) for e in os.scandir(image)))
    listing = run("ls", "-lR", image).stdout
    assert "cannot" not in listing


def numbers(top):
    paths = [os.path.join(d, n) for d, dirs, files in os.walk(top)
             for n in dirs + files]
    return {os.path.relpath(p, top): os.lstat(p).st_ino for p in paths}


def test_inodes_do_not_depend_on_visits(mount, registry):
    one, two = mount(registry), mount(registry)
    os.listdir(two / "team/big/_tags/big/blobs/sha256")
    os.stat(two / "team/app/_tags/v2s2/config.json")
    first = numbers(one / "team/app/_tags/1.4")
    assert len(set(first.values())) == len(first) > 8
    assert numbers(two / "team/app/_tags/1.4") == first
    for entry in os.scandir(one / "team/app/_tags/1.4"):
        assert entry.inode() == first[entry.name]


def test_copy_order(host, images):
    """By inode and by readdir: layers, configs, manifests, index.json last."""
    image = host / "team/app/_tags/multi"
    blobs = {p.name: p.stat().st_ino for p in (image / "blobs/sha256").iterdir()}
    kinds = {d[7:]: rank(images.multi, d) for d in images.multi.blobs()}
    for order in (list(blobs), sorted(blobs, key=blobs.get)):
        ranks = [kinds[n] for n in order]
        assert ranks == sorted(ranks)
    top = [e for e in os.scandir(image) if e.is_file(follow_symlinks=False)]
    assert top[-1].name == "index.json"
    assert (image / "index.json").stat().st_ino > max(blobs.values())


def rank(image, digest):
    """0 layer, 1 config, 2 manifest, 3 index."""
    if digest == image.digest:
        return 3
    if digest in image.manifests():
        return 2
    configs = {image.document(m)["config"]["digest"] for m in image.manifests()[1:]}
    return 1 if digest in configs else 0


def test_read_only(mount, registry):
    m = mount(registry, ro=True)
    assert errno_of(os.mkdir, m / "team/app/_tags/new") == "EROFS"
    assert errno_of(os.unlink, m / "team/app/_tags/1.4/index.json") == "EROFS"


def test_referrers(mount, emulator, images):
    """By the API and by the tag schema, as links to the manifests."""
    for profile in ("referrers", "distribution"):
        emu = emulator(profile)
        images.single.fill(emu, "a")
        digest = add_referrer(emu, images.single, profile == "distribution")
        folder = mount(emu) / "a/_tags/1.4/referrers"
        links = [os.readlink(folder / n) for n in os.listdir(folder)]
        assert len(links) == 1 and links[0].replace("+", ":").endswith(digest), profile


def add_referrer(emu, image, by_tag):
    empty = emu.add_blob("a", b"{}")
    kind = "application/vnd.oci.image.manifest.v1+json"
    item = {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
            "digest": empty}
    document = {"schemaVersion": 2, "mediaType": kind, "config": item, "layers": [item],
                "artifactType": "application/x-sbom", "subject": image.descriptor}
    digest = emu.add_manifest("a", document)
    if by_tag:
        index = "application/vnd.oci.image.index.v1+json"
        emu.add_manifest("a", {
            "schemaVersion": 2, "mediaType": index, "manifests": [
                {"mediaType": kind, "digest": digest, "size": len(json.dumps(document)),
                 "artifactType": "application/x-sbom"}]},
            tag=image.digest.replace(":", "-"))
    return digest
