# SPDX-License-Identifier: Apache-2.0
"""Pushes to registries, and of images, that mean harm."""
import base64
import json
import os
import random

import pytest
from emupush import REPO, account, get, has_blob, stream, write
from images import CONFIG, INDEX, LAYER, MANIFEST, Layout
from pushing import errors, pending
from registry import make_certificate
from tools import errno_of, read_file, run, sha256, timed, wait_until

MIB = 1 << 20
NOISE = random.Random(17).randbytes(3 * MIB + 3)
DIGEST = sha256(NOISE)
WORD = base64.b64encode(b"jo:secret").decode()


def blob(m, digest=DIGEST):
    return m / REPO / "_blobs" / digest


def secrets_in(entries):
    return [e for e in entries if "authorization" in e["headers"]
            or WORD in json.dumps(e) or "secret" in json.dumps(e)]


@pytest.fixture
def trap(emulator, mount, tmp_path):
    """trap(profile, …) -> (registry with an account, another host, mount)"""
    def go(profile="basic", *settings, **options):
        emu = emulator(profile, *settings)
        other = emulator()
        emu.call("raw_names", repos=[REPO])
        other.call("raw_names", repos=[REPO])
        m = mount(emu, authfile=account(tmp_path, emu), timeout=2, retries=2, **options)
        return emu, other, m
    return go


# -- where registries send us ------------------------------------------------------

@pytest.mark.parametrize("profile", ["basic", "bearer"])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("form", ["http://{other}/v2/x/blobs/uploads/1?_state=a",
                                  "//{other}/v2/x/blobs/uploads/1",
                                  "http://{emu}@{other}/v2/x/blobs/uploads/1"])
def test_location_elsewhere(trap, profile, method, form):
    """An upload that is to go to another host: no credential goes along, and no
    success is invented."""
    emu, other, m = trap(profile)
    place = form.format(other=other.address, emu=emu.address)
    emu.fault(method=method, path="/blobs/", count=0, headers={"Location": place})
    result = errno_of(stream, emu, blob(m), NOISE)
    assert result in ("EIO", "EACCES", "ENOENT") or has_blob(emu, REPO, DIGEST)
    assert secrets_in(other.log()) == []
    if "@" in form:
        assert other.log() == []
    assert has_blob(emu, REPO, DIGEST) == (result is None)
    assert "secret" not in m.log() + errors(m)


LOCATIONS = {
    "file": "file:///etc/passwd", "ftp": "ftp://127.0.0.1/x", "empty": "",
    "crlf": "/v2/x%0d%0aX-Injected:%201", "bare": "http://", "huge": "/" + "a" * 70_000,
    "metadata": "http://169.254.169.254/latest", "controls": "/v2/\x01\x02",
    "port 0": "http://127.0.0.1:0/", "port": "http://127.0.0.1:99999/",
    "dots": "/../../../../etc", "fragment": "/v2/#x", "blanks": "/v2/ /x y",
}


@pytest.mark.parametrize("name", LOCATIONS)
def test_odd_location(trap, name):
    emu, _, m = trap()
    emu.fault(method="POST", path="/blobs/", count=0, headers={"Location": LOCATIONS[name]})
    took, result = timed(errno_of, write, blob(m), NOISE)
    assert result in ("EIO", "ENOENT", "EACCES", "ECONNREFUSED", "EHOSTUNREACH",
                      "ETIMEDOUT", "EROFS")
    assert took < 15
    assert all("x-injected" not in e["headers"] for e in emu.log())
    assert errors(m).count("\n") == 1 and len(errors(m)) < 2000
    emu.clear_faults()
    wait_until(lambda: errno_of(write, blob(m), NOISE) is None, 5, "another try")
    assert has_blob(emu, REPO, DIGEST)


def test_raw_header_lines(trap):
    """CR LF within a Location is two header lines, and the second one is not for
    the next request."""
    emu, _, m = trap()
    emu.fault(method="POST", path="/blobs/", raw=(
        "HTTP/1.1 202 Accepted\r\nLocation: /v2/x\rX-Injected: 1\r\n"
        "Content-Length: 0\r\n\r\n"))
    errno_of(write, blob(m), NOISE)
    assert all("x-injected" not in e["headers"] and "\r" not in e["target"]
               for e in emu.log())


