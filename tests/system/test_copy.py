# SPDX-License-Identifier: Apache-2.0
"""From registry to registry: the bytes go straight, or not at all."""
import json
import os
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from images import Layout, make_tar
from pushing import check_image, errors, pending
from tools import need, run, sha256


EVERY = ", ".join(f"application/vnd.{k}" for k in (
    "oci.image.index.v1+json", "oci.image.manifest.v1+json"))


def fetch(server, path):
    request = urllib.request.Request(f"http://{server.address}{path}",
                                     headers={"Accept": EVERY})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


def both(mount, *servers, **options):
    """One mount of all hosts, which are plain HTTP."""
    return mount(plain_http=" ".join(s.address for s in servers), **options)


@pytest.mark.parametrize("which", ["single", "multi", "large"])
def test_other_registry(registry, docker_registry, mount, images, tmp_path, which):
    need("skopeo")
    image = getattr(images, which)
    other = docker_registry()
    m = both(mount, registry, other)
    source = {"single": "team/app/_tags/1.4", "multi": "team/app/_tags/multi",
              "large": "team/big/_tags/big"}[which]
    target = m.host(other) / "mirror/app/_tags"
    run("cp", "-r", m.host(registry) / source, target)
    check_image(other, "mirror/app", image.ref, image, tmp_path)
    assert os.listdir(target) == [image.ref]
    assert pending(m) == []


@pytest.mark.parametrize("words", [["cp", "-a"], ["cp", "-r", "--reflink=never"],
                                   ["rsync", "-r"], ["busybox", "cp", "-r"]])
def test_other_ways(registry, docker_registry, mount, images, tmp_path, words):
    """Where the kernel does not hand the copy over, it is read and written."""
    need(words[0])
    other = docker_registry()
    m = both(mount, registry, other)
    run(*words, m.host(registry) / "team/app/_tags/multi", m.host(other) / "a/b/_tags")
    check_image(other, "a/b", "multi", images.multi, tmp_path)


def test_two_mounts(registry, docker_registry, mount, images, tmp_path):
    other = docker_registry()
    a, b = mount(registry), mount(other)
    run("cp", "-r", a / "team/app/_tags/multi", b / "x/_tags")
    check_image(other, "x", "multi", images.multi, tmp_path)


def test_same_registry(emulator, mount, images):
    """No byte of a blob is fetched or sent."""
    emu = emulator()
    images.multi.fill(emu, "team/app")
    m = mount(emu)
    run("cp", "-r", m / "team/app/_tags/multi", m / "edge/app/_tags")
    layers = [d["digest"] for c in images.multi.manifests()[1:]
              for d in images.multi.document(c)["layers"]]
    assert not [r for r in emu.log(method="GET") if r["target"].rpartition("/")[2] in layers]
    assert not emu.log(path="/blobs/", method="PATCH")
    assert not emu.log(path="/blobs/", method="PUT")
    for digest in images.multi.blobs():
        kind = "manifests" if digest in images.multi.manifests() else "blobs"
        body = fetch(emu, f"/v2/edge/app/{kind}/{digest}")
        assert sha256(body) == digest
    assert fetch(emu, "/v2/edge/app/manifests/multi") == \
        images.multi.data(images.multi.digest)


def test_same_registry_at_once(emulator, mount, tmp_path):
    """On a long line one turn of questions does for an image of ten layers, and
    what refers to it is asked for meanwhile."""
    emu = emulator()
    layout = Layout(tmp_path / "ten")
    blobs = [layout.add(bytes([n]) * 9, "application/x-nine") for n in range(10)]
    top = layout.add_json(
        {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
         "artifactType": "application/vnd.example", "layers": blobs,
         "config": layout.add(b"{}", "application/vnd.oci.empty.v1+json")},
        "application/vnd.oci.image.manifest.v1+json")
    image = layout.finish(top, "ten")
    image.fill(emu, "a/b")
    emu.fault(path="mount=", method="POST", count=0, delay=1)
    m = mount(emu)
    run("cp", "-r", m / "a/b/_tags/ten", m / "a/c/_tags")
    starts = [e["time"] for e in emu.log(path="mount=", method="POST")]
    assert len(starts) == 11 and max(starts) - min(starts) < 0.9
    asked = emu.log(path="/a/b/referrers/")
    assert asked and max(e["time"] for e in asked) < min(starts) + 0.9


def copy_blob(source, target, before):
    """copy_file_range(2), and nothing else."""
    a, b = os.open(source, os.O_RDONLY), os.open(target, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        before()
        while os.copy_file_range(a, b, 1 << 40):
            pass
    finally:
        os.close(a)
        os.close(b)


@pytest.mark.parametrize("turn", range(3))
def test_first_copies_at_once(emulator, mount, turn):
    """A mount whose first copies begin together does not forget how to copy."""
    emu, at_once = emulator(), 12
    digests = [emu.call("blob_pattern", repo="a/b", size=200_000, seed=n)
               for n in range(at_once + 1)]
    m = mount(emu)
    together = threading.Barrier(at_once)
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda d: copy_blob(m / f"a/b/_blobs/{d}", m / f"a/c/_blobs/{d}",
                                          together.wait), digests[:-1]))
    copy_blob(m / f"a/b/_blobs/{digests[-1]}", m / f"a/c/_blobs/{digests[-1]}",
              lambda: None)
    assert set(emu.call("held", repo="a/c")["blobs"]) == set(digests)
    assert not emu.log(path="/blobs/", method="GET")


