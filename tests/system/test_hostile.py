# SPDX-License-Identifier: Apache-2.0
"""Registries that mean harm: secrets stay at home, wrong shapes stay outside."""
import base64
import hashlib
import json
import os
import random
import socket

import pytest

from images import CONFIG, INDEX, MANIFEST
from tools import absent, errno_of, read_file, run, sha256sum

NOISE = random.Random(11).randbytes(300_000)


@pytest.fixture
def account(emulator, images, tmp_path):
    """(emulator that asks for a password, its auth file)"""
    emu = emulator("bearer", "redirect=307")
    images.single.fill(emu, "a")
    path = tmp_path / "auth.json"
    word = base64.b64encode(b"jo:secret").decode()
    path.write_text(json.dumps({"auths": {emu.address: {"auth": word}},
                                "HttpHeaders": {"X-Canary": "tweet"}}))
    path.chmod(0o600)
    return emu, path


def test_foreign_layer_urls(mount, account, emulator, images):
    """Layers with "urls": nothing is asked there, least of all with a password."""
    emu, authfile = account
    other = emulator("basic")
    document = images.single.document()
    layer = document["layers"][0]
    layer["digest"] = "sha256:" + "7" * 64
    layer["urls"] = [f"http://{other.address}/v2/x/blobs/{layer['digest']}"]
    emu.add_manifest("a", document, tag="foreign")
    m = mount(emu, authfile=authfile, timeout=2)
    path = m / "a/_tags/foreign/blobs/sha256" / ("7" * 64)
    assert errno_of(read_file, path) in ("ENOENT", "ESTALE", "EIO")
    assert other.log() == []


def test_cookies_are_not_kept(mount, account, images):
    emu, authfile = account
    emu.fault(count=0, headers={"Set-Cookie": "canary=1; Path=/"})
    m = mount(emu, authfile=authfile)
    assert read_file(m / "a/_tags/1.4/config.json")
    assert all("cookie" not in e["headers"] for e in emu.log())


def test_headers_of_the_user_go_to_the_registry_only(mount, account):
    emu, authfile = account
    m = mount(emu, authfile=authfile)
    assert read_file(m / "a/_tags/1.4/config.json")
    for entry in emu.log():
        if entry["where"] in ("token", "storage"):
            assert "x-canary" not in entry["headers"]


def test_password_only_to_the_token_server(mount, account):
    emu, authfile = account
    m = mount(emu, authfile=authfile)
    assert read_file(m / "a/_tags/1.4/config.json")
    for entry in emu.log():
        scheme = entry["headers"].get("authorization", "").split(" ")[0].lower()
        wanted = {"registry": ("", "bearer"), "token": ("basic", ""), "storage": ("",)}
        assert scheme in wanted[entry["where"]], entry


def test_two_registries_one_realm(mount, account, emulator, images):
    """A password of one registry is not for another, though the realm is one."""
    emu, authfile = account
    evil = emulator("bearer")
    images.single.fill(evil, "a")
    evil.set(realm=f"http://127.0.0.1:{emu.ports['token']}/token")
    m = mount(authfile=authfile, timeout=2)
    assert read_file(m.host(emu) / "a/_tags/1.4/config.json")
    mark = emu.mark()
    assert errno_of(os.stat, m.host(evil) / "a/_tags/1.4") == "EACCES"
    for entry in emu.log(where="token", since=mark):
        assert "authorization" not in entry["headers"]
    assert all("basic" not in e["headers"].get("authorization", "").lower()
               for e in evil.log())


@pytest.mark.parametrize("header", ["X-A: b\r\nX-Injected: 1", "\r\n"])
def test_header_lines_are_not_forged(mount, emu, header):
    """A tag cannot smuggle header lines into a request."""
    m = mount(emu, timeout=2)
    assert errno_of(os.stat, m / f"a/_tags/x{header}") in ("ENOENT", "EINVAL")
    assert all("x-injected" not in e["headers"] for e in emu.log())


def test_nested_index(mount, emu, images):
    """An index within an index: everything reachable is there."""
    images.multi.fill(emu, "a")
    outer = {"schemaVersion": 2, "mediaType": INDEX,
             "manifests": [images.multi.descriptor]}
    emu.add_manifest("a", outer, tag="outer")
    folder = mount(emu) / "a/_tags/outer/blobs/sha256"
    names = set(os.listdir(folder))
    assert {d[7:] for d in images.multi.blobs()} < names
    for name in names:
        assert sha256sum(folder / name) == f"sha256:{name}"


def test_unknown_types_in_an_index(mount, emu, images):
    """An entry nobody knows is skipped or shown, and never fails the rest."""
    images.multi.fill(emu, "a")
    thing = emu.add_blob("a", b"thing")
    document = images.multi.document()
    document["manifests"].insert(0, {"mediaType": "application/x-thing", "size": 5,
                                     "digest": thing})
    emu.add_manifest("a", document, tag="odd")
    folder = mount(emu) / "a/_tags/odd"
    assert {d[7:] for d in images.multi.blobs()} - {images.multi.digest[7:]} \
        <= set(os.listdir(folder / "blobs/sha256"))
    assert json.loads(read_file(folder / "config.json"))["architecture"]


