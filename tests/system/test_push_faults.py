# SPDX-License-Identifier: Apache-2.0
"""Every fault of writing: what passes is not noticed, what stays is an errno on
the call that caused it, a line in `errors` and a tag that is as it was."""
import json
import os
import random
import time

import pytest
from emupush import (REPO, account, check_held, finished, get, has_blob, left, stream,
                     tags, write)
from pushing import errors, pending, spool_bytes
from tools import errno_of, run, sha256, timed, wait_until

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


PASSING = {
    "closed": ("PATCH", {"drop": "fin"}),
    "reset": ("PATCH", {"drop": "rst"}),
    "no answer": ("PATCH", {"delay": 30}),
    "unread": ("PATCH", {"refuse": True, "status": 503}),
    "500": ("PATCH", {"status": 500}),
    "502": ("PATCH", {"status": 502, **PAGE}),
    "503": ("PATCH", {"status": 503}),
    "503 after": ("PATCH", {"status": 503, "after": True}),
    "408": ("PATCH", {"status": 408}),
    "429": ("PATCH", {"status": 429}),
    "429 later": ("PATCH", {"status": 429, "headers": {"Retry-After": "1"}}),
    "answer cut": ("PATCH", {"raw": "HTTP/1.1 202 Acc"}),
    "no http": ("PATCH", {"raw": "SMTP ready\r\n\r\n"}),
    "session lost": ("PATCH", {"lose_session": True}),
    "416": ("PATCH", {"status": 416}),
    "less taken": ("PATCH", {"take": 100_000}),
    "nothing taken": ("PATCH", {"take": 0}),
    "wrong range": ("PATCH", {"headers": {"Range": "0-99999999999"}}),
    "garbage range": ("PATCH", {"headers": {"Range": "yes"}}),
    "commit closed": ("PUT", {"drop": "rst"}),
    "commit 500": ("PUT", {"status": 500}),
    "commit 503": ("PUT", {"status": 503}),
    "commit 500 after": ("PUT", {"status": 500, "after": True}),
    "commit 502 after": ("PUT", {"status": 502, "after": True, **PAGE}),
    "commit closed after": ("PUT", {"cut": {"at": 0, "how": "rst"}, "after": True,
                                    "length": "10"}),
    "commit 429": ("PUT", {"status": 429}),
    "commit session lost": ("PUT", {"lose_session": True}),
    "digest invalid": ("PUT", {"digest_invalid": True}),
    "post closed": ("POST", {"drop": "fin"}),
    "post 500": ("POST", {"status": 500}),
    "post 503": ("POST", {"status": 503}),
    "post 429 later": ("POST", {"status": 429, "headers": {"Retry-After": "1"}}),
    "head 503": ("HEAD", {"status": 503}),
    "head closed": ("HEAD", {"drop": "rst"}),
}


@pytest.mark.parametrize("name", PASSING)
def test_once(start, name):
    emu, m = start()
    method, spec = PASSING[name]
    emu.fault(method=method, path="/blobs/", **spec)
    took, _ = timed(stream, emu, blob(m), NOISE)
    assert took < 8
    assert emu.hits() == [1]
    assert stored(emu)
    finished(m)


@pytest.mark.parametrize("method", ["HEAD", "POST", "PATCH", "PUT"])
def test_tokens_expire(start, method):
    """Whatever was given out is worthless in mid push: asked for again."""
    emu, m = start("bearer")
    emu.fault(method=method, path="/blobs/", expire=["tokens"])
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


@pytest.mark.parametrize("spec", [{"take": 0}, {"status": 416}, {"status": 404},
                                  {"status": 500}])
def test_no_patch(start, spec):
    """Where no PATCH ever works there is still the one PUT."""
    emu, m = start()
    emu.fault(method="PATCH", count=0, **spec)
    stream(emu, blob(m), NOISE)
    assert stored(emu)
    finished(m)


# -- blobs: what stays ----------------------------------------------------------

STAYING = {
    "closed": ("PATCH|PUT", {"drop": "rst"}, {"EIO"}),
    "cut": ("PATCH|PUT", {"cut_request": {"at": 1000}}, {"EIO"}),
    "no answer": ("PATCH|PUT", {"delay": 60}, {"ETIMEDOUT"}),
    "500": ("PATCH|PUT", {"status": 500}, {"EIO"}),
    "502": ("PATCH|PUT", {"status": 502, **PAGE}, {"EIO"}),
    "503": ("POST", {"status": 503}, {"EIO"}),
    "429": ("POST", {"status": 429}, {"ETIMEDOUT"}),
    "429 far": ("PATCH|PUT", {"status": 429, "headers": {"Retry-After": "3600"}},
                {"ETIMEDOUT"}),
    "session lost": ("PATCH|PUT", {"lose_session": True}, {"EIO", "ENOENT"}),
    "nothing taken": ("PATCH|PUT", {"take": 0}, {"EIO"}),
    "416": ("PATCH|PUT", {"status": 416}, {"EIO"}),
    "page": ("POST|PATCH|PUT", {"status": 200, **PAGE}, {"EIO"}),
    "page 404": ("POST", {"status": 404, **PAGE}, {"EIO"}),
    "digest invalid": ("PUT", {"digest_invalid": True}, {"EIO"}),
    "401": ("POST|PATCH|PUT", {"status": 401}, {"EACCES"}),
    "denied": ("POST|PATCH|PUT", refusal(403, "DENIED", "not for you"), {"EACCES"}),
    "commit denied": ("PUT", refusal(403, "DENIED", "not for you"), {"EACCES"}),
    "too large": ("PATCH|PUT", {"status": 413, **PAGE}, {"EFBIG"}),
    "no such repository": ("POST", refusal(404, "NAME_UNKNOWN", "no such thing"),
                           {"ENOENT"}),
    "quota": ("PUT", refusal(403, "DENIED", "quota exceeded"), {"EDQUOT"}),
    "read only": ("POST", refusal(405, "UNSUPPORTED", "read only"), {"EROFS"}),
    "507": ("PUT", {"status": 507}, {"EDQUOT"}),
}