def test_again(registry, docker_registry, mount, images, tmp_path):
    """A second copy of what is there sends nothing but the tag."""
    other = docker_registry()
    m = both(mount, registry, other)
    source = m.host(registry) / "team/app/_tags/multi"
    run("cp", "-r", source, m.host(other) / "again/_tags")
    before = json.loads(m.status("status.json"))["metrics"]
    run("cp", "-r", source, m.host(other) / "again/_tags")
    after = json.loads(m.status("status.json"))["metrics"]
    moved = after["http_bytes_out"] - before["http_bytes_out"]
    assert moved <= 4 * images.multi.descriptor["size"] + 20000
    check_image(other, "again", "multi", images.multi, tmp_path)


def test_one_platform(registry, mount, images, tmp_path):
    m = mount(registry)
    run("cp", "-r", f"{m.point}/team/app:multi/platforms/linux-arm64/.",
        m / "edge/one:1.4")
    index = images.multi.document()
    child = next(c for c in index["manifests"]
                 if c["platform"]["architecture"] == "arm64")
    assert sha256(fetch(registry, "/v2/edge/one/manifests/1.4")) == child["digest"]


def test_file_by_file(registry, docker_registry, mount, images):
    """cp of one blob copies that one, and not the rest of its image."""
    other = docker_registry()
    m = both(mount, registry, other)
    layer = images.single.document()["layers"][0]["digest"]
    run("cp", m.host(registry) / f"team/app/_blobs/{layer}",
        m.host(other) / "one/blob/_blobs/")
    assert other.status(f"/v2/one/blob/blobs/{layer}") == 200
    rest = [d for d in images.single.blobs() if d != layer]
    assert all(other.status(f"/v2/one/blob/blobs/{d}") == 404 for d in rest)


def artifact(folder, *more):
    """An artifact: empty configuration, arbitrary layers."""
    layout = Layout(folder)
    empty = layout.add(b"{}", "application/vnd.oci.empty.v1+json")
    layers = [layout.add(b"\x00", "application/x-one-byte"),
              layout.add(b"", "application/x-nothing"),
              layout.add(make_tar([("a", b"a", 0o644)]), "application/x-tar")]
    top = layout.add_json(
        {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
         "artifactType": "application/vnd.example", "config": empty,
         "layers": [*layers, *more]}, "application/vnd.oci.image.manifest.v1+json")
    return layout.finish(top, "art")


def test_artifact(registry, docker_registry, mount, tmp_path):
    need("skopeo")
    image = artifact(tmp_path / "artifact")
    other = docker_registry()
    m = both(mount, registry, other)
    run("cp", "-r", image.folder, m.host(registry) / "art/a/_tags/art")
    run("cp", "-r", m.host(registry) / "art/a/_tags/art", m.host(other) / "art/b/_tags")
    for server, repo in ((registry, "art/a"), (other, "art/b")):
        check_image(server, repo, "art", image, tmp_path)


def test_foreign(emulator, mount, tmp_path):
    """A foreign layer is a descriptor and nothing else; its URL is not asked."""
    a, b = emulator(), emulator()
    foreign = {"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar",
               "digest": "sha256:" + "1" * 64, "size": 12345,
               "urls": [f"http://{b.address}/foreign"]}
    image = artifact(tmp_path / "artifact", foreign)
    m = both(mount, a, b)
    run("cp", "-r", image.folder, m.host(a) / "art/a/_tags/art")
    shown = set(os.listdir(m.host(a) / "art/a/_tags/art/blobs/sha256"))
    run("cp", "-r", m.host(a) / "art/a/_tags/art", m.host(b) / "art/b/_tags",
        check=False)
    for emu, repo in ((a, "art/a"), (b, "art/b")):
        body = fetch(emu, f"/v2/{repo}/manifests/art")
        assert sha256(body) == image.digest
    assert not b.log(path="/foreign")
    assert shown >= {d[7:] for d in image.blobs()}


def test_referrers(docker_registry, mount, images, tmp_path):
    """-o copy_referrers: a signature comes along, under the tag schema here."""
    a, b = docker_registry(), docker_registry()
    images.single.push(a.address, "team/app")
    m = both(mount, a, b, copy_referrers=True)
    layout = Layout(tmp_path / "signature")
    empty = layout.add(b"{}", "application/vnd.oci.empty.v1+json")
    payload = layout.add(b"signed", "application/vnd.example.signature")
    kind = "application/vnd.oci.image.manifest.v1+json"
    top = layout.add_json(
        {"schemaVersion": 2, "mediaType": kind, "artifactType": "application/vnd.sig",
         "config": empty, "layers": [payload],
         "subject": images.single.descriptor}, kind)
    signature = layout.finish(top, "sig")
    run("cp", "-r", signature.folder, m.host(a) / "team/app/_tags/sig")
    listed = os.listdir(m.host(a) / "team/app/_tags/1.4/referrers")
    assert listed == [signature.digest]
    run("cp", "-r", m.host(a) / "team/app/_tags/1.4", m.host(b) / "team/app/_tags")
    assert os.listdir(m.host(b) / "team/app/_tags/1.4/referrers") == [signature.digest]
    fallback = "sha256-" + images.single.digest[7:]
    index = json.loads(fetch(b, f"/v2/team/app/manifests/{fallback}"))
    assert [d["digest"] for d in index["manifests"]] == [signature.digest]
    assert sha256(fetch(b, f"/v2/team/app/manifests/{signature.digest}")) == \
        signature.digest
    assert errors(m) == ""
