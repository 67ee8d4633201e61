# SPDX-License-Identifier: Apache-2.0
"""evict and cache: what is forgotten, what stays, and who may say so."""
import fcntl
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

import mounting
import tarmaker
from mounting import program
from tools import absent, errno_of, need, read_file, run, sha256sum, wait_until
from warming import (all_cached, blobs_of, both, cache_of, cached, some_layer, tool,
                     tree_of, warm)

MIB = 1 << 20
NOBODY = 65534


def evict(mount, *words, rc=0):
    done = tool(mount, "evict", *words, check=False)
    assert done.returncode == rc, f"{done.stdout}\n{done.stderr}"
    return done


def test_usage(both):
    for words in ["evict"], ["evict", "--nothing", both.point], ["cache", "a", "b"]:
        done = tool(both, *words, check=False)
        assert done.returncode == 1 and "usage:" in done.stderr, words


def test_evict_an_image(both, emu, images):
    warm(both, both / "team/app/_tags/1.4", both / "team/app/_tags/big")
    done = evict(both, both / "team/app/_tags/1.4")
    assert done.stdout.startswith("freed ")
    own = blobs_of(images, "single")
    assert all_cached(both, own) == set()
    other = blobs_of(images, "large") - own
    assert all_cached(both, other) == other
    # Its indexes are there, its bytes come again, and are right.
    mark = emu.mark()
    assert os.listdir(both / "team/app/_tags/1.4/rootfs/")
    assert emu.log(path="/blobs/", since=mark) == []
    layer = images.single.document()["layers"][0]["digest"]
    assert sha256sum(both / f"team/app/_blobs/{layer}") == layer


def test_evict_keeps_what_others_need(mount, emu, tmp_path):
    base = some_layer(base=os.urandom(300_000))
    tops = [some_layer(top=os.urandom(100_000)) for _ in range(2)]
    for i, top in enumerate(tops):
        tarmaker.build(tmp_path / f"v{i}", [base, top]).fill(emu, "t", f"v{i}")
    m = mount(emu)

    def there():
        return [cached(m / f"t/_blobs/{x.digest}") == "100" for x in (base, *tops)]

    warm(m, m / "t:v0", m / "t:v1")
    assert there() == [True, True, True]
    done = evict(m, m / "t:v0")
    assert "--force" in done.stdout and there() == [True, False, True]
    warm(m, m / "t:v0")
    evict(m, "--force", m / "t:v0")
    assert there() == [False, False, True]
    warm(m, m / "t:v0")
    evict(m, m / f"t/_blobs/{base.digest}")         # named itself
    assert there() == [False, True, True]
    warm(m, m / "t:v0")
    evict(m, m / "t:v0", m / "t:v1")                # both: nobody else needs it
    assert there() == [False, False, False]
    warm(m, m / "t:v0", m / "t:v1")
    evict(m, "--quiet", m / "t:v0")
    evict(m, m / "t:v1")                            # the other is gone already
    assert there() == [False, False, False]


@pytest.mark.parametrize("path", ["", "team", "team/app", "team/app/_tags",
                                  "team/app/_blobs", "team/app/_manifests"])
def test_evict_many(both, images, path):
    warm(both, both / "team/app/_tags/1.4", both / "team/app/_tags/multi")
    evict(both, both / path)
    assert cache_of(both)["bytes"] == 0


def test_evict_indexes(both, images):
    warm(both, both / "team/app/_tags/1.4", both / "team/app/_tags/big")
    layers = images.single.document()["layers"]
    before = cache_of(both)["indexes"]
    evict(both, both / "team/app/_tags/1.4")
    assert cache_of(both)["indexes"] == before
    evict(both, "--all", both / "team/app/_tags/1.4")
    # Of each layer, and of the root file system.
    assert cache_of(both)["indexes"] == before - len(layers) - 1
    assert tree_of(both / "team/app/_tags/1.4/rootfs/")


