# SPDX-License-Identifier: Apache-2.0
"""Faults of reading that are more than one spoilt request: documents that lie,
registries that can do less, herds, pauses.  The others are in test_matrix.py."""
import json
import os
import random
import time

import pytest

from registry import free_port, make_certificate
from tools import errno_of, read_at, read_file, timed, wait_until

MIB = 1 << 20
NOISE = random.Random(3).randbytes(3 * MIB + 77)
RANGE_LIES = ["start", "end", "total", "unit", "garbage", "missing", "two", "another",
              "short", "few", "extra", "multipart", "ignored"]


@pytest.fixture
def blob(mount, emu):
    """(path of a blob in a mount with short timers, emulator)"""
    digest = emu.add_blob("a", NOISE)
    m = mount(emu, timeout=1, retries=3)
    path = m / f"a/_blobs/{digest}"
    os.stat(path)
    return path, emu, m


def good(path):
    assert read_file(path) == NOISE


def test_gone(blob):
    """A blob deleted under an open handle: ENOENT or ESTALE, cached bytes kept."""
    path, emu, _ = blob
    fd = os.open(path, os.O_RDONLY)
    try:
        first = os.pread(fd, 4096, 0)
        digest = os.path.basename(path)
        emu.call("delete_blob", repo="a", digest=digest)
        assert errno_of(os.pread, fd, 4096, 3 * MIB) in ("ESTALE", "ENOENT")
        assert os.pread(fd, 4096, 0) == first == NOISE[:4096]
    finally:
        os.close(fd)


@pytest.mark.parametrize("lie", RANGE_LIES)
def test_lies_for_good(blob, lie):
    """An origin that cannot do ranges: whole downloads, or EIO; never lies."""
    path, emu, _ = blob
    emu.fault(path="/blobs/", method="GET", range_lie=lie, count=0)
    result = errno_of(good, path)
    assert result in (None, "EIO")


def test_shifted_body(blob):
    """Right headers over wrong bytes: only the digest tells, and it does."""
    path, emu, _ = blob
    emu.fault(path="/blobs/", method="GET", range_lie="shifted_body", count=0)
    assert errno_of(good, path) in (None, "EBADMSG")


def test_no_ranges(mount, emulator):
    """200 for every range: right bytes, at most twice the traffic."""
    emu = emulator("distribution", "ranges=false")
    data = NOISE * 8
    path = mount(emu) / f"a/_blobs/{emu.add_blob('a', data)}"
    assert read_at(path, 16 * MIB, 100) == data[16 * MIB:16 * MIB + 100]
    assert read_file(path) == data
    assert sum(e["sent"] for e in emu.log(path="/blobs/", method="GET")) \
        <= 2.1 * len(data)


def test_trickle_goes_on(blob):
    """Slow but steady is no fault, however long it takes in all."""
    path, emu, _ = blob
    emu.fault(path="/blobs/", method="GET", count=0,
              trickle={"bytes": 65_536, "every": 0.1})
    took, _ = timed(good, path)
    assert took > 1


def test_pause_is_shared(blob):
    """After a 429 with Retry-After there is no herd."""
    path, emu, _ = blob
    emu.fault(path="/blobs/", method="GET", status=429, count=2,
              headers={"Retry-After": "1"})
    mark = emu.mark()
    good(path)
    early = [e["time"] for e in emu.log(path="/blobs/", method="GET", since=mark)]
    assert len([t for t in early if t < early[0] + 0.9]) <= 4


# -- manifests and lists -------------------------------------------------------

@pytest.fixture
def tagged(mount, emu, images):
    images.single.fill(emu, "a")
    return mount(emu, timeout=1, retries=3), emu


RESOLVING = {
    "no json": ({"body": "{", "digest": None}, {"EIO"}),
    "a list": ({"body": "[]", "digest": None}, {"EIO"}),
    "flipped": ({"method": "GET", "flip": 30}, {"EIO", "EBADMSG"}),
    "too large": ({"method": "GET", "body": " " * (5 << 20)}, {"EFBIG"}),
}


