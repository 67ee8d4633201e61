# SPDX-License-Identifier: Apache-2.0
"""How an upload ends: what is lost, what is found out late, what comes under
another name first, and what the same name means after a close that failed."""
import json
import os
import random

import pytest
from emupush import REPO, finished, get, plain, write
from images import MANIFEST, Layout
from pushing import errors, pending, spool_bytes
from tools import errno_of, run, sha256, timed, wait_until

MIB = 1 << 20
NOISE = random.Random(8).randbytes(2 * MIB + 77)
DIGEST = sha256(NOISE)
UNKNOWN = '{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"no such upload"}]}'


@pytest.fixture
def start(emulator, mount):
    """start(profile, option=value) -> (emulator, mount), short timers"""
    def go(profile="distribution3", **options):
        emu = emulator(profile)
        emu.call("raw_names", repos=[REPO])
        return emu, mount(emu, **{"timeout": 1, "retries": 2, **options})
    return go


def blob(m, digest=DIGEST):
    return m / REPO / "_blobs" / digest


def stored(emu, digest=DIGEST):
    emu.clear_faults()
    return sha256(get(emu, f"/v2/{REPO}/blobs/{digest}")) == digest


@pytest.mark.parametrize("method", ["PATCH", "PUT", "PATCH|PUT"])
@pytest.mark.parametrize("size", [1000, len(NOISE)])
def test_session_lost_for_good(start, method, size):
    """A session that is gone again and again is the registry's failure: nothing
    that the writer named is missing."""
    data = NOISE[:size]
    emu, m = start()
    emu.fault(method=method, path="/blobs/", count=0, status=404, body=UNKNOWN)
    result = errno_of(write, blob(m, sha256(data)), data)
    if method == "PATCH":
        assert result is None, errors(m)
        assert stored(emu, sha256(data))
        return
    assert result == "EIO", errors(m)
    assert len(errors(m).splitlines()) == 1 and "no such upload" in errors(m)
    wait_until(lambda: spool_bytes(m) == 0, 3, "the spool is empty")


@pytest.mark.parametrize("size", [1000, len(NOISE)])
def test_commit_answered_too_late(start, size):
    """Committed, and not told for longer than anybody waits: found out by looking."""
    data = NOISE[:size]
    emu, m = start()
    emu.fault(method="PUT", path="/blobs/",
              trickle_head={"bytes": 1, "every": 20})
    took, result = timed(errno_of, write, blob(m, sha256(data)), data)
    assert emu.hits() == [1]
    assert result is None, errors(m)
    assert took < 12
    assert stored(emu, sha256(data))
    finished(m)


# -- _blobs: names that are no digests yet ---------------------------------------

@pytest.mark.parametrize("line", [
    'rsync "$F" "$T"', 'cp "$F" "$T.part" && mv "$T.part" "$T"',
    'cp "$F" "$D/.x" && mv "$D/.x" "$D/.y" && mv "$D/.y" "$T"',
    'cp "$F" "$T~" && rm "$T~" && cp "$F" "$T"'])
def test_temporary_names(start, tmp_path, line):
    """A file under another name is only staged; its renaming is the commit."""
    (tmp_path / "data").write_bytes(NOISE)
    emu, m = start()
    done = run("sh", "-ec", line, check=False, env=dict(
        os.environ, F=str(tmp_path / "data"), T=str(blob(m)),
        D=str(blob(m).parent)))
    assert done.returncode == 0, done.stderr + errors(m)
    assert stored(emu)
    assert os.listdir(blob(m).parent) == [DIGEST]
    assert blob(m).read_bytes() == NOISE
    assert os.listdir(m / REPO / "_tags") == []
    finished(m)


def test_temporary_name_of_other_bytes(start, tmp_path):
    """What is not what its name would say keeps the old one."""
    emu, m = start()
    part = blob(m).with_name(DIGEST + ".part")
    write(part, NOISE[:-1])
    assert part.read_bytes() == NOISE[:-1]
    assert part.name in os.listdir(part.parent)
    assert not emu.log(method="POST")
    assert errno_of(os.rename, part, blob(m)) == "EBADMSG"
    assert part.read_bytes() == NOISE[:-1] and DIGEST in errors(m)
    with open(part, "ab") as f:
        f.write(NOISE[-1:])
    os.rename(part, blob(m))
    assert stored(emu) and not part.exists()
    wait_until(lambda: spool_bytes(m) == 0, 3, "the spool is empty")


