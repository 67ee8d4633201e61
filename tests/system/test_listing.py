# SPDX-License-Identifier: Apache-2.0
"""Lists come in pieces, to several readers at a time, and cost what they must."""
import json
import os
import threading

import pytest

from tools import errno_of

MANY = 3000                             # more than one READDIR holds


@pytest.fixture
def tagged(emulator, images):
    """Three pages of tags."""
    emu = emulator("distribution3", "tags_max=1000")
    images.single.fill(emu, "a")
    emu.call("many_tags", repo="a", digest=images.single.digest, count=MANY)
    return emu


def requests(m):
    return json.loads(m.status("status.json"))["metrics"]["fuse_requests"]


def names_of(entries):
    return [e.name for e in entries]


def test_first_page_does_not_wait_for_the_second(tagged, mount):
    m = mount(tagged)
    tagged.fault(path="/tags/list", nth=2, count=1, delay=8)
    found = threading.Event()

    def first():
        fd = os.open(m / "a/_tags", os.O_RDONLY | os.O_DIRECTORY)
        with os.scandir(fd) as entries:
            next(entries)
            found.set()
        os.close(fd)

    reader = threading.Thread(target=first, daemon=True)
    reader.start()
    in_time = found.wait(4)
    m.kill()                            # so that nobody waits for the other page
    reader.join(20)
    assert in_time


def test_interleaved_readers(tagged, mount):
    m = mount(tagged)
    want = sorted(os.listdir(m / "a/_tags"))
    assert len(want) == MANY + 1
    readers = [os.scandir(m / "a/_tags") for _ in range(40)]
    got = [[next(r).name] for r in readers]
    for _ in range(1100):
        for names, reader in zip(got[:3], readers[:3]):
            names.append(next(reader).name)
    for names, reader in zip(got, readers):
        names += names_of(reader)
        assert sorted(names) == want


def test_list_that_changes(tagged, mount, images):
    """What was listed to its end, and what was left in the middle."""
    m = mount(tagged, tag_ttl=0)
    assert len(os.listdir(m / "a/_tags")) == MANY + 1
    with os.scandir(m / "a/_tags") as entries:
        next(entries)
    tagged.call("many_tags", repo="a", digest=images.single.digest, count=MANY + 5)
    assert len(os.listdir(m / "a/_tags")) == MANY + 6
    assert len(os.listdir(m / "a/_tags")) == MANY + 6


def test_list_that_fails(tagged, mount):
    m = mount(tagged)
    tagged.fault(path="/tags/list", count=0, status=403)
    assert errno_of(os.listdir, m / "a/_tags") == "EACCES"
    tagged.clear_faults()
    assert len(os.listdir(m / "a/_tags")) == MANY + 1


def test_list_that_was_kept_costs_its_opening(tagged, mount):
    m = mount(tagged)
    tops = [m / "a/_tags/1.4" / name for name in ("blobs", "blobs/sha256", "rootfs")]
    for top in tops:
        os.listdir(top)
    want = [os.listdir(top) for top in tops]
    before = requests(m)
    alone = requests(m) - before        # what asking for that costs
    before = requests(m)
    assert [os.listdir(top) for top in tops] == want
    assert requests(m) - before <= alone + 2 * len(tops)


def test_directories_are_read_in_small_pieces(tagged, mount):
    """opendir(3) and the kernel both make room for st_blksize, however short."""
    m = mount(tagged)
    for path in (m.point, m / "a/_tags", m / "a/_tags/1.4", m / "a/_tags/1.4/rootfs"):
        assert os.stat(path).st_blksize <= 32768
    assert os.stat(m / "a/_tags/1.4/index.json").st_blksize == 1 << 20