@pytest.mark.parametrize("which", ["1.4", "multi"])
def test_warm_after_evict_all(both, which):
    """Indexes that the mount still holds in memory are kept again, too."""
    image = both / "team/app/_tags" / which
    warm(both, image)
    before = cache_of(both)
    os.listdir(image / "rootfs/")
    evict(both, "--all", "--force", image)
    assert cache_of(both)["indexes"] < before["indexes"]
    warm(both, image)
    assert {k: cache_of(both)[k] for k in ("indexes", "blobs", "bytes")} == \
        {k: before[k] for k in ("indexes", "blobs", "bytes")}
    both.restart(offline=True)
    assert tree_of(image / "rootfs/")


def test_evict_under_a_reader(both, images):
    layer = images.large.document()["layers"][0]["digest"]
    path = both / f"team/app/_blobs/{layer}"
    want = images.large.data(layer)
    with open(path, "rb") as f:
        got = f.read(MIB)
        evict(both, path)
        assert cached(path) != "100"
        got += f.read()
    assert got == want


def cached_bytes(mount):
    """In files, of whatever is not a pushed one."""
    return sum(os.stat(os.path.join(d, n)).st_blocks * 512
               for d, _, names in os.walk(mount.folder / "cache/blobs") for n in names)


@pytest.mark.parametrize("again", [False, True])
def test_evict_what_was_decoded(mount, emu, tmp_path, again):
    """A layer without a way in is spooled as it is decoded: that goes with it, also
    what an earlier run left; another layer's stays."""
    need("zstd")
    m = mount(emu)
    data = [os.urandom(6 * MIB) for _ in range(2)]
    for i, x in enumerate(data):
        tar = tarmaker.file("x", x) + tarmaker.file("y", b"y") + tarmaker.END
        layer = tarmaker.Layer(tar, tarmaker.zst(tar), "+zstd")
        tarmaker.build(tmp_path / f"v{i}", [layer]).fill(emu, "t", f"v{i}")
        # The pass would serve a reader that came while it runs.
        assert os.listdir(m / f"t:v{i}/rootfs/")
        assert read_file(m / f"t:v{i}/rootfs/x") == x
    both_ = cached_bytes(m)
    assert both_ >= 24 * MIB, "nothing was spooled"
    if again:
        m.restart()
    evict(m, m / "t:v0")
    assert 12 * MIB <= cached_bytes(m) <= both_ - 12 * MIB
    evict(m, m / "t:v1")
    assert cached_bytes(m) < MIB
    assert [read_file(m / f"t:v{i}/rootfs/x") for i in range(2)] == data


def test_evict_without_the_registry(both, emu, images):
    """Nobody is asked: not even what a tag means."""
    warm(both, both / "team/app/_tags/1.4")
    both.restart(tag_ttl=0, timeout=1)
    emu.call("listen", on=False)
    evict(both, both / "team/app/_tags/1.4")
    emu.call("listen", on=True)
    assert all_cached(both, blobs_of(images, "single")) == set()


def test_evict_what_is_not_there(both, tmp_path):
    for path, why in ((both / "team/app/_tags/none", "nothing of it is cached"),
                      (both / ".registryfs/status", "names no image"),
                      (tmp_path, "no registryfs is mounted there")):
        done = evict(both, path, rc=2)
        assert str(path) in done.stderr and why in done.stderr


def test_evict_part_of_a_layer_is_refused(both, images):
    warm(both, both / "team/app/_tags/1.4")
    done = evict(both, both / "team/app/_tags/1.4/rootfs/bin", rc=2)
    assert "names no image" in done.stderr
    assert all_cached(both, blobs_of(images, "single")) == blobs_of(images, "single")


def test_evict_on_a_read_only_mount(mount, emu, images):
    images.single.fill(emu, "a")
    m = mount(emu, ro=True)
    warm(m, m / "a/_tags/1.4")
    evict(m, m / "a/_tags/1.4")
    assert cache_of(m)["bytes"] == 0


