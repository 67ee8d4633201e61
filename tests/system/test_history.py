# SPDX-License-Identifier: Apache-2.0
"""Several clients change tags while the registry fails: one mount is linearizable,
two are so within tag_ttl, and digests never change.

RFS_HISTORIES sets how many runs in all, RFS_HISTORY_SEED the first one's."""
import contextlib
import errno
import math
import os
import random
import threading
import time

import pytest
from emupush import get
from history import SOME, Event, check
from mounting import sanitized
from tarmaker import END, build, file
from tools import read_file, sha256, wait_until

RUNS = int(os.environ.get("RFS_HISTORIES", "0")) or (4 if sanitized() else 10)
SHARES = {"one": 0.5, "two": 0.3, "two-ttl-0": 0.2}
SEED = int(os.environ.get("RFS_HISTORY_SEED", "1"))
CLIENTS, OPERATIONS, TAGS, IMAGES = 4, 50, ("a", "b", "c"), 6
TTL = 1
# Where a tag was found absent, or was begun here, a mount looks again after 2 s at
# the earliest; and the time of a look-up on a busy machine.
SLACK = 3.0
# ENOENT, EEXIST: another client has removed the tag at which this one writes.
UNKNOWN = {errno.ENOENT, errno.EEXIST, errno.EIO, errno.ETIMEDOUT, errno.ECONNREFUSED, errno.EBUSY,
           errno.EREMOTEIO, errno.EINTR}
FAULTS = ({"drop": "rst"}, {"drop": "fin"}, {"status": 503}, {"status": 500},
          {"status": 500, "after": True}, {"status": 503, "after": True},
          {"delay": 0.15}, {"cut": {"at": 20}}, {"status": 502, "html": True},
          {"method": "PUT", "drop": "rst"}, {"method": "PUT", "status": 502},
          {"method": "PUT", "status": 500, "after": True}, {"method": "PUT", "delay": 0.2},
          {"method": "DELETE", "status": 500, "after": True},
          {"status": 429, "headers": {"Retry-After": "0"}})