def test_artifact(mount, emu):
    """An artifact: empty config, any kind of layer, some as "data"."""
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
             "digest": emu.add_blob("a", b"{}"), "data": "e30="}
    layer = {"mediaType": "text/plain", "size": len(NOISE),
             "digest": emu.add_blob("a", NOISE),
             "annotations": {"org.opencontainers.image.title": "../notes.txt"}}
    emu.add_manifest("a", {"schemaVersion": 2, "mediaType": MANIFEST,
                           "artifactType": "application/x-notes", "config": empty,
                           "layers": [layer]}, tag="art")
    folder = mount(emu) / "a/_tags/art"
    assert set(os.listdir(folder / "blobs/sha256")) >= {empty["digest"][7:],
                                                        layer["digest"][7:]}
    assert read_file(folder / "config.json") == b"{}"
    assert os.listdir(folder / "layers/00") == ["notes.txt"]
    assert read_file(folder / "layers/00/notes.txt") == NOISE
    assert "history" not in os.listdir(folder)      # it was not made in steps
    assert errno_of(os.stat, folder / "history") == "ENOENT"


def test_manifest_without_layers(mount, emu):
    config = {"mediaType": CONFIG, "size": 2, "digest": emu.add_blob("a", b"{}")}
    emu.add_manifest("a", {"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
                           "layers": []}, tag="bare")
    folder = mount(emu) / "a/_tags/bare"
    assert os.listdir(folder / "layers") == []
    assert "rootfs" not in os.listdir(folder)
    assert errno_of(os.lstat, folder / "rootfs") == "ENOENT"
    assert read_file(folder / "config.json") == b"{}"


def test_same_layer_twice(mount, emu, images):
    """One blob that is two layers: one file, two links."""
    images.single.fill(emu, "a")
    document = images.single.document()
    document["layers"].append(document["layers"][0])
    emu.add_manifest("a", document, tag="twice")
    folder = mount(emu) / "a/_tags/twice"
    assert len(os.listdir(folder / "layers")) == 5
    names = os.listdir(folder / "blobs/sha256")
    assert len(names) == len(set(names)) == len(images.single.blobs())


def test_sha512(mount, emu):
    """Digests of another kind are followed and checked."""
    source = mount(emu).folder / "noise"
    source.write_bytes(NOISE)
    name = "sha512:" + hashlib.sha512(NOISE).hexdigest()
    emu.call("blob_file", repo="a", path=str(source), digest=name)
    path = mount(emu) / f"a/_blobs/{name}"
    assert run("sha512sum", path).stdout.split()[0] == name[7:]
    emu.fault(path="/blobs/", method="GET", flip=1000, count=0)
    assert errno_of(read_file, mount(emu) / f"a/_blobs/{name}") == "EBADMSG"


def test_ipv6_host(mount, emulator, images):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        absent("no IPv6 on loopback")
    emu = emulator(host="::1")
    images.single.fill(emu, "a")
    m = mount()
    assert read_file(m.host(emu) / "a/_tags/1.4/index.json")
    assert read_file(m.point / emu.address.replace(":", "+") / "a/_tags/1.4/index.json")


def test_large_manifest_fits(mount, emu, images):
    """3.9 MiB of manifest are read; more than 4 MiB are EFBIG."""
    images.single.fill(emu, "a")
    document = images.single.document()
    document["annotations"] = {"x": "y" * (3_900_000)}
    emu.add_manifest("a", document, tag="large")
    document["annotations"] = {"x": "y" * (4 << 20)}
    emu.add_manifest("a", document, tag="larger")
    m = mount(emu)
    assert len(read_file(m / "a/_tags/large/manifest.json")) > 3_900_000
    assert errno_of(read_file, m / "a/_tags/larger/manifest.json") == "EFBIG"


COSTLY = {"objects": "{}" + ",{}" * 1_300_000, "deep": "[" * 200_000,
          "numbers": "0" + ",0" * 1_900_000}


@pytest.mark.parametrize("name", COSTLY)
def test_costly_json(mount, emu, images, name):
    """Four megabytes that would cost a parser hundreds: refused, cheaply."""
    images.single.fill(emu, "a")
    m = mount(emu, retries=1)
    text = f'{{"schemaVersion":2,"mediaType":"{MANIFEST}","layers":[{COSTLY[name]}'
    emu.add_manifest("a", text + "]}", MANIFEST, tag="bomb")
    assert errno_of(read_file, m / "a/_tags/bomb/config.json") not in (None, "ENOENT")
    assert m.rss() < 300 << 20
    assert read_file(m / "a/_tags/1.4/config.json")


@pytest.mark.parametrize("text", [
    '{"schemaVersion":2,"schemaVersion":2,"mediaType":"%s","layers":[],"config":%s}',
    '{"schemaVersion":2.0,"mediaType":"%s","layers":[],"config":%s}',
    '{"schemaVersion":2,"mediaType":"%s","layers":{},"config":%s}',
    '{"schemaVersion":2,"mediaType":"%s","layers":[7],"config":%s}',
    '{"schemaVersion":2,"mediaType":"%s","layers":[],"config":%s} trailing'])
def test_odd_json(mount, emu, text):
    """Documents that two parsers would read in two ways are refused."""
    config = json.dumps({"mediaType": CONFIG, "size": 2,
                         "digest": emu.add_blob("a", b"{}")})
    emu.add_manifest("a", text % (MANIFEST, config), MANIFEST, tag="odd")
    m = mount(emu, retries=1)
    assert errno_of(read_file, m / "a/_tags/odd/config.json") in (
        "EIO", "EBADMSG", "EINVAL")