def use_tag(m):
    return read_file(m / "a/_tags/1.4/manifest.json")


@pytest.mark.parametrize("name", RESOLVING)
def test_resolve_for_good(tagged, images, name):
    """A tag that cannot be resolved: the errno, in time, and never ENOENT."""
    m, emu = tagged
    spec, expected = RESOLVING[name]
    emu.fault(path="/manifests/", count=0, **spec)
    took, result = timed(errno_of, use_tag, m)
    assert result in expected
    assert took < 5
    emu.clear_faults()
    wait_until(lambda: errno_of(use_tag, m) is None, 40, "recovery")
    assert use_tag(m) == images.single.data(images.single.digest)


@pytest.mark.parametrize("digest", [None, "", "sha256:" + "0" * 64, "garbage",
                                    "../../etc/passwd"])
def test_digest_header(tagged, images, digest):
    """A missing or wrong Docker-Content-Digest never becomes the digest."""
    m, emu = tagged
    emu.fault(path="/manifests/", digest=digest, count=0)
    image = m / "a/_tags/1.4"
    result = errno_of(use_tag, m)
    if result is None:
        assert os.getxattr(image, "user.oci.digest").decode() == images.single.digest
    else:
        assert digest and result in ("EIO", "EBADMSG")


AMBIGUOUS = [
    {"manifests": [], "layers": [], "config": {}},
    {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
     "layers": [], "manifests": [],
     "config": {"mediaType": "x/y", "size": 2, "digest": "sha256:" + "1" * 64}},
    {"schemaVersion": 2, "layers": [{"digest": "sha256:../../x", "size": 1,
                                     "mediaType": "x/y"}],
     "config": {"mediaType": "x/y", "size": 2, "digest": "sha256:" + "1" * 64}},
    {"schemaVersion": 2, "layers": [{"digest": "sha256:" + "2" * 64, "size": -1,
                                     "mediaType": "x/y"}],
     "config": {"mediaType": "x/y", "size": 2, "digest": "sha256:" + "1" * 64}},
]


@pytest.mark.parametrize("number", range(len(AMBIGUOUS)))
def test_ambiguous(tagged, number):
    """What could be read two ways, or is no manifest, is refused."""
    m, emu = tagged
    emu.add_manifest("a", AMBIGUOUS[number], tag="bad",
                     media_type="application/vnd.oci.image.manifest.v1+json")
    assert errno_of(os.listdir, m / "a/_tags/bad") in ("EIO", "EBADMSG", "EINVAL")
    assert use_tag(m)