def tls_mount(mount, emulator, tmp_path, *settings):
    """(registry with TLS and an account, mount that trusts it)"""
    cert = make_certificate(tmp_path)
    emu = emulator("basic", *settings, tls=cert)
    certs = tmp_path / "certs.d" / emu.address
    certs.mkdir(parents=True)
    (certs / "ca.crt").write_bytes(cert[0].read_bytes())
    m = mount(emu, cert_dir=tmp_path / "certs.d", authfile=account(tmp_path, emu),
              timeout=2, retries=2)
    return emu, m


def test_location_without_tls(mount, emulator, tmp_path):
    """https names an upload location with http: the same place is asked by TLS
    (as Nexus behind a proxy means it), or nobody is; never without TLS."""
    emu, m = tls_mount(mount, emulator, tmp_path, "location=http")
    result = errno_of(write, blob(m), NOISE)
    assert result in (None, "EIO")
    assert all(e.get("problem") is None for e in emu.log())
    assert result == "EIO" or has_blob(emu, REPO, DIGEST)


def test_location_downgrade(mount, emulator, tmp_path):
    emu, m = tls_mount(mount, emulator, tmp_path)
    other = emulator()
    emu.fault(method="POST", path="/blobs/", count=0,
              headers={"Location": f"http://{other.address}/v2/x/blobs/uploads/1"})
    assert errno_of(write, blob(m), NOISE) == "EIO"
    assert other.log() == []


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect(trap, method, status):
    """Elsewhere nobody gets a credential, and what he says makes no success."""
    emu, other, m = trap()
    emu.fault(method=method, path="/blobs/", count=0, redirect={
        "status": status, "url": f"http://{other.address}/v2/x/blobs/uploads/1"})
    result = errno_of(stream, emu, blob(m), NOISE)
    assert result in ("EIO", "EACCES", "EROFS") or has_blob(emu, REPO, DIGEST)
    assert secrets_in(other.log()) == []
    assert has_blob(emu, REPO, DIGEST) == (result is None)


@pytest.mark.parametrize("status", [301, 307, 308])
def test_redirect_of_a_manifest(trap, images, status):
    emu, other, m = trap()
    emu.fault(method="PUT", path="/manifests/", count=0, redirect={
        "status": status, "url": f"http://{other.address}/v2/x/manifests/1"})
    done = run("cp", "-r", images.single.folder, m / REPO / "_tags/1", check=False)
    assert done.returncode == 1 and "index.json" in done.stderr
    assert other.log() == []


@pytest.mark.parametrize("realm", ["http://{other}/token", "http://localhost:{port}/token",
                                   "file:///etc/passwd", "http://169.254.169.254/"])
def test_realm_elsewhere(trap, realm):
    """A challenge that comes only when something is pushed."""
    emu, other, m = trap("bearer", "anonymous_pull=true")
    assert errno_of(os.stat, m / REPO / "_tags/x") == "ENOENT"
    emu.set(realm=realm.format(other=other.address, port=other.ports["token"]))
    emu.call("expire", what=["tokens"])
    result = errno_of(write, blob(m), NOISE)
    if "localhost" in realm or "{other}" in realm:      # as near as the registry is
        assert result in ("EACCES", "EIO", None)
    else:
        assert result in ("EACCES", "EIO")
    assert not has_blob(emu, REPO, DIGEST) or result is None
    assert "secret" not in m.log() + errors(m)


# -- what registries say ----------------------------------------------------------

FALLBACKS = {
    "garbage": b"\x00\xff garbage", "html": b"<html></html>", "array": b"[]",
    "null": b"null", "deep": b"[" * 100_000,
    "bomb": b'{"schemaVersion":2,"manifests":[{}' + b",{}" * 1_300_000 + b"]}",
    "no list": b'{"schemaVersion":2,"manifests":7}',
    "huge": json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [],
                        "annotations": {"x": "y" * (4 * MIB)}}).encode(),
}


