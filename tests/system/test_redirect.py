# SPDX-License-Identifier: Apache-2.0
"""Blobs behind redirects: right bytes, and no credentials given away."""
import base64
import json
import os
import subprocess

import pytest

from registry import free_port
from tools import errno_of, read_at, read_file, timed, wait_until

MIB = 1 << 20


@pytest.fixture
def behind(emulator, mount, images, tmp_path):
    """behind("switch=…") -> (emulator, path of an 8 MiB blob, its bytes)"""
    def go(*settings, **options):
        emu = emulator("bearer", "redirect=307", *settings)
        images.large.fill(emu, "a")
        layer = images.large.document()["layers"][0]["digest"]
        path = tmp_path / "auth.json"
        word = base64.b64encode(b"jo:secret").decode()
        path.write_text(json.dumps({"auths": {emu.address: {"auth": word}}}))
        path.chmod(0o600)
        m = mount(emu, authfile=path, **{"timeout": 3, **options})
        return emu, m / f"a/_blobs/{layer}", images.large.data(layer)
    return go


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_followed(behind, status):
    emu, path, truth = behind(f"redirect={status}")
    assert read_at(path, 3 * MIB, 5000) == truth[3 * MIB:3 * MIB + 5000]
    assert read_file(path) == truth
    stored = emu.log(where="storage")
    assert stored and all(e["status"] in (200, 206) for e in stored)


def test_no_credentials_to_storage(behind):
    emu, path, truth = behind()
    assert read_file(path) == truth
    for entry in emu.log(where="storage"):
        assert "authorization" not in entry["headers"]
        assert "cookie" not in entry["headers"]
        assert "," not in entry["headers"].get("range", "")


def test_target_is_kept(behind):
    """The redirect is asked for once, not for every range."""
    emu, path, truth = behind()
    for at in range(0, 8 * MIB, 2 * MIB):
        assert read_at(path, at, 100) == truth[at:at + 100]
    assert len(emu.log(where="registry", method="GET", path="/blobs/")) <= 2


def test_expired_urls_are_asked_again(behind):
    emu, path, truth = behind()
    assert read_at(path, 0, 100) == truth[:100]
    emu.call("expire", what=["urls"])
    assert read_at(path, 5 * MIB, 100) == truth[5 * MIB:5 * MIB + 100]
    assert read_file(path) == truth


def test_short_lived_urls(behind):
    emu, path, truth = behind("url_ttl=0.2")
    readers = [subprocess.Popen(["sha256sum", path], stdout=subprocess.PIPE)
               for _ in range(4)]
    assert len({r.communicate(timeout=30)[0] for r in readers}) == 1
    assert read_file(path) == truth


def test_expiry_in_mid_transfer(behind):
    emu, path, truth = behind()
    emu.fault(where="storage", nth=2, expire=["urls"], cut={"at": 3000})
    assert read_file(path) == truth


def test_storage_always_refuses(behind):
    emu, path, _ = behind(timeout=1)
    emu.fault(where="storage", status=403, count=0)
    took, result = timed(errno_of, read_file, path)
    assert result == "EIO" and took < 8
    assert len(emu.log(where="storage")) <= 12


@pytest.mark.parametrize("spec", [
    {"drop": "rst"}, {"cut": {"at": 70_000}}, {"status": 503}, {"html": True},
    {"range_lie": "another"}, {"range_lie": "ignored"}, {"stall": {"at": 500}}])
def test_storage_fails_once(behind, spec):
    emu, path, truth = behind(timeout=1)
    emu.fault(where="storage", method="GET", **spec)
    assert read_file(path) == truth


@pytest.mark.parametrize("url", [
    "file:///etc/passwd", "ftp://127.0.0.1/x", "//", "", "http://", "gopher://x/",
    "http://user:word@127.0.0.1:1/x"])
def test_bad_targets(behind, url):
    emu, path, _ = behind(timeout=1)
    emu.fault(path="/blobs/", method="GET", count=0,
              redirect={"status": 307, "url": url})
    assert errno_of(read_file, path) in ("EIO", "ECONNREFUSED")


def test_dead_target(behind):
    emu, path, _ = behind(timeout=1)
    emu.fault(path="/blobs/", method="GET", count=0,
              redirect={"status": 307, "url": f"http://127.0.0.1:{free_port()}/x"})
    took, result = timed(errno_of, read_file, path)
    assert result in ("ECONNREFUSED", "EIO") and took < 8


def test_loop(behind):
    emu, path, _ = behind(timeout=1)
    emu.fault(path="/blobs/", method="GET", count=0,
              redirect={"status": 307, "url": "/v2/a/blobs/sha256:" + "0" * 64})
    took, result = timed(errno_of, read_file, path)
    assert result == "EIO" and took < 8
    assert len(emu.log(path="/blobs/", method="GET")) < 60


def test_urls_are_no_secret_spilled(behind):
    """Signed URLs stay out of log, errors and cache."""
    emu, path, truth = behind()
    emu.fault(where="storage", status=500, nth=2)
    assert read_file(path) == truth
    mount_point = path.parents[2]
    text = (mount_point.parent / "log").read_text(errors="replace")
    text += (mount_point / ".registryfs/errors").read_text()
    assert "Signature=" not in text
    for folder, _, files in os.walk(mount_point.parent / "cache"):
        for name in files:
            data = open(os.path.join(folder, name), "rb").read()
            assert b"X-Emu-Signature" not in data, name


def test_manifest_redirect(behind, emulator, images):
    """A manifest may be redirected too; the other host gets no credentials."""
    emu, path, _ = behind()
    other = emulator()
    images.single.fill(other, "a")
    emu.fault(path="/manifests/1.4", count=0, redirect={
        "status": 307, "url": f"http://localhost:{other.ports['registry']}"
                              f"/v2/a/manifests/1.4"})
    tag = path.parents[1] / "_tags/1.4"
    assert os.getxattr(tag, "user.oci.digest").decode() == images.single.digest
    assert all("authorization" not in e["headers"] for e in other.log())
    wait_until(lambda: other.log(), what="a request")