@pytest.mark.parametrize("name", STAYING)
def test_for_good(start, name):
    emu, m = start()
    method, spec, expected = STAYING[name]
    emu.fault(method=method, path="/blobs/", count=0, **spec)
    took, result = timed(errno_of, stream, emu, blob(m), NOISE)
    assert result in expected, errors(m)
    assert took < 12
    lines = errors(m).splitlines()
    assert len(lines) == 1 and DIGEST in lines[0] and result in lines[0]
    if "body" in spec:
        assert json.loads(spec["body"])["errors"][0]["message"] in lines[0]
    if isinstance(spec.get("status"), int) and spec["status"] > 400:
        assert str(spec["status"]) in lines[0]
    assert not has_blob(emu, REPO, DIGEST)
    if name != "429 far":               # the pause that was asked for is kept
        wait_until(lambda: not blob(m).exists(), 3, "the name is gone")
    wait_until(lambda: spool_bytes(m) == 0, 3, "the spool is empty")
    emu.clear_faults()
    if name == "429 far":
        return
    wait_until(lambda: errno_of(write, blob(m), NOISE) is None, 20, "recovery")
    assert stored(emu)


# -- manifests --------------------------------------------------------------------

MANIFEST_PASSING = {
    "closed": {"drop": "rst"},
    "500": {"status": 500},
    "502": {"status": 502, **PAGE},
    "503": {"status": 503},
    "429 later": {"status": 429, "headers": {"Retry-After": "1"}},
    "500 after": {"status": 500, "after": True},
    "502 after": {"status": 502, "after": True, **PAGE},
    "cut after": {"after": True, "cut": {"at": 0, "how": "rst"}, "length": "10"},
    "slow": {"trickle_head": {"bytes": 40, "every": 0.1}},
    "blob unknown": refusal(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"),
    "blob unknown 404": refusal(404, "BLOB_UNKNOWN", "blob unknown to registry"),
    "not stored": {"not_stored": True},
}


@pytest.mark.parametrize("nth, name", [
    *[(5, name) for name in MANIFEST_PASSING],
    *[(1, name) for name in ("closed", "502 after", "blob unknown", "not stored")]])
def test_manifest_once(start, images, name, nth):
    """Of an index of four: the first child, and the index itself."""
    emu, m = start()
    images.single.fill(emu, REPO, "1")
    emu.fault(method="PUT", path="/manifests/", nth=nth, **MANIFEST_PASSING[name])
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
    "503": ({"status": 503}, "EIO", "Input/output error"),
    "no answer": ({"delay": 60}, "ETIMEDOUT", "Connection timed out"),
    "429": ({"status": 429}, "ETIMEDOUT", "Connection timed out"),
    "not stored": ({"not_stored": True}, "EIO", "Input/output error"),
    "denied": (refusal(403, "DENIED", "not for you"), "EACCES", "Permission denied"),
    "invalid": (refusal(400, "MANIFEST_INVALID", "bad layers"), "EINVAL",
                "Invalid argument"),
    "tag": (refusal(400, "TAG_INVALID", "manifest tag did not match"), "EINVAL",
            "Invalid argument"),
    "immutable": (refusal(409, "TAG_IMMUTABLE", "tag is immutable"), "EPERM",
                  "Operation not permitted"),
    "too large": ({"status": 413, **PAGE}, "EFBIG", "File too large"),
    "quota": (refusal(403, "DENIED", "exceeds the storage limit"), "EDQUOT",
              "Disk quota exceeded"),
    "blob unknown": (refusal(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown"), "ENOENT",
                     "No such file or directory"),
    "page": ({"status": 200, **PAGE}, "EIO", "Input/output error"),
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
    if name == "no answer":
        return
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


def test_answer_comes_too_late(start, images):
    """Committed, and not told for longer than anybody waits: found out by looking."""
    emu, m = start()
    images.single.fill(emu, REPO, "0")
    emu.fault(method="PUT", path="/manifests/", trickle_head={"bytes": 1, "every": 20})
    run("ln", "-s", "0", m / REPO / "_tags/1")
    assert emu.hits() == [1]
    check_held(emu, REPO, "1", images.single)
    finished(m)