def signature(folder, subject):
    layout = Layout(folder)
    empty = layout.add(b"{}", "application/vnd.oci.empty.v1+json")
    payload = layout.add(b"signed", "application/vnd.example.signature")
    top = layout.add_json({"schemaVersion": 2, "mediaType": MANIFEST,
                           "artifactType": "application/vnd.sig", "config": empty,
                           "layers": [payload], "subject": subject}, MANIFEST)
    return layout.finish(top, "sig")


@pytest.mark.parametrize("name", FALLBACKS)
def test_fallback_index(emulator, mount, images, tmp_path, name):
    """The list of referrers that somebody else spoilt: it is not made worse, and
    the daemon stays small."""
    emu = emulator("distribution3")
    images.single.fill(emu, REPO, "1")
    tag = images.single.digest.replace(":", "-")
    body = FALLBACKS[name].decode("latin-1")
    emu.add_manifest(REPO, body, INDEX, tag)
    m = mount(emu, timeout=2, retries=2)
    image = signature(tmp_path / "sig", images.single.descriptor)
    took, done = timed(lambda: run("cp", "-r", image.folder, m / REPO / "_tags/sig",
                                   check=False))
    assert took < 15
    assert m.rss() < 300 << 20
    if done.returncode == 0:
        assert sha256(get(emu, f"/v2/{REPO}/manifests/sig")) == image.digest
        listed = json.loads(get(emu, f"/v2/{REPO}/manifests/{tag}"))["manifests"]
        assert [d["digest"] for d in listed] == [image.digest]
    else:
        assert errors(m)
        assert get(emu, f"/v2/{REPO}/manifests/{tag}") == body.encode()
        # where cp finds index.json before the last blob
        for one in os.listdir(m / ".registryfs/pending"):
            os.unlink(m / ".registryfs/pending" / one)
    assert read_file(m / REPO / "_tags/1/index.json")


def test_private_blob(emulator, mount, images, tmp_path):
    """A blob that only another account may read is not had by mounting it."""
    emu = emulator("bearer")
    emu.set(users={"jo": "secret", "eve": "evil"}, access=[
        {"repo": "secret/.*", "user": "jo", "actions": ["pull", "push"]},
        {"repo": "open/.*", "user": "*", "actions": ["pull", "push"]}])
    emu.add_blob("secret/app", NOISE)
    jo = mount(emu, authfile=account(tmp_path, emu), cache_dir=tmp_path / "cache")
    assert sha256(read_file(jo / f"secret/app/_blobs/{DIGEST}")) == DIGEST
    jo.unmount()
    eve = mount(emu, authfile=account(tmp_path, emu, user="eve", word="evil"),
                cache_dir=tmp_path / "cache")
    assert errno_of(read_file, eve / f"secret/app/_blobs/{DIGEST}") in ("EACCES", "ENOENT")
    assert errno_of(read_file, eve / f"open/app/_blobs/{DIGEST}") in ("EACCES", "ENOENT")
    layout = Layout(tmp_path / "steal")
    config = layout.add(b"{}", CONFIG)
    top = layout.add_json({"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
                           "layers": [{"mediaType": LAYER, "digest": DIGEST,
                                       "size": len(NOISE)}]}, MANIFEST)
    image = layout.finish(top, "1")
    mark = emu.mark()
    run("cp", "-r", image.folder, eve / "open/app/_tags/1")
    assert len(pending(eve)) == 1 and DIGEST in pending(eve)[0]
    assert not has_blob(emu, "open/app", DIGEST)
    assert not [e for e in emu.log(since=mark) if "from=secret" in e["target"]]
    assert errno_of(read_file, eve / f"open/app/_blobs/{DIGEST}") in ("EACCES", "ENOENT")
    os.unlink(eve / ".registryfs/pending" / os.listdir(eve / ".registryfs/pending")[0])
    assert pending(eve) == []
