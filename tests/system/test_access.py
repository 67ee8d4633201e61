# SPDX-License-Identifier: Apache-2.0
"""Who may see what: the allow list, and private blobs that stay private."""
import base64
import json
import os

import pytest

from tools import errno_of, read_file, sha256sum


@pytest.fixture
def full(emu, images):
    for name in ("team/app", "team/db", "other"):
        images.single.fill(emu, name)
    return emu


def test_allow(mount, full, emulator):
    other = emulator()
    m = mount(allow=f"{full.address}/team/*")
    host = m.host(full)
    assert read_file(host / "team/app/_tags/1.4/index.json")
    assert errno_of(os.stat, host / "other/_tags/1.4") == "EPERM"
    assert errno_of(os.stat, m.host(other) / "a/_tags/1.4") == "EPERM"
    assert other.log() == []
    assert not full.log(path="/other/")


def test_allow_is_a_host(mount, full, emulator):
    other = emulator()
    m = mount(allow=full.address)
    assert read_file(m.host(full) / "other/_tags/1.4/index.json")
    assert errno_of(os.listdir, m.host(other)) == "EPERM"
    assert other.log() == []


@pytest.fixture
def private(emulator, images, tmp_path):
    """jo may pull "mine" and "shared"; the layer is only in "mine"."""
    emu = emulator("bearer")
    images.single.fill(emu, "mine")
    images.multi.fill(emu, "shared")
    emu.set(access=[{"repo": "mine|shared", "user": "jo", "actions": ["pull"]}])
    path = tmp_path / "auth.json"
    word = base64.b64encode(b"jo:secret").decode()
    path.write_text(json.dumps({"auths": {emu.address: {"auth": word}}}))
    path.chmod(0o600)
    emu.authfile = path
    emu.layer = images.single.document()["layers"][0]["digest"]
    return emu


def test_no_leak_across_repositories(mount, private, images):
    """A cached blob is served only where the registry granted it."""
    m = mount(authfile=private.authfile)
    host = m.host(private)
    assert sha256sum(host / f"mine/_blobs/{private.layer}") == private.layer
    assert errno_of(read_file, host / f"shared/_blobs/{private.layer}") == "ENOENT"
    assert errno_of(read_file, host / f"foreign/_blobs/{private.layer}") == "EACCES"
    folder = host / f"shared/_manifests/{images.single.digest}"
    assert errno_of(os.listdir, folder) == "ENOENT"


def test_no_leak_across_registries(mount, private, emulator, images):
    """A registry that merely names a digest does not get its bytes served."""
    evil = emulator()
    document = images.single.document()
    evil.add_manifest("x", document, tag="t")
    m = mount(authfile=private.authfile, timeout=2)
    assert sha256sum(m.host(private) / f"mine/_blobs/{private.layer}") == private.layer
    path = m.host(evil) / f"x/_tags/t/blobs/sha256/{private.layer[7:]}"
    assert errno_of(read_file, path) in ("ENOENT", "ESTALE", "EIO")
    assert evil.log(path=private.layer)


def test_granted_is_not_fetched_twice(mount, emulator, images):
    """The same blob in a second repository is asked for, not moved again."""
    emu = emulator()
    images.large.fill(emu, "a")
    images.large.fill(emu, "b")
    layer = images.large.document()["layers"][0]["digest"]
    m = mount(emu)
    assert sha256sum(m / f"a/_blobs/{layer}") == layer
    mark = emu.mark()
    assert sha256sum(m / f"b/_blobs/{layer}") == layer
    assert sum(e["sent"] for e in emu.log(since=mark)) < 100_000


def test_leak_after_restart(mount, private):
    """The proof of access is asked for again where it was never given."""
    m = mount(authfile=private.authfile)
    assert read_file(m.host(private) / f"mine/_blobs/{private.layer}")
    m.restart()
    assert errno_of(read_file, m.host(private) / f"shared/_blobs/{private.layer}") \
        == "ENOENT"
