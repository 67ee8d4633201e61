# SPDX-License-Identifier: Apache-2.0
"""Digests are checked: a wrong byte is EBADMSG, never a good read."""
import os
import subprocess
import time

import pytest

from tools import errno_of, read_at, read_file, sha256, sha256sum, wait_until

MIB = 1 << 20


@pytest.fixture
def big(emu, images):
    images.large.fill(emu, "a")
    emu.layer = images.large.document()["layers"][0]["digest"]
    emu.truth = images.large.data(emu.layer)
    return emu


@pytest.mark.parametrize("at", [0, 1, 65_536, 4 * MIB + 3, -1])
@pytest.mark.parametrize("mode", ["lazy", "strict"])
def test_flipped(mount, big, at, mode):
    """One wrong byte anywhere: whoever reads to the end is told."""
    at = at % len(big.truth)
    big.fault(path="/blobs/", method="GET", flip=at, count=0)
    path = mount(big, verify=mode) / f"a/_blobs/{big.layer}"
    assert errno_of(read_file, path) == "EBADMSG"
    for command in (["sha256sum", path], ["cp", path, "/dev/null"]):
        done = subprocess.run(command, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, timeout=30, text=True)
        assert done.returncode != 0
    assert "EBADMSG" in errors(path) and big.layer in errors(path)


def test_good_again(mount, big):
    """A transfer that was bad once does not spoil the blob for good."""
    big.fault(path="/blobs/", method="GET", flip=MIB, count=0)
    path = mount(big) / f"a/_blobs/{big.layer}"
    assert errno_of(read_file, path) == "EBADMSG"
    big.clear_faults()
    wait_until(lambda: errno_of(read_file, path) is None, 20, "good data again")
    assert sha256sum(path) == big.layer


def errors(path):
    return (path.parents[2] / ".registryfs/errors").read_text()


def test_strict_serves_no_unverified_byte(mount, big):
    big.fault(path="/blobs/", method="GET", flip=7 * MIB, count=0)
    path = mount(big, verify="strict") / f"a/_blobs/{big.layer}"
    assert errno_of(read_at, path, 0, 512) == "EBADMSG"


def test_strict_serves_verified_bytes(mount, big):
    path = mount(big, verify="strict") / f"a/_blobs/{big.layer}"
    assert read_at(path, MIB, 512) == big.truth[MIB:MIB + 512]
    assert read_file(path) == big.truth


def test_lazy_says_so(mount, big):
    """A part that no digest covers is served, and marked."""
    path = mount(big) / f"a/_blobs/{big.layer}"
    assert read_at(path, MIB, 512) == big.truth[MIB:MIB + 512]
    partly = os.getxattr(path, "user.registryfs.verified")
    read_file(path)
    wait_until(lambda: os.getxattr(path, "user.registryfs.verified") != partly,
               what="verified")


def test_stored_wrong(mount, emu):
    """The registry itself holds other bytes under the digest."""
    name = sha256(b"what it should be")
    emu.call("blob_pattern", repo="a", size=17, seed=1, digest=name)
    assert errno_of(read_file, mount(emu) / f"a/_blobs/{name}") == "EBADMSG"


def test_manifest_by_digest(mount, emu, images):
    images.single.fill(emu, "a")
    emu.fault(path="/manifests/sha256", flip=40, count=0)
    m = mount(emu, retries=1)
    folder = m / f"a/_manifests/{images.single.digest}"
    assert errno_of(read_file, folder / "manifest.json") == "EBADMSG"


@pytest.mark.parametrize("change", [-1, 1, 1000, -1000])
def test_wrong_size_in_descriptor(mount, emu, images, change):
    """A manifest that lies about a layer's size: told, never a short copy."""
    images.single.fill(emu, "a")
    document = images.single.document()
    layer = document["layers"][1]
    layer["size"] += change
    emu.add_manifest("a", document, tag="lie")
    path = mount(emu, timeout=2) / "a/_tags/lie/blobs/sha256" / layer["digest"][7:]
    assert errno_of(read_file, path) in ("EBADMSG", "EIO")


def test_after_eviction_chunks_are_checked(mount, big):
    """What was verified once and fetched again is checked chunk by chunk."""
    other = big.call("blob_pattern", repo="a", size=8 * MIB, seed=9)
    m = mount(big, cache_size="9M")
    path = m / f"a/_blobs/{big.layer}"
    assert sha256sum(path) == big.layer
    assert sha256sum(m / f"a/_blobs/{other}") == other
    time.sleep(3)                       # what is looked at is not evicted
    assert os.getxattr(path, "user.registryfs.cached") != b"100"
    big.fault(path="/blobs/", method="GET", flip=3 * MIB, count=0)
    drop_pages(path)
    assert errno_of(read_at, path, 3 * MIB, 4096) == "EBADMSG"
    assert read_at(path, 6 * MIB, 4096) == big.truth[6 * MIB:6 * MIB + 4096]


def drop_pages(path):
    """Makes the kernel forget what it knows of a file."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