class Run:
    """One history in one repository."""

    def __init__(self, emu, mounts, images, repo, seed):
        self.emu, self.mounts, self.images, self.repo = emu, mounts, images, repo
        self.seed, self.dice = seed, random.Random(seed)
        self.events, self.lock, self.left = [], threading.Lock(), OPERATIONS
        self.broken, self.begun = [], set()
        self.firsts = {}
        for image in images:
            image.fill(emu, repo, "none")
        emu.call("delete", repo=repo, ref="none")
        for tag in TAGS:
            first = self.dice.choice([None, *images])
            self.firsts[tag] = first.digest if first else None
            if first:
                emu.call("tag", repo=repo, tag=tag, digest=first.digest)
        self.began = time.monotonic()

    def now(self):
        return time.monotonic() - self.began

    def add(self, *args):
        with self.lock:
            self.events.append(Event(*args))

    def take(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0

    # -- operations ----------------------------------------------------------------
    def client(self, number):
        mount, dice = number % len(self.mounts), random.Random(self.seed * 100 + number)
        work = {"put": self.put, "delete": self.delete, "get": self.get,
                "list": self.list, "digest": self.digest}
        try:
            while self.take():
                kind = dice.choices(list(work), (30, 10, 45, 10, 5))[0]
                work[kind](mount, number, dice.choice(TAGS), dice)
                time.sleep(dice.choice((0, 0, 0.01, 0.05)))
        except (OSError, AssertionError, ValueError) as e:
            self.broken.append(f"client {number}: {e!r}")

    def top(self, mount, tag):
        return self.mounts[mount] / self.repo / "_tags" / tag

    def put(self, mount, number, tag, dice):
        image = dice.choice(self.images)
        top, start = self.top(mount, tag), self.now()
        self.begun.add((mount, tag))
        end = self.now if self.attempt(lambda: write(top, image)) else lambda: math.inf
        self.add(mount, "put", tag, image.digest, start, end(), number)

    def attempt(self, action):
        """False: it failed as it may, and nobody knows whether it happened."""
        try:
            action()
        except OSError as e:
            if e.errno not in UNKNOWN:
                raise
            return False
        return True

    def delete(self, mount, number, tag, dice):
        start = self.now()
        try:
            os.rmdir(self.top(mount, tag))
        except FileNotFoundError:
            self.add(mount, "get", tag, None, start, self.now(), number)
        except OSError as e:
            if e.errno not in UNKNOWN:
                raise
            self.add(mount, "delete", tag, None, start, math.inf, number)
        else:
            self.add(mount, "delete", tag, None, start, self.now(), number)

    def get(self, mount, number, tag, dice):
        start = self.now()
        try:
            value = os.getxattr(self.top(mount, tag), "user.oci.digest").decode()
        except FileNotFoundError:
            value = None
        except OSError as e:
            if e.errno == errno.ENODATA:        # made here, nothing published
                value = None
            elif e.errno in UNKNOWN:
                return
            else:
                raise
        self.add(mount, "get", tag, value, start, self.now(), number)

    def list(self, mount, number, tag, dice):
        start = self.now()
        try:
            names = os.listdir(self.top(mount, "x").parent)
        except OSError as e:
            if e.errno not in UNKNOWN:
                raise
            return
        end = self.now()
        for name in TAGS:
            if name not in names:
                self.add(mount, "get", name, None, start, end, number)
            elif (mount, name) not in self.begun:   # else it may not be published
                self.add(mount, "get", name, SOME, start, end, number)

    def digest(self, mount, number, tag, dice):
        """What a digest names is that, whatever the tags do."""
        image = dice.choice(self.images)
        path = self.mounts[mount] / self.repo / "_manifests" / image.digest
        data = []
        if self.attempt(lambda: data.append(read_file(path / "manifest.json"))):
            assert sha256(data[0]) == image.digest

    # -- the run -------------------------------------------------------------------
    def weather(self, over):
        while not over.is_set():
            self.emu.fault(path=f"/{self.repo}/", nth=self.dice.randrange(1, 5),
                           count=self.dice.randrange(1, 3), **self.dice.choice(FAULTS))
            over.wait(self.dice.uniform(0.02, 0.1))

    def go(self):
        over = threading.Event()
        threads = [threading.Thread(target=self.client, args=(i,)) for i in range(CLIENTS)]
        weather = threading.Thread(target=self.weather, args=(over,))
        for t in (*threads, weather):
            t.start()
        for t in threads:
            t.join(120)
        over.set()
        weather.join(10)
        self.emu.clear_faults()
        assert not any(t.is_alive() for t in threads), "a call hung"
        self.truth()
        assert not self.broken, f"seed {self.seed}: {self.broken}"
        return self.events

    def requests(self):
        """Those that wrote, as the registry saw them."""
        rows = [e for e in self.emu.log(path=f"/{self.repo}/manifests/")
                if e["method"] in ("PUT", "DELETE")]
        return "\n" + "\n".join(f"{e['method']} {e['target']} {e['status']} {e}"[:300]
                                for e in rows)

    def truth(self):
        """What the registry itself has in the end."""
        for tag in TAGS:
            start = self.now()
            try:
                value = sha256(get(self.emu, f"/v2/{self.repo}/manifests/{tag}"))
            except OSError:
                value = None
            self.add(-1, "get", tag, value, start, self.now(), -1)


def write(top, image):
    """index.json, of which the repository has all: its close is the manifest's
    PUT.  Who fails removes what is left of it, though another may be writing it."""
    os.makedirs(top, exist_ok=True)
    fd = os.open(top / "index.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        try:
            os.write(fd, read_file(image.folder / "index.json"))
        finally:
            os.close(fd)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(top / "index.json")
        raise


@pytest.fixture
def setting(emulator, mount, tmp_path):
    """setting(mounts) -> (emulator, mounts, images)"""
    def go(count, **options):
        emu = emulator("distribution3", "delete=true")
        images = [build(tmp_path / f"i{i}", [file("f", f"{i}") + END])
                  for i in range(IMAGES)]
        mounts = [mount(emu, allow_delete=True, timeout=2, retries=2, **options)
                  for _ in range(count)]
        made.extend(mounts)
        return emu, mounts, images

    made = []
    yield go
    for m in made:
        m.expect_exit = None            # 75: what failed is left
        m.process.terminate()           # and a second time: nobody waits for it
        m.process.terminate()


@pytest.mark.limit(60 + 20 * RUNS)
@pytest.mark.parametrize("name, mounts, options, ttl", [
    ("one", 1, {}, 0), ("two", 2, {"tag_ttl": TTL}, TTL + SLACK),
    ("two-ttl-0", 2, {"tag_ttl": 0}, SLACK)])
def test_histories(setting, name, mounts, options, ttl):
    emu, mounted, images = setting(mounts, **options)
    known = unknown = 0
    runs = max(1, round(RUNS * SHARES[name]))
    for n in range(runs):
        run = Run(emu, mounted, images, f"h{n}", SEED + n)
        events = run.go()
        wrong = check(events, run.firsts, ttl)
        assert not wrong, f"seed {run.seed}:\n" + "\n".join(wrong) + run.requests()
        unknown += sum(e.end == math.inf for e in events)
        known += len(events)
    print(f"{runs} histories of {mounts} mounts: {known} events, {unknown} of them "
          f"indeterminate")


def test_begun_here(emulator, mount, tmp_path):
    """A directory that was made here and not published shows what another client
    publishes under its name; while nobody can be asked it stays as it is."""
    emu = emulator("distribution3")
    image = build(tmp_path / "image", [file("f", "1") + END])
    image.fill(emu, "a", "1")
    m = mount(emu, tag_ttl=1, timeout=1, retries=1)
    top = m / "a/_tags/x"
    os.mkdir(top)
    assert os.listdir(top) == []
    emu.fault(path="/manifests/x", count=0, status=503)
    wait_until(lambda: os.listdir(top) == [] and emu.hits()[0], 8, "it was asked for")
    assert os.listdir(top) == []
    (top / ".tmp").write_bytes(b"goes on")
    emu.clear_faults()
    emu.call("tag", repo="a", tag="x", digest=image.digest)
    wait_until(lambda: "index.json" in os.listdir(top), 8, "the other's image")
    assert os.getxattr(top, "user.oci.digest").decode() == image.digest
    assert read_file(top / ".tmp") == b"goes on"


# -- the checker can fail ----------------------------------------------------------------

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def events(*rows):
    return [Event(m, kind, "t", value, start, end) for m, kind, value, start, end in rows]


@pytest.mark.parametrize("rows, good", [
    ([(0, "put", A, 0, 1), (0, "get", A, 2, 3)], True),
    ([(0, "put", A, 0, 1), (0, "get", None, 2, 3)], False),          # lost
    ([(0, "put", A, 0, 5), (0, "get", None, 2, 3)], True),           # not yet
    ([(0, "put", A, 0, 5), (0, "get", A, 1, 2), (0, "get", None, 3, 4)], False),
    ([(0, "put", A, 0, 1), (0, "put", B, 2, 3), (0, "get", A, 4, 5)], False),   # stale
    ([(0, "put", A, 0, 3), (0, "put", B, 1, 3), (0, "get", A, 4, 5)], True),
    ([(0, "put", A, 0, 3), (0, "put", B, 1, 3), (0, "get", A, 4, 5),
      (0, "get", B, 6, 7)], False),                                  # both orders
    ([(0, "put", A, 0, math.inf), (0, "get", None, 1, 2), (0, "get", A, 8, 9)], True),
    ([(0, "put", A, 0, math.inf), (0, "get", A, 1, 2), (0, "get", None, 8, 9)], False),
    ([(0, "get", B, 0, 1)], False),                                  # out of nothing
    ([(0, "put", A, 0, 1), (0, "delete", None, 2, 3), (0, "get", A, 4, 5)], False),
    ([(0, "put", A, 0, 1), (0, "get", SOME, 2, 3), (0, "delete", None, 4, 5),
      (0, "get", SOME, 6, 7)], False)])
def test_checker(rows, good):
    assert (check(events(*rows), {"t": None}) == []) == good


def test_checker_with_a_ttl():
    """Old for so long, and no longer; what a mount wrote itself never."""
    rows = [(0, "put", A, 0, 1), (1, "get", None, 1.5, 1.6)]
    assert check(events(*rows), {"t": None}, 1) == []
    assert check(events(*rows), {"t": None}, 0.3)
    rows = [(0, "put", A, 0, 1), (0, "get", None, 1.5, 1.6)]
    assert "own write" in check(events(*rows), {"t": None}, 1)[0]


def test_planted(setting):
    """A put that is acknowledged and never happens is found."""
    emu, mounted, images = setting(1)
    for n in range(20):
        emu.clear_faults()
        run = Run(emu, mounted, images, f"p{n}", SEED + n)
        real, lost = run.put, []

        def put(mount, number, tag, dice):
            if lost or number != 0:
                return real(mount, number, tag, dice)
            lost.append(tag)
            start = run.now()
            run.add(mount, "put", tag, dice.choice(images).digest, start, run.now(), number)

        run.put = put
        run.weather = lambda over: None
        if check(run.go(), run.firsts):
            return
    raise AssertionError("a lost put was never noticed")
