# SPDX-License-Identifier: Apache-2.0
"""Faults of writing whole images: what passes is not noticed, what stays is an errno
on the call that caused it, a line in `errors` and a tag that is as it was.  Single
requests are in test_matrix.py."""
import json
import os
import random
import time

import pytest
from emupush import (REPO, account, check_held, finished, get, left, stream,
                     tags)
from pushing import errors, pending, spool_bytes
from tools import run, sha256, timed, wait_until

MIB = 1 << 20
NOISE = random.Random(5).randbytes(3 * MIB + 77)
DIGEST = sha256(NOISE)
PAGE = {"html": True, "headers": {"Content-Type": "text/html"}}


def refusal(status, code, message, **more):
    body = json.dumps({"errors": [{"code": code, "message": message}]})
    return {"status": status, "body": body, **more}


@pytest.fixture
def start(emulator, mount, tmp_path):
    """start(profile, *switches, option=value) -> (emulator, mount), short timers"""
    def go(profile="distribution3", *switches, **options):
        emu = emulator(profile, *switches)
        emu.call("raw_names", repos=[REPO])
        if profile in ("basic", "bearer"):
            options["authfile"] = account(tmp_path, emu)
        options.setdefault("timeout", 1)
        options.setdefault("retries", 3)
        return emu, mount(emu, **options)
    return go


def blob(m, digest=DIGEST):
    return m / REPO / "_blobs" / digest


def stored(emu, digest=DIGEST):
    """Is it there, byte for byte?"""
    emu.clear_faults()
    emu.set(auth="none")
    return sha256(get(emu, f"/v2/{REPO}/blobs/{digest}")) == digest


# -- blobs: what passes ---------------------------------------------------------

@pytest.mark.parametrize("profile, kept, at", [
    ("distribution", "kept", MIB + 1), ("distribution", "lost", 0),
    *[("distribution3", k, n) for k in ("kept", "lost")
      for n in (0, 1, 65_536, MIB + 1, 3 * MIB + 76)]])
def test_cut(start, profile, kept, at):
    """The connection ends within the body: resumed, or begun anew."""
    emu, m = start(profile, f"partial_patch={kept}")
    emu.fault(method="PATCH", cut_request={"at": at, "how": "rst" if at % 2 else "fin"})
    stream(emu, blob(m), NOISE)
    assert emu.hits() == [1]
    assert stored(emu)
    finished(m)


@pytest.mark.parametrize("advertised", [300, 1])
def test_short_tokens(start, images, advertised):
    """Tokens that live for less than the push does."""
    emu, m = start("bearer", f"expires_in={advertised}", "token_lifetime=0.3",
                   "mount=202")
    fd = os.open(blob(m), os.O_WRONLY | os.O_CREAT, 0o644)
    for at in range(0, len(NOISE), MIB):
        os.write(fd, NOISE[at:at + MIB])
        time.sleep(0.2)
    os.close(fd)
    run("cp", "-r", images.multi.folder, m / REPO / "_tags/multi")
    finished(m)
    assert stored(emu)
    check_held(emu, REPO, "multi", images.multi)


# -- manifests --------------------------------------------------------------------

CHILD_PASSING = {
    "closed": {"drop": "rst"},
    "502 after": {"status": 502, "after": True, **PAGE},
    "blob unknown": refusal(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"),
    "not stored": {"not_stored": True},
}


@pytest.mark.parametrize("name", CHILD_PASSING)
def test_child_once(start, images, name):
    """Of an index of four the first child."""
    emu, m = start()
    images.single.fill(emu, REPO, "1")
    emu.fault(method="PUT", path="/manifests/", **CHILD_PASSING[name])
    took, done = timed(lambda: run("cp", "-r", f"{images.multi.folder}/.",
                                   m / REPO / "_tags/1", check=False))
    assert took < 10
    assert emu.hits() == [1]
    if name == "not stored" and done.returncode:
        # 201, and not there: an error, and nothing half done
        assert "EIO" in errors(m)
        check_held(emu, REPO, "1", images.single)
        return
    assert done.returncode == 0, done.stderr + errors(m)
    finished(m)
    check_held(emu, REPO, "1", images.multi)


MANIFEST_STAYING = {
    "closed": ({"drop": "rst"}, "EIO", "Input/output error"),
    "denied": (refusal(403, "DENIED", "not for you"), "EACCES", "Permission denied"),
    "immutable": (refusal(409, "TAG_IMMUTABLE", "tag is immutable"), "EPERM",
                  "Operation not permitted"),
    "quota": (refusal(403, "DENIED", "exceeds the storage limit"), "EDQUOT",
              "Disk quota exceeded"),
}


@pytest.mark.parametrize("name", MANIFEST_STAYING)
def test_manifest_for_good(start, images, name):
    emu, m = start()
    images.multi.fill(emu, REPO, "1")
    spec, number, text = MANIFEST_STAYING[name]
    emu.fault(method="PUT", path="/manifests/", count=0, **spec)
    took, done = timed(lambda: run("cp", "-r", f"{images.single.folder}/.",
                                   m / REPO / "_tags/1", check=False))
    assert took < 15
    assert done.returncode == 1 and text in done.stderr
    assert "index.json" in done.stderr and "blobs/" not in done.stderr
    lines = errors(m).splitlines()
    assert len(lines) == 1 and number in lines[0] and "_tags/1" in lines[0], lines
    if "body" in spec:
        assert json.loads(spec["body"])["errors"][0]["message"] in lines[0]
    assert pending(m) == []
    assert images.multi.digest in (m / REPO / "_tags/1/index.json").read_text()
    assert spool_bytes(m) < 10_000
    emu.clear_faults()
    check_held(emu, REPO, "1", images.multi)
    run("cp", f"{images.single.folder}/index.json", m / REPO / "_tags/1")
    assert pending(m) == []
    wait_until(lambda: spool_bytes(m) == 0, 3, "the spool is empty")
    check_held(emu, REPO, "1", images.single)


def test_child_for_good(start, images):
    """Of an index's children each says what happened to it."""
    emu, m = start()
    emu.fault(method="PUT", path="/manifests/", count=0,
              **refusal(403, "DENIED", "not for you"))
    done = run("cp", "-r", images.multi.folder, m / REPO / "_tags/1", check=False)
    assert done.returncode == 1 and "index.json" in done.stderr
    lines = errors(m).splitlines()
    assert 1 <= len(lines) <= 4
    assert all("not for you" in x and "_manifests/" in x for x in lines)
    assert tags(emu, REPO) == [] and emu.call("commits")[-1][0] == "blob"
    left(m, REPO, "1")


def test_blob_not_stored(start, images):
    """201 for a blob that is not there.  Nobody will write it again: no image that
    waits for it, but an error; and it can be copied again."""
    emu, m = start()
    emu.fault(method="PUT", path="/blobs/", not_stored=True)
    done = run("cp", "-r", images.single.folder, m / REPO / "_tags/1", check=False)
    assert emu.hits() == [1]
    assert done.returncode == 1 and "No such file" in done.stderr
    assert "index.json" in done.stderr and "has lost" in errors(m)
    assert pending(m) == [] and tags(emu, REPO) == []
    run("cp", "-r", f"{images.single.folder}/.", m / REPO / "_tags/1")
    check_held(emu, REPO, "1", images.single)
