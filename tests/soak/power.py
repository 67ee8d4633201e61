# SPDX-License-Identifier: Apache-2.0
"""Power loss.  One run of everything is written down, with what was
acknowledged when; then the disk is made again as it could be at any moment of
it, and mounted: no acknowledged image is lost, no wrong byte is shown."""
import errno
import os
import random
import shutil
import time
from collections import namedtuple

from control import Control
from disk import Disk, entries
from world import (HONEST, Finding, Judge, named, names, pending, put, read_file,
                   sha256, wait_until)

BLOBS = 5                               # of a mebibyte, in a cache of three
RECORD_S, CUTS = 15, 100                # how long it is; cuts in one pass of it
OFFLINE = HONEST | {errno.ENETDOWN, errno.ENETUNREACH, errno.ENOENT, errno.ENODATA}
# At `position` changes of the disk, this was begun or acknowledged.
Note = namedtuple("Note", "position repo what")


class Record:
    """The run that is written down."""

    def __init__(self, world, part, seconds):
        self.world, self.part = world, part
        self.control = Control("diskcall", world.folder)
        self.path = world.folder / "record"
        self.notes = []
        dice = random.Random(1)
        self.blobs = [dice.randbytes(1 << 20) for _ in range(BLOBS)]
        for data in self.blobs:
            world.emu.add_blob("big", data)
        self.control.set()
        folder = world.next_folder()
        self.cache = folder / "cache"
        m = world.daemon(folder, self.control.environment(
            SOAK_DIR=str(self.cache), SOAK_RECORD=str(self.path)), cache_size="3M")
        try:
            self.work(m, dice, seconds)
            m.unmount()
            m.check(codes=(75,))
        finally:
            m.destroy()
        self.changes = self.control.position
        part.counts["changes of the disk"] = self.changes

    def note(self, repo, what):
        self.notes.append(Note(self.control.position, repo, what))

    def work(self, m, dice, seconds):
        until = time.monotonic() + seconds
        n = 0
        while time.monotonic() < until:
            n += 1
            data = dice.choice(self.blobs)
            got = read_file(m / f"big/_blobs/{sha256(data)}")
            if got != data:
                raise Finding("a wrong blob without any fault")
            if n % 8 == 1:
                self.world.scenario(m, Judge(set()), f"p{n}")
            self.pend(m, f"late/w{n}")
            if n % 3 == 0:
                self.forget(m, f"late/w{dice.randrange(1, n)}")
            time.sleep(0.1)

    def pend(self, m, repo):
        image = self.world.image
        tag = m / repo / "_tags/1"
        os.makedirs(tag / "blobs/sha256")
        put(tag / "blobs/sha256" / image.digest[7:], image.data(image.digest))
        put(tag / "index.json", (image.folder / "index.json").read_bytes())
        self.note(repo, "acknowledged")

    def forget(self, m, repo):
        folder = m / ".registryfs/pending"
        for name in names(folder):
            if named(repo, [read_file(folder / name).decode()]):
                self.note(repo, "forget")
                os.unlink(folder / name)
                self.note(repo, "forgotten")

    # -- what must be true ---------------------------------------------------
    def expected(self, position):
        """(repositories that must be pending, those that must not)"""
        past = [n for n in self.notes if n.position <= position]

        def all_that(what):
            return {n.repo for n in past if n.what == what}
        return all_that("acknowledged") - all_that("forget"), all_that("forgotten")


class Loss:
    """One cut: the disk as it could be, and two mounts of it."""

    def __init__(self, record, dice):
        self.record, self.world, self.dice = record, record.world, dice

    def run(self, disk, position):
        folder = self.world.next_folder()
        (folder / "cache").mkdir(parents=True, mode=0o700)
        disk.make(folder / "cache", self.dice)
        counts = {}
        try:
            if self.dice.random() < 0.5:
                self.offline(folder)
                counts["offline mounts"] = 1
            self.online(folder, position)
            if any(p.name.startswith("meta.db.bad") for p in
                   (folder / "cache").iterdir()):
                counts["databases set aside"] = 1
        except Finding as e:
            raise Finding(f"{e}\n(at change {position})") from e
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return {**counts, "survived": 1}

    def offline(self, folder):
        """Only what is on the disk: right, or an error."""
        m = self.world.daemon(folder, offline=True, cache_size="3M")
        try:
            if not m.up:
                raise Finding(f"does not start:\n{m.log()[-2000:]}")
            judge = Judge(OFFLINE)
            for step in (self.world.read, self.world.inside, self.big):
                step(m, judge, "")
            m.unmount()
            m.check(codes=(0, 75))
        finally:
            m.destroy()

    def online(self, folder, position):
        m = self.world.daemon(folder, cache_size="3M")
        try:
            if not m.up:
                raise Finding(f"does not start:\n{m.log()[-2000:]}")
            judge = Judge(set())
            for step in (self.world.read, self.world.inside, self.big):
                step(m, judge, "")
            self.check_pending(m, position)
            m.unmount()
            m.check(codes=(0, 75))
        finally:
            m.destroy()

    def big(self, m, judge, tag):
        for data in self.record.blobs:
            judge.call("read big", read_file, m / f"big/_blobs/{sha256(data)}",
                       expect=data)

    def check_pending(self, m, position):
        must, gone = self.record.expected(position)
        texts = pending(m)
        lost = {r for r in must if not named(r, texts)}
        back = {r for r in gone if named(r, texts)}
        if lost or back:
            raise Finding(f"acknowledged and lost: {lost}; forgotten and back: {back}"
                          f"\n{m.log()[-1500:]}")
        if "nothing can be written" in m.log():
            raise Finding(f"the journal is refused:\n{m.log()[-1500:]}")
        # Their documents are there as well: what they lack can be told.
        last = self.world.image.layers[2]
        wait_until(lambda: all(last in t for t in pending(m)), 10,
                   "pending images say what is missing")


def power_loss(world, part, seed, limit=None):
    """Each pass does the whole record again, and stops at some of its changes."""
    record = Record(world, part, min(RECORD_S, part.time_left() / 3))
    dice = random.Random(seed)
    loss = Loss(record, dice)
    while part.goes_on(limit):
        disk = Disk()
        count = min(limit or CUTS, CUTS, record.changes)
        cuts = set(dice.sample(range(1, record.changes + 1), count))
        for position, entry in enumerate(entries(record.path), 1):
            disk.replay(entry)
            if position in cuts and part.goes_on():
                part.cycle(f"after change {position} of {record.changes}", loss.run,
                           disk, position)