@pytest.fixture
def public(emu, images):
    """public(option=value, …) -> Mount where others may look."""
    if os.geteuid() != 0:
        absent("needs root to become somebody else")
    need("setpriv")
    images.single.fill(emu, "team/app")
    folder, mounts = Path(tempfile.mkdtemp(prefix="rfs-public-")), []
    folder.chmod(0o755)

    def start(**options):
        mounts.append(mounting.Mount(folder / "m", emu.address, **options))
        (folder / "m").chmod(0o755)
        return mounts[0]

    yield start
    try:
        mounts[0].finish()
    finally:
        mounts[0].destroy()
        shutil.rmtree(folder)


def as_nobody(*words, **kwargs):
    return run("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *words,
               check=False, timeout=20, **kwargs)


def test_only_the_owner_may(public):
    """With allow_other: others cannot even open it; who has it open may not."""
    m = public(allow_other=True)
    warm(m, m / "team/app/_tags/1.4")
    before = cache_of(m)["bytes"]
    control = str(m.point / ".registryfs/cache")
    fd = os.open(control, os.O_RDONLY)
    code = ("import fcntl,sys\n"
            "try: fcntl.ioctl(%d, 0x80085203, bytes(8))\n"
            "except OSError as e: print(e.errno)" % fd)
    done = as_nobody("/usr/bin/python3", "-c", code, pass_fds=[fd])
    os.close(fd)
    assert done.stdout.strip() == "1", done.stderr      # EPERM
    for words in (["evict", m / "team/app/_tags/1.4"], ["cache", "--prune", m.point],
                  ["status", m.point]):
        done = as_nobody(program(), *words)
        assert done.returncode == 2
        assert f"{words[-1]}: only user 0, who has mounted it, may" in done.stderr
    assert cache_of(m)["bytes"] == before


def test_mounted_for_its_user_alone(public, tmp_path):
    """Also by a link, and for what is beneath."""
    m = public()
    link = m.folder / "link"
    link.symlink_to(m.point)
    for words in (["evict"], ["warm"], ["cache"], ["cache", "--prune"], ["status"],
                  ["status", "-w"]):
        for path in m.point, m / "team/app/_tags/1.4", link, link / "team":
            done = as_nobody(program(), *words, path)
            assert done.returncode == 2
            assert f"{path}: user 0 has mounted it without allow_other" in done.stderr


def test_daemon_has_ended(both):
    both.process.kill()
    both.process.wait(10)
    both.expect_exit = None
    for command in "evict", "warm", "cache", "status":
        done = tool(both, command, both.point, check=False)
        assert done.returncode == 2
        assert "has ended (fusermount3 -u)" in done.stderr


def test_other_ioctls(both):
    prune, unknown, add = 0x80085203, 0x80085263, 0x50005201
    with open(both / ".registryfs/status") as f:
        assert errno_of(fcntl.ioctl, f, prune, bytearray(8)) == "ENOTTY"
    with open(both / ".registryfs/cache") as f:
        assert errno_of(fcntl.ioctl, f, unknown, bytearray(8)) == "ENOTTY"
        assert errno_of(fcntl.ioctl, f, add, bytearray(b"x" * 4096)) == "ENAMETOOLONG"
        assert errno_of(fcntl.ioctl, f, add, bytearray(4096)) == "ENOENT"


# --- cache -----------------------------------------------------------------------------


def test_cache_of_a_mount(both, images):
    warm(both, both / "team/app/_tags/1.4")
    want = blobs_of(images, "single")
    told = cache_of(both)
    line = next(x for x in told["repositories"] if x["repository"] == "team/app")
    assert line["host"] and line["blobs"] == len(want)
    assert line["bytes"] == sum(images.single.blobs()[d] for d in want) == told["bytes"]
    assert line["indexes"] == len(images.single.document()["layers"]) + 1
    assert told["directory"] == str(both.folder / "cache")
    assert told["size"] and told["room"] and told["free"] and told["pending"] == 0
    text = tool(both, "cache", both / "team").stdout
    assert "team/app" in text and "pending:   0 images" in text
    assert tool(both, "cache", cwd=both / "team").stdout.splitlines()[0] == \
        text.splitlines()[0]


