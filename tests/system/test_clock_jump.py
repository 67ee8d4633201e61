# SPDX-License-Identifier: Apache-2.0
"""The wall clock is set a day forward or back under a running mount: nothing hangs,
nothing is wrong, and at most one request more is made for what was known before."""
import mmap
import os
import struct
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path

import pytest
from emupush import account
from matrixops import Small, pour
from pushing import pending
from tools import need, read_file, sha256, wait_until

DAY = 86400
REPO = "a/b"
SLOW = 1.5                              # seconds of what is under way at the jump
SOON = 20                               # nobody waits for the clock to come back


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    need("cc")
    target = tmp_path_factory.mktemp("clock") / "jumpclock.so"
    subprocess.run(["cc", "-std=gnu11", "-O1", "-fPIC", "-shared", "-o", target,
                    Path(__file__).with_name("jumpclock.c")], check=True, timeout=60)
    return target


class Clock:
    """What a daemon with this environment takes for the time of day."""

    def __init__(self, folder, library):
        path = folder / "shift"
        path.write_bytes(bytes(8))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 8)
        asan = os.environ.get("ASAN_OPTIONS", "detect_leaks=1:exitcode=99")
        self.env = {"LD_PRELOAD": str(library), "JUMPCLOCK": str(path),
                    "ASAN_OPTIONS": asan + ":verify_asan_link_order=0"}

    def jump(self, seconds):
        self.map[:] = struct.pack("q", seconds)


class Site:
    """A guarded registry with storage of its own, and a mount of it."""

    def __init__(self, emu, mount, clock, folder):
        self.emu, self.clock = emu, clock
        self.large = emu.call("blob_pattern", repo=REPO, size=1 << 20, seed=1)
        self.image, self.other = Small(1), Small(2)
        self.image.load(emu, REPO, "1")
        self.image.load(emu, REPO, "2")
        self.m = mount(emu, env=clock.env, authfile=account(folder, emu), timeout=SOON,
                       tag_ttl=60, allow_delete=True)

    def path(self, *names):
        return self.m.point.joinpath(REPO, *names)

    def blob(self, digest):
        return self.path("_blobs", digest)

    def asked(self, function):
        """The requests, to whomever."""
        mark = self.emu.mark()
        function()
        return [f"{e['where']} {e['method']} {e['target']}"
                for e in self.emu.log(since=mark)]

    def digest_of(self, tag):
        return os.getxattr(self.path("_tags", tag), "user.oci.digest").decode()

    # -- what is done again and again ------------------------------------------
    def list_tags(self):
        assert {"1", "2"} <= set(os.listdir(self.path("_tags")))

    def stat_tag(self):
        assert self.digest_of("1") == self.image.digest

    def read_manifest(self):
        file = self.path("_manifests", self.image.digest, "manifest.json")
        assert read_file(file) == self.image.body

    def read_tree(self):
        file = self.path("_rootfs", self.image.digest, "etc/name")
        assert read_file(file) == self.image.text

    def all(self):
        return [self.list_tags, self.stat_tag, self.read_manifest, self.read_tree]


@pytest.fixture
def site(emulator, mount, library, tmp_path):
    emu = emulator("bearer", "delete=true", "redirect=307", "expires_in=300")
    return Site(emu, mount, Clock(tmp_path, library), tmp_path)


def under_way(site):
    """A read, a look-up and a write, each held up for a moment."""
    data = os.urandom(300_000)
    at = {"where": "storage", "method": "GET", "path": site.large[7:]}
    rules = [site.emu.fault(**at, stall={"at": 30_000, "seconds": SLOW}),
             site.emu.fault(path="/manifests/2", delay=SLOW),
             site.emu.fault(method="PUT", path="/blobs/", delay=SLOW)]
    acts = [lambda: sha256(read_file(site.blob(site.large))) == site.large,
            lambda: site.digest_of("2") == site.image.digest,
            lambda: pour(site.blob(sha256(data)), data) is None]
    pool = ThreadPoolExecutor(len(acts))
    done = [pool.submit(act) for act in acts]
    for rule in rules:
        wait_until(lambda r=rule: site.emu.call("rules", number=r)[0]["hits"], SOON,
                   "all are under way")
    assert not any(d.done() for d in done)
    pool.shutdown(wait=False)
    return done, sha256(data)


def check_asked(site, before, more):
    for act, least in zip(site.all(), before):
        asked = site.asked(act)
        assert len(asked) <= len(least) + more, f"{act.__name__}: {asked}, not {least}"


JUMPS = pytest.mark.parametrize("seconds", [DAY, -DAY], ids=["forward", "back"])


@JUMPS
def test_under_way(site, seconds):
    """And what was done before costs the same after, or one request more once."""
    for _ in range(2):
        before = [site.asked(act) for act in site.all()]
    done, digest = under_way(site)
    site.clock.jump(seconds)
    start = time.monotonic()
    assert all(d.result(SOON) for d in done)
    assert time.monotonic() - start < SLOW + 5
    assert digest in site.emu.call("held", repo=REPO)["blobs"]
    for more in (1, 0):
        check_asked(site, before, more)
    site.clock.jump(0)
    check_asked(site, before, 1)
    assert site.m.status("errors") == ""


@JUMPS
def test_told_when(site, seconds):
    """A date to wait for is one of the server's clock."""
    site.stat_tag()
    site.clock.jump(seconds)
    headers = {"Retry-After": formatdate(time.time() + 2, usegmt=True)}
    rule = site.emu.fault(path="/manifests/2", status=429, headers=headers)
    start = time.monotonic()
    assert site.digest_of("2") == site.image.digest
    assert site.emu.call("rules", number=rule)[0]["hits"] == 1
    assert time.monotonic() - start < SOON / 2


@JUMPS
def test_kept(site, seconds):
    """What was kept before a start is good after it, and an image that was begun
    before the jump is finished after it."""
    site.read_tree()
    read_file(site.blob(site.large))
    os.mkdir(site.path("_tags/new"))
    pour(site.path("_tags/new/index.json"), site.other.index())
    assert pending(site.m)
    site.clock.jump(seconds)
    site.m.restart()
    assert pending(site.m)
    mark = site.emu.mark()
    assert sha256(read_file(site.blob(site.large))) == site.large
    assert not site.emu.log(where="storage", method="GET", since=mark)
    os.makedirs(site.path("_tags/new/blobs/sha256"), exist_ok=True)
    for data in (site.other.config, site.other.layer, site.other.body):
        pour(site.path("_tags/new/blobs/sha256", sha256(data)[7:]), data)
    wait_until(lambda: pending(site.m) == [], SOON, "it is complete")
    assert site.emu.call("held", repo=REPO)["tags"]["new"] == site.other.digest


def test_told_to_stop(site):
    """Somebody who waits for uploads to end does not wait for a day."""
    data = os.urandom(300_000)
    site.emu.fault(method="PUT", path="/blobs/", delay=SLOW)
    writer = threading.Thread(target=pour, args=(site.blob(sha256(data)), data))
    writer.start()
    wait_until(lambda: any(site.emu.hits()), SOON, "it is being sent")
    site.m.process.terminate()
    wait_until(lambda: "what is being sent" in site.m.log(), SOON, "it has heard")
    site.clock.jump(-DAY)
    writer.join(SOON)
    assert not writer.is_alive()
    assert site.m.process.wait(SOON) == 0
    assert sha256(data) in site.emu.call("held", repo=REPO)["blobs"]
