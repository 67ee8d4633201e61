# SPDX-License-Identifier: Apache-2.0
"""Requests follow use: how many, how large, and for what."""
import os
import subprocess
import time

import pytest

from tools import read_at, read_file, sha256sum

MIB = 1 << 20


def kinds(entries):
    """Requests by what they are for; the probe of /v2/ apart."""
    names = ("/manifests/", "/blobs/", "/tags/list", "/_catalog", "/referrers/")
    return {n.strip("/"): [e for e in entries if n in e["target"]] for n in names}


@pytest.fixture
def big(emu, images):
    """The emulator with an image of one 8 MiB layer as team/big:big."""
    images.large.fill(emu, "team/big")
    emu.layer = images.large.document()["layers"][0]["digest"]
    emu.truth = images.large.data(emu.layer)
    return emu


def test_mounting_asks_nobody(mount, emu):
    mount(emu)
    mount()
    assert emu.log() == []


def test_resolve_is_one_request(mount, big):
    m = mount(big)
    os.stat(m / "team/big/_tags/big")
    got = kinds(big.log())
    assert len(got["manifests"]) == 1
    assert not got["blobs"] and not got["tags/list"] and not got["_catalog"]


def test_manifest_needs_no_blob(mount, big):
    m = mount(big)
    read_file(m / "team/big/_tags/big/manifest.json")
    os.listdir(m / "team/big/_tags/big/blobs/sha256")
    for entry in os.scandir(m / "team/big/_tags/big/blobs/sha256"):
        entry.stat()
    got = kinds(big.log())
    assert len(got["manifests"]) <= 2
    assert not big.log(path=big.layer)          # the config may tell the time


def test_head_is_one_small_range(mount, big):
    m = mount(big)
    done = subprocess.run(["head", "-c", "512", m / f"team/big/_blobs/{big.layer}"],
                          stdout=subprocess.PIPE, timeout=20, check=True)
    assert done.stdout == big.truth[:512]
    gets = big.log(path="/blobs/", method="GET")
    assert len(gets) == 1 and gets[0]["headers"]["range"].startswith("bytes=0-")
    assert gets[0]["sent"] <= MIB
    assert len(big.log(path="/blobs/", method="HEAD")) <= 1


def test_middle_is_small(mount, big):
    m = mount(big)
    at = 5 * MIB + 1234
    got = read_at(m / f"team/big/_tags/big/blobs/sha256/{big.layer[7:]}", at, 4096)
    assert got == big.truth[at:at + 4096]
    gets = big.log(path="/blobs/", method="GET")
    assert len(gets) <= 2 and sum(e["sent"] for e in gets) <= MIB


def test_whole_once(mount, big):
    m = mount(big)
    path = m / f"team/big/_blobs/{big.layer}"
    assert sha256sum(path) == big.layer
    sent = sum(e["sent"] for e in big.log(path="/blobs/"))
    assert len(big.truth) <= sent <= len(big.truth) * 1.02
    mark = big.mark()
    assert sha256sum(path) == big.layer
    other = m / f"team/big/_tags/big/blobs/sha256/{big.layer[7:]}"
    assert sha256sum(other) == big.layer
    assert not big.log(path=big.layer, since=mark)


def test_64_readers_one_download(mount, big):
    path = mount(big) / f"team/big/_blobs/{big.layer}"
    readers = [subprocess.Popen(["sha256sum", path], stdout=subprocess.PIPE, text=True)
               for _ in range(64)]
    sums = {r.communicate(timeout=50)[0].split()[0] for r in readers}
    assert sums == {big.layer[7:]}
    sent = sum(e["sent"] for e in big.log(path="/blobs/"))
    assert sent <= len(big.truth) * 1.05


def test_random_readers(mount, big):
    """Reads at random places of one blob by many at once are all right."""
    script = ("import os,random,sys;p,t,n=sys.argv[1:];r=random.Random(int(n));"
              "f=os.open(p,0);g=os.open(t,0);z=os.fstat(g).st_size\n"
              "for _ in range(60):\n"
              "    a=r.randrange(z);k=r.choice((1,4096,70000,300000))\n"
              "    assert os.pread(f,k,a)==os.pread(g,k,a),a\n")
    m = mount(big)
    truth = m.folder / "truth"
    truth.write_bytes(big.truth)
    path = m / f"team/big/_blobs/{big.layer}"
    readers = [subprocess.Popen(["python3", "-c", script, path, truth, str(n)])
               for n in range(8)]
    assert [r.wait(50) for r in readers] == [0] * 8