def test_cache_asks_nobody(both, emu):
    mark = emu.mark()
    tool(both, "cache", both.point)
    assert emu.log(since=mark) == []


def test_cache_of_a_directory(both, images):
    warm(both, both / "team/app/_tags/1.4")
    folder = both.folder / "cache"
    busy = tool(both, "cache", f"--cache_dir={folder}", check=False)
    assert busy.returncode == 2 and str(both.process.pid) in busy.stderr
    told = cache_of(both)
    both.unmount()
    again = json.loads(tool(both, "cache", "--json", f"--cache_dir={folder}").stdout)
    for key in ("bytes", "blobs", "indexes", "repositories", "directory"):
        assert again[key] == told[key], key
    freed = json.loads(tool(both, "cache", "--json", "--prune",
                            f"--cache-dir={folder}").stdout)
    assert freed["freed"] >= told["bytes"]
    again = json.loads(tool(both, "cache", "--json", f"--cache_dir={folder}").stdout)
    assert again["bytes"] == again["indexes"] == again["documents"] == 0
    for d, _, names in os.walk(folder / "blobs"):
        assert names == [], d
    both.restart()
    layer = images.single.document()["layers"][0]["digest"]
    assert sha256sum(both / f"team/app/_blobs/{layer}") == layer


def test_cache_that_is_not_there(both, tmp_path):
    for folder in (tmp_path / "none", tmp_path):
        done = tool(both, "cache", f"--cache_dir={folder}", check=False)
        assert done.returncode == 2 and "registryfs:" in done.stderr
    assert not (tmp_path / "none").exists()


def test_prune_spares_what_is_in_use(both, images):
    warm(both, both / "team/app/_tags/1.4", both / "team/app/_tags/big")
    layer = images.large.document()["layers"][0]["digest"]
    with open(both / f"team/app/_blobs/{layer}", "rb") as f:
        f.read(10)
        done = tool(both, "cache", "--prune", both.point)
        assert done.stdout.startswith("freed ")
        assert cached(both / f"team/app/_blobs/{layer}") == "100"
        assert all_cached(both, blobs_of(images, "single")) == set()
    tool(both, "cache", "--prune", both.point)
    assert cache_of(both)["bytes"] == 0
    assert sha256sum(both / f"team/app/_blobs/{layer}") == layer
    assert tree_of(both / "team/app/_tags/1.4/rootfs/")


def test_prune_spares_pending_images(mount, emu, images, tmp_path):
    """An image that was acknowledged and is incomplete survives, and is finished."""
    m = mount(emu)
    layout = images.single.folder
    target = m / "a/_tags/1.4"
    (target / "blobs/sha256").mkdir(parents=True)
    layers = [d["digest"] for d in images.single.document()["layers"]]
    for digest in set(images.single.blobs()) - {layers[0]}:
        shutil.copyfile(layout / "blobs/sha256" / digest[7:],
                        target / "blobs/sha256" / digest[7:])
    shutil.copyfile(layout / "oci-layout", target / "oci-layout")
    shutil.copyfile(layout / "index.json", target / "index.json")
    assert os.listdir(m / ".registryfs/pending")
    assert cache_of(m)["pending"] == 1
    tool(m, "cache", "--prune", m.point)
    assert os.listdir(m / ".registryfs/pending")
    m.expect_exit = 75
    m.unmount()
    folder = m.folder / "cache"
    tool(m, "cache", "--prune", f"--cache_dir={folder}")
    told = json.loads(tool(m, "cache", "--json", f"--cache_dir={folder}").stdout)
    assert told["pending"] == 1
    m.restart()
    shutil.copyfile(layout / "blobs/sha256" / layers[0][7:], m / f"a/_blobs/{layers[0]}")
    wait_until(lambda: os.listdir(m / ".registryfs/pending") == [], 10, "published")
    assert read_file(m / "a/_tags/1.4/manifest.json") == images.single.data(
        images.single.digest)
