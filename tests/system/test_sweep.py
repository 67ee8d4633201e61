# SPDX-License-Identifier: Apache-2.0
"""The n-th request of a pull spoilt in each way: the pull ends, and ends right.

The scenario resolves a tag, walks the image and reads every blob, behind tokens
and redirects.  Whatever request is hit, each file is either byte for byte right
or its reading fails; a passing fault must not fail the whole.
"""
import base64
import json
import os

import pytest

from tools import sha256

FAULTS = {
    "closed": {"drop": "fin"},
    "reset": {"drop": "rst"},
    "half": {"cut": {"at": 60}},
    "503": {"status": 503},
    "429": {"status": 429, "headers": {"Retry-After": "0"}},
    "page": {"status": 200, "html": True},
    "gzip": {"gzip": True},
    "stall": {"stall": {"at": 20}},
    "flip": {"flip": 17},
    "expired": {"expire": ["tokens", "urls"], "drop": "fin"},
}
# What spoils data cannot be told from a registry that holds wrong data; and a stall
# is longer than the whole budget of a look-up.
MAY_FAIL = {"flip", "page", "gzip", "stall"}


@pytest.fixture
def scene(emulator, images, tmp_path):
    emu = emulator("bearer", "redirect=307")
    images.multi.fill(emu, "a")
    path = tmp_path / "auth.json"
    word = base64.b64encode(b"jo:secret").decode()
    path.write_text(json.dumps({"auths": {emu.address: {"auth": word}}}))
    path.chmod(0o600)
    return emu, path


def pull(m):
    """Reads the image; returns ({name: bytes}, [errors])."""
    got, errors, top = {}, [], m / "a/_tags/multi"
    try:
        names = os.listdir(top / "blobs/sha256")
    except OSError as e:
        return got, [e]
    for name in ["index.json", "manifest.json", *(f"blobs/sha256/{n}" for n in names)]:
        try:
            with open(top / name, "rb", buffering=0) as f:
                got[name] = f.readall()
        except OSError as e:
            errors.append(e)
    return got, errors


def check(got, images):
    for name, data in got.items():
        if name.startswith("blobs/"):
            assert sha256(data)[7:] == name.split("/")[-1]
    if "index.json" in got:
        index = json.loads(got["index.json"])
        assert index["manifests"][0]["digest"] == images.multi.digest


@pytest.mark.limit(150)
@pytest.mark.parametrize("name", FAULTS)
def test_nth_request(mount, scene, images, name):
    emu, authfile = scene
    emu.clear_faults()
    whole, errors = pull(mount(emu, authfile=authfile, timeout=1))
    assert not errors and len(whole) == len(images.multi.blobs()) + 2
    check(whole, images)
    requests = emu.mark()
    for nth in range(1, requests + 1):
        emu.clear_faults()
        m = mount(emu, authfile=authfile, timeout=1,
                  cache_dir=mount.folder / f"c{nth}")
        emu.fault(nth=nth, **FAULTS[name])
        got, errors = pull(m)
        check(got, images)
        assert name in MAY_FAIL or not errors, f"request {nth}: {errors}"
        m.unmount()