def test_type_differs(tagged):
    """Content-Type and mediaType must agree."""
    m, emu = tagged
    emu.add_manifest("a", {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": []}, tag="bad",
        media_type="application/vnd.oci.image.manifest.v1+json")
    assert errno_of(os.listdir, m / "a/_tags/bad") in ("EIO", "EBADMSG", "EINVAL")


def test_deep_index(tagged, images):
    """Twelve indexes in one another: an end is made, nothing hangs."""
    m, emu = tagged
    kind = "application/vnd.oci.image.index.v1+json"
    item = dict(images.single.descriptor)
    for _ in range(12):
        body = {"schemaVersion": 2, "mediaType": kind, "manifests": [item]}
        item = {"mediaType": kind, "digest": emu.add_manifest("a", body),
                "size": len(json.dumps(body))}
    emu.call("tag", repo="a", tag="deep", digest=item["digest"])
    took, result = timed(errno_of, os.listdir, m / "a/_tags/deep/blobs/sha256")
    assert took < 3 and result in (None, "EIO", "ELOOP", "EFBIG", "EINVAL", "EBADMSG")
    assert use_tag(m)


def test_missing_child(tagged, images):
    """An index whose children are not all there still shows the others."""
    m, emu = tagged
    images.multi.fill(emu, "a")
    gone = images.multi.manifests()[2]
    emu.call("delete", repo="a", ref=gone)
    image = m / "a/_tags/multi"
    assert os.listxattr(image)
    assert read_file(image / "platforms/linux-amd64/manifest.json")


def test_link_loop(tagged, images):
    """A next page that is this page: an end is made."""
    m, emu = tagged
    emu.fault(path="/tags/list", count=0,
              headers={"Link": '</v2/a/tags/list?last=1.4&n=1>; rel="next"'})
    took, result = timed(errno_of, os.listdir, m / "a/_tags")
    assert took < 5 and result in (None, "EIO")
    assert len(emu.log(path="/tags/list")) < 10


def test_link_to_another_host(tagged, emulator):
    """The next page is asked of this registry or of nobody."""
    m, emu = tagged
    other = emulator()
    emu.fault(path="/tags/list", headers={
        "Link": f'<http://{other.address}/v2/a/tags/list?last=x>; rel="next"'})
    errno_of(os.listdir, m / "a/_tags")
    assert other.log() == []


def test_later_page_fails(mount, emulator, images):
    """A listing that breaks in the middle is an error, never an empty or short directory."""
    emu = emulator("distribution3", "tags_max=10")
    images.single.fill(emu, "a")
    emu.call("many_tags", repo="a", digest=images.single.digest, count=99)
    m = mount(emu, timeout=1, retries=2)
    emu.fault(path="/tags/list", nth=3, count=0, status=500)
    assert errno_of(os.listdir, m / "a/_tags") == "EIO"
    emu.clear_faults()
    wait_until(lambda: errno_of(os.listdir, m / "a/_tags") is None, 40, "recovery")
    assert len(os.listdir(m / "a/_tags")) == 100


# -- no registry at all ----------------------------------------------------------

def test_registry_comes_back(mount, emu, images):
    images.single.fill(emu, "a")
    m = mount(emu, timeout=1, tag_ttl=0)
    assert use_tag(m)
    emu.call("listen", on=False)
    assert errno_of(os.stat, m / "a/_tags/other") == "ECONNREFUSED"
    digest = m / f"a/_manifests/{images.single.digest}/manifest.json"
    assert read_file(digest) == images.single.data(images.single.digest)
    emu.call("listen", on=True)
    wait_until(lambda: errno_of(os.stat, m / "a/_tags/other") == "ENOENT", 15,
               "the registry again")


def test_breaker_is_quick(mount):
    """Many look-ups at a host that refuses do not each take their time."""
    m = mount(timeout=4)
    host = m / f"127.0.0.1:{free_port()}"

    def ask():
        for i in range(30):
            assert errno_of(os.stat, host / f"a/_tags/t{i}") == "ECONNREFUSED"

    took, _ = timed(ask)
    assert took < 6


def test_unknown_authority(mount, emulator, images, tmp_path):
    """TLS with a certificate of another authority than certs.d names: EIO, and
    nothing was asked, neither over TLS nor in the clear."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    emu = emulator(tls=make_certificate(tmp_path / "one"))
    images.single.fill(emu, "a")
    certs = tmp_path / "certs.d" / emu.address
    certs.mkdir(parents=True)
    (certs / "ca.crt").write_bytes(make_certificate(tmp_path / "two")[0].read_bytes())
    m = mount(emu, timeout=2, cert_dir=tmp_path / "certs.d")
    assert errno_of(os.stat, m / "a/_tags/1.4") == "EIO"
    assert emu.log() == []


def test_slow_is_not_fast_but_right(mount, emu, proxy):
    """30 ms away at 20 MB/s: the bytes arrive, and nearly at that rate."""
    data = random.Random(5).randbytes(12 * MIB)
    digest = emu.add_blob("a", data)
    link = proxy(emu.address, delay_ms=15, rate="20M")
    m = mount(link)
    start = time.monotonic()
    assert read_file(m / f"a/_blobs/{digest}") == data
    assert time.monotonic() - start < 3
