# SPDX-License-Identifier: Apache-2.0
"""A tag that moves while it is read: one image or the other, never a mixture."""
import io
import json
import os
import subprocess
import tarfile
import threading

import pytest

from tools import read_file


@pytest.fixture
def two(emu, images):
    """Two images in one repository, and a tag that may name either."""
    images.single.fill(emu, "a")
    images.multi.fill(emu, "a")
    emu.call("tag", repo="a", tag="t", digest=images.single.digest)
    return emu, images.single, images.multi


class Flipper:
    """Moves the tag to and fro as long as it runs."""

    def __init__(self, emu, digests):
        self.emu, self.digests = emu, digests
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._work, daemon=True)

    def _work(self):
        turn = 0
        while not self.done.wait(0.03) and turn < 3000:
            turn += 1
            self.emu.call("tag", repo="a", tag="t", digest=self.digests[turn % 2])

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.done.set()
        self.thread.join(10)


def members(data):
    """{name: bytes} of the regular files of a tar."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name.lstrip("./"): tar.extractfile(m).read()
                for m in tar if m.isfile()}


def test_tar_is_of_one_image(mount, two):
    emu, one, other = two
    m = mount(emu, tag_ttl=0)
    seen = set()
    with Flipper(emu, [one.digest, other.digest]):
        for _ in range(12):
            done = subprocess.run(["tar", "cf", "-", "-C", m / "a/_tags/t", "."],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=30)
            assert done.returncode == 0, done.stderr
            files = members(done.stdout)
            index = json.loads(files["index.json"])["manifests"][0]["digest"]
            image = one if index == one.digest else other
            assert index == image.digest
            blobs = {n.split("/")[-1] for n in files if n.startswith("blobs/")}
            assert blobs == {d[7:] for d in image.blobs()}
            seen.add(index)
    assert len(seen) == 2, "the tag was never seen to move"


def test_open_directory_stays(mount, two):
    """Who holds the directory open keeps the image; a new look-up moves on."""
    emu, one, other = two
    m = mount(emu, tag_ttl=0)
    fd = os.open(m / "a/_tags/t", os.O_RDONLY | os.O_DIRECTORY)
    try:
        emu.call("tag", repo="a", tag="t", digest=other.digest)
        assert os.getxattr(m / "a/_tags/t", "user.oci.digest").decode() == other.digest
        inner = os.open("index.json", os.O_RDONLY, dir_fd=fd)
        try:
            index = json.loads(os.read(inner, 100_000))
        finally:
            os.close(inner)
        assert index["manifests"][0]["digest"] == one.digest
        assert {"sha256:" + n for n in os.listdir(f"/proc/self/fd/{fd}/blobs/sha256")} \
            == set(one.blobs())
    finally:
        os.close(fd)


def test_kernel_keeps_nothing_stale(mount, two):
    """The bytes of index.json follow the tag."""
    emu, one, other = two
    m = mount(emu, tag_ttl=0)
    for image in (one, other, one):
        emu.call("tag", repo="a", tag="t", digest=image.digest)
        index = json.loads(read_file(m / "a/_tags/t/index.json"))
        assert index["manifests"][0]["digest"] == image.digest


def test_tag_deleted(mount, two):
    emu, one, _ = two
    m = mount(emu, tag_ttl=0)
    assert read_file(m / "a/_tags/t/index.json")
    emu.call("delete", repo="a", ref="t")
    assert not os.path.exists(m / "a/_tags/t/index.json")
    assert read_file(m / f"a/_manifests/{one.digest}/index.json")