def test_temporary_name_refused(start):
    """Where the registry says no, the staged file stays for another try."""
    emu, m = start()
    part = blob(m).with_name("." + DIGEST + ".a1B2c3")
    write(part, NOISE)
    emu.fault(method="POST", path="/blobs/", count=0, status=403,
              body='{"errors":[{"code":"DENIED","message":"not for you"}]}')
    assert errno_of(os.rename, part, blob(m)) == "EACCES"
    assert part.exists() and "not for you" in errors(m)
    emu.clear_faults()
    os.rename(part, blob(m))
    assert stored(emu)
    assert errno_of(write, blob(m).with_name("README"), b"x") == "EINVAL"


def test_open_again_after_a_failed_close(start):
    """The name can be written anew at once, whoever still has the failed file."""
    emu, m = start()
    emu.fault(method="POST|PATCH|PUT", path="/blobs/", count=0, status=403,
              body='{"errors":[{"code":"DENIED","message":"not for you"}]}')
    fd = os.open(blob(m), os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, NOISE)
    second = os.dup(fd)
    assert errno_of(os.close, fd) == "EACCES"
    emu.clear_faults()
    write(blob(m), NOISE)
    assert stored(emu)
    assert errno_of(os.close, second) == "EACCES"
    assert blob(m).read_bytes() == NOISE


def test_size_of_what_was_mounted(start):
    """What a manifest says of a blob that was mounted is not what it is: the
    registry is asked when somebody looks at it."""
    emu, m = start()
    config = b"{}"
    document = json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                   "size": len(config), "digest": sha256(config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar",
                    "size": len(NOISE) - 7, "digest": DIGEST}]})
    emu.add_blob("team/liar", config)
    emu.add_blob("team/liar", NOISE)
    emu.add_manifest("team/liar", document, MANIFEST, "1")
    source = m / "team/liar/_tags/1/blobs/sha256" / DIGEST.partition(":")[2]
    target = m / REPO / "_tags/1/blobs/sha256"
    target.mkdir(parents=True)
    run("cp", source, target)
    assert emu.log(method="POST", path="mount=")
    assert blob(m).stat().st_size == len(NOISE)
    assert blob(m).read_bytes() == NOISE
    assert os.listdir(blob(m).parent) == [DIGEST]


def test_pending_keeps_where_it_came_from(docker_registry, mount, images, tmp_path):
    """What refers to an image comes along, also if it was finished by another run."""
    a, b = docker_registry(), docker_registry()
    images.single.push(a.address, "team/app")
    m = mount(None, plain_http=plain(a, b), copy_referrers=True)
    layout = Layout(tmp_path / "signature")
    empty = layout.add(b"{}", "application/vnd.oci.empty.v1+json")
    top = layout.add_json(
        {"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x.sig",
         "config": empty, "layers": [layout.add(b"signed", "application/x.signature")],
         "subject": images.single.descriptor}, MANIFEST)
    signature = layout.finish(top, "sig")
    run("cp", "-r", signature.folder, m.host(a) / "team/app/_tags/sig")
    source = m.host(a) / "team/app/_tags/1.4"
    target = m.host(b) / "team/app/_tags/1.4"
    (target / "blobs/sha256").mkdir(parents=True)
    last = images.single.document()["layers"][0]["digest"][7:]
    for name in os.listdir(source / "blobs/sha256"):
        if name != last:
            run("cp", source / "blobs/sha256" / name, target / "blobs/sha256")
    run("cp", source / "index.json", target)
    assert len(pending(m)) == 1
    m.kill()
    m.start()
    m.expect_exit = None
    wait_until(lambda: [t for t in pending(m) if last in t], 10, "what is missing")
    run("cp", source / "blobs/sha256" / last, m.host(b) / f"team/app/_blobs/sha256:{last}")
    wait_until(lambda: pending(m) == [], 10, "it is published")
    assert os.listdir(target / "referrers") == [signature.digest]
    m.expect_exit = 0
