# SPDX-License-Identifier: Apache-2.0
"""Names: what is asked about, what is refused without asking."""
import os

import pytest

from tools import errno_of, wait_until

ZERO = "sha256:" + "0" * 64


@pytest.fixture
def live(mount, emu, images):
    """A mount of all hosts with the emulator's host directory visited."""
    images.single.fill(emu, "team/app")
    m = mount()
    os.listdir(m.host(emu) / "team/app/_tags")
    return m


@pytest.mark.parametrize("name", [
    "foo", "autorun", ".Trash", ".Trash-0", ".hidden", ".git", "-x", "UPPER", "a b",
    "..5000", "x\ny", "+", ":"])
def test_no_host(live, emu, name):
    mark = emu.mark()
    assert errno_of(os.stat, live / name) == "ENOENT"
    assert emu.log(since=mark) == []


@pytest.mark.parametrize("name", [
    ".git", ".directory", "_nope", "UPPER", "a b", "-x", "x-", "a..b", "é", "a___b",
    "team/.svn", "team/app/_tags/-bad", "team/app/_tags/.x", "team/app/_tags/a b",
    "team/app/_tags/" + "x" * 129, "team/app/_blobs/sha256:abc",
    "team/app/_blobs/" + ZERO.upper(), "team/app/_manifests/md5:" + "0" * 32,
    "team/app/_manifests/sha256:" + "g" * 64, "team/app/_other",
    "team/app:", "team/app@", "team/app@sha256:1", "team/app:a b"])
def test_no_such_grammar(live, emu, name):
    mark = emu.mark()
    assert errno_of(os.stat, live.host(emu) / name) in ("ENOENT", "ENAMETOOLONG")
    assert emu.log(since=mark) == []


@pytest.mark.parametrize("name", [
    "team/app/_tags/nope", "team/app:nope", "team/app+nope",
    f"team/app/_manifests/{ZERO}", f"team/app@{ZERO}", f"team/app/_blobs/{ZERO}"])
def test_definite_404(live, emu, name):
    """ENOENT after the registry said so, and remembered for a moment."""
    path = live.host(emu) / name
    mark = emu.mark()
    assert errno_of(os.stat, path) == "ENOENT"
    asked = len(emu.log(since=mark))
    assert 1 <= asked <= 3
    assert errno_of(os.stat, path) == "ENOENT"
    assert len(emu.log(since=mark)) == asked


def test_too_long(live, emu):
    assert errno_of(os.stat, live.host(emu) / ("x" * 256)) == "ENAMETOOLONG"


def test_tag_appears(mount, emu, images):
    """A negative answer does not stay for long."""
    images.single.fill(emu, "a")
    m = mount(emu, tag_ttl=1)
    path = m / "a/_tags/new"
    assert errno_of(os.stat, path) == "ENOENT"
    emu.call("tag", repo="a", tag="new", digest=images.single.digest)
    wait_until(lambda: errno_of(os.stat, path) is None, 8, "the new tag")


def test_names_that_are_no_grammar_are_hidden(mount, emulator, images):
    emu = emulator("distribution3")
    images.single.fill(emu, "a")
    emu.call("raw_names", repo="a", digest=images.single.digest,
             tags=["ok", "../evil", "a/b", "sp ace", "", ".", "..", "-dash", "x" * 129,
                   images.single.digest])
    emu.call("raw_names", repos=["good/one", "../up", "/abs", "UP/x", "x//y", "_x", ""])
    m = mount(emu)
    assert sorted(os.listdir(m / "a/_tags")) == ["1.4", "ok"]
    names = os.listdir(m.point)
    assert {"a", "good"} <= set(names)
    assert not {"..", "UP", "_x", "", "up", "abs"} & set(names)


def test_nested_and_reserved(mount, emu, images):
    """A repository called team/tags, and one that is a parent too."""
    for name in ("team", "team/tags", "team/tags/blobs", "a/b/c/d/e/f"):
        images.single.fill(emu, name)
    m = mount(emu)
    for name in ("team", "team/tags", "team/tags/blobs", "a/b/c/d/e/f"):
        assert "1.4" in os.listdir(m / name / "_tags")
    assert "b" in os.listdir(m / "a")
    assert {"tags", "_tags"} <= set(os.listdir(m / "team"))


def test_null_and_empty_lists(mount, emu, images):
    images.single.fill(emu, "a")
    emu.fault(path="/tags/list", body='{"name":"a","tags":null}', count=0)
    m = mount(emu)
    assert os.listdir(m / "a/_tags") == []
    assert os.stat(m / "a/_tags/1.4")
    emu.clear_faults()
    emu.fault(path="/tags/list", count=0,
              body='{"name":"b","tags":[null,"x",7,{},"y"]}')
    images.single.fill(emu, "b")
    assert sorted(os.listdir(m / "b/_tags")) == ["x", "y"]
