# SPDX-License-Identifier: Apache-2.0
"""Mirrors that give other bytes than were asked for."""
import pytest

from test_mirrors import blob_gets, layers, pair, read_layers, world  # noqa: F401
from tools import errno_of, read_file, sha256


def test_lying_mirror_manifest(pair, world, images):
    origin, mirror = pair
    mirror.fault(path="/manifests/", method="GET", flip=10, count=0)
    m = world.mount(origin)
    path = m / "a/_manifests" / images.single.digest / "manifest.json"
    assert read_file(path) == images.single.data(images.single.digest)
    assert "another digest" in m.log()


def test_lying_mirror_small_blob(pair, world, images):
    """What could not be read before it was verified comes from elsewhere."""
    origin, mirror = pair
    mirror.fault(path="/blobs/", method="GET", flip=3, count=0)
    m = world.mount(origin)
    config = images.single.document()["config"]["digest"]
    assert sha256(read_file(m / "a/_blobs" / config)) == config
    assert "another digest" in m.log()
    read_layers(m, images.single)
    assert len(blob_gets(mirror)) == 1      # passed over since


@pytest.mark.parametrize("verify", ["lazy", "strict"])
def test_lying_mirror_large_blob(pair, world, images, verify):
    """A reader of wrong bytes is told; the next one gets the right ones."""
    origin, mirror = pair
    mirror.fault(path="/blobs/", method="GET", flip=3, count=0)
    m = world.mount(origin, verify=verify)
    digest = layers(images.large)[0]
    path = m / "big/_blobs" / digest
    if verify == "lazy":
        assert errno_of(read_file, path) in ("EBADMSG", "EIO")
    assert sha256(read_file(path)) == digest
    assert blob_gets(origin)


def test_lying_mirror_that_is_gone(pair, world, images):
    """Nothing of the last stream is the mirror's when the whole turns out to be
    wrong: what it gave before is reason enough to ask it no more."""
    origin, mirror = pair
    mirror.fault(path="/blobs/", method="GET", flip=3, count=0)
    m = world.mount(origin, prefetch=0)
    digest = layers(images.large)[0]
    path = m / "big/_blobs" / digest
    with open(path, "rb", buffering=0) as f:
        assert f.read(1000)
        mirror.clear_faults()
        mirror.fault(path="/blobs/", method="GET", status=404, count=0)
        assert errno_of(read_file, path) in ("EBADMSG", "EIO")
    assert "gave bytes of another digest" in m.log()
    asked = len(blob_gets(mirror))
    mirror.clear_faults()
    assert sha256(read_file(path)) == digest
    assert len(blob_gets(mirror)) == asked