def test_tag_ttl(mount, big):
    """Within the time nobody asks; after it one request does."""
    m = mount(big, tag_ttl=2)
    path = m / "team/big/_tags/big"
    for _ in range(3):
        read_file(path / "index.json")
    assert len(kinds(big.log())["manifests"]) <= 2
    time.sleep(2.2)
    mark = big.mark()
    read_file(path / "index.json")
    asked = kinds(big.log(since=mark))["manifests"]
    assert len(asked) == 1 and asked[0]["method"] == "HEAD"


def test_digest_never_expires(mount, big, images):
    m = mount(big, tag_ttl=0)
    path = m / f"team/big/_manifests/{images.large.digest}"
    read_file(path / "manifest.json")
    mark = big.mark()
    for _ in range(3):
        read_file(path / "manifest.json")
    assert big.log(since=mark) == []


def test_head_not_supported(mount, emulator, images):
    emu = emulator("distribution", "head_manifest=405")
    images.single.fill(emu, "a")
    m = mount(emu)
    assert os.getxattr(m / "a/_tags/1.4", "user.oci.digest").decode() \
        == images.single.digest


@pytest.mark.parametrize("style", ["relative", "absolute", "unquoted", "extra", "http"])
def test_paging(mount, emulator, images, style):
    emu = emulator("distribution3", f"link_style={style}", "tags_max=100")
    images.single.fill(emu, "a")
    emu.call("many_tags", repo="a", digest=images.single.digest, count=999)
    m = mount(emu)
    assert len(os.listdir(m / "a/_tags")) == 1000
    got = kinds(emu.log())
    assert len(got["tags/list"]) == 10 and not got["manifests"]


def test_catalogue_paging(mount, emulator):
    emu = emulator("distribution3", "catalog_max=100")
    emu.call("many_repos", count=350)
    m = mount(emu)
    assert os.listdir(m.point).count("many") == 1
    assert len(set(os.listdir(m / "many"))
               - {"_tags", "_manifests", "_blobs", "_layers", "_rootfs"}) == 350


def test_lookup_never_lists(mount, emulator, images):
    emu = emulator("distribution3", "catalog_status=404")
    images.single.fill(emu, "deep/er/app")
    m = mount(emu)
    assert read_file(m / "deep/er/app/_tags/1.4/index.json")
    got = kinds(emu.log())
    assert not got["_catalog"] and not got["tags/list"]


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_no_catalogue_shows_what_was_seen(mount, emulator, images, status):
    emu = emulator("distribution", f"catalog_status={status}")
    images.single.fill(emu, "deep/app")
    m = mount(emu)
    os.stat(m / "deep/app/_tags/1.4")
    assert "deep" in os.listdir(m.point)


def test_nolist(mount, big):
    m = mount(big, nolist=True)
    os.stat(m / "team/big/_tags/big")
    os.listdir(m.point)
    assert not kinds(big.log())["_catalog"]


@pytest.mark.limit(90)
def test_many_tags(mount, emulator, images):
    """100,000 tags: listed in bounded time and memory."""
    emu = emulator("distribution3")
    images.single.fill(emu, "a")
    emu.call("many_tags", repo="a", digest=images.single.digest, count=100_000)
    m = mount(emu)
    start = time.monotonic()
    assert len(os.listdir(m / "a/_tags")) == 100_001
    assert time.monotonic() - start < 30
    assert m.rss() < 300 * MIB
    assert not kinds(emu.log())["manifests"]


def test_children_on_demand(mount, emu, images):
    """The children of an index are fetched once, and only when wanted."""
    images.multi.fill(emu, "a")
    m = mount(emu)
    read_file(m / "a/_tags/multi/index.json")
    children = images.multi.manifests()[1:]
    asked = [e for e in emu.log() if any(c in e["path"] for c in children)]
    assert asked == []
    for _ in range(2):
        os.listdir(m / "a/_tags/multi/blobs/sha256")
        read_file(m / "a/_tags/multi/config.json")
    asked = [e["path"] for e in emu.log() if any(c in e["path"] for c in children)]
    assert len(asked) == len(set(asked)) == len(children)
