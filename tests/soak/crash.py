# SPDX-License-Identifier: Apache-2.0
"""kill -9 at every request and at any time; and what happens to the cache's files
and its disk behind the daemon's back."""
import errno
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

from torture import GRACE
from world import (HONEST, Died, Finding, Judge, mounting, named, pending, put,
                   run)

HOLDS = ({"delay": 2}, {"stall": {"at": 50, "seconds": 2}},
         {"trickle": {"bytes": 2000, "every": 0.02}})


# How long a damaged index is remembered to be one.
DAMAGE_S = 8


# -- kill -9 -------------------------------------------------------------------

class Killer(threading.Thread):
    """Kills the daemon when the emulator's rule hits, or when time is up."""

    def __init__(self, world, m, after=None):
        super().__init__(daemon=True)
        self.world, self.m, self.after = world, m, after
        self.over = threading.Event()

    def run(self):
        if self.after is not None:
            self.over.wait(self.after)
        else:
            while not self.over.is_set() and not any(self.world.emu.hits()):
                self.over.wait(0.01)
        if not self.over.is_set():
            self.m.process.send_signal(signal.SIGKILL)


def next_mount(world, folder, tag, judge):
    """A mount of what is left: all that was acknowledged, and all can be done."""
    m = world.daemon(folder)
    try:
        if not m.up:
            raise Finding(f"the next mount does not start:\n{m.log()[-3000:]}")
        world.check_kept(m, judge)
        strict = Judge(set(), GRACE)
        world.tidy(m, strict, tag)
        world.scenario(m, strict, tag + "c")
        m.unmount()
        m.check()
    finally:
        m.destroy()


def kill_once(world, nth, hold, after):
    folder = world.next_folder()
    tag = folder.name
    m = world.daemon(folder)
    judge, counts = Judge(ending=m), {"left in time": 1}
    if nth:
        world.emu.fault(nth=nth, **hold)
    killer = Killer(world, m, after)
    killer.start()
    try:
        world.scenario(m, judge, tag)
        killer.over.set()
        killer.join()
        m.kill()
    except Died:
        counts = {"killed": 1}
    finally:
        killer.over.set()
        killer.join()
        world.emu.clear_faults()
        m.kill()
        m.destroy()
    next_mount(world, folder, tag, judge)
    return counts


def kills(world, part, seed, limit=None):
    """At each request, in each way; then at random times."""
    dice = random.Random(seed)
    m = world.daemon()
    mark, start = world.emu.mark(), time.monotonic()
    world.scenario(m, Judge(set()), "base")
    typical, requests = time.monotonic() - start, world.emu.mark() - mark
    world.tidy(m, Judge(set()), "base")
    m.unmount()
    m.destroy()
    part.counts["requests"] = requests
    plans = [(n, hold, None) for n in range(1, requests + 1) for hold in HOLDS]
    dice.shuffle(plans)
    while part.goes_on(limit):
        plan = plans.pop() if plans and part.cycles % 3 else \
            (None, None, dice.uniform(0, 1.1 * typical))
        part.cycle(f"killed: request {plan[0]} held by {plan[1]}, or after {plan[2]} s",
                   kill_once, world, *plan)


# -- damage --------------------------------------------------------------------

def flip(path, dice):
    """Some bytes are changed; where matters more than how many."""
    size = path.stat().st_size
    for _ in range(dice.choice((1, 1, 3, 40))):
        at = min(int(size * dice.random() ** dice.choice((1, 4))), size - 1)
        with open(path, "r+b") as f:
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ (1 << dice.randrange(8))]))


def zero(path, dice):
    size = path.stat().st_size
    with open(path, "r+b") as f:
        f.seek(dice.randrange(size) & ~4095)
        f.write(bytes(min(4096, size)))


def cut(path, dice):
    os.truncate(path, dice.randrange(path.stat().st_size))


def foreign(path, dice):
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE blob(a TEXT)")
    path.chmod(0o600)


DAMAGES = (flip, flip, flip, zero, cut, foreign)


class Damaged:
    """One used cache with pending images, of which copies are spoilt."""

    def __init__(self, world):
        self.world = world
        self.judge = Judge(set())
        self.caches = []
        mounts = [(end, self.used(end)) for end in ("unmount", "kill")]
        # What is to be on the disk has been saved by then.
        time.sleep(2.2)
        for end, m in mounts:
            getattr(m, end)()
            m.destroy()
            self.caches.append((end, m.folder / "cache"))

    def used(self, end):
        m = self.world.daemon()
        self.world.scenario(m, self.judge, m.folder.name)
        for i in range(5):
            self.pend(m, f"late/{end}{i}")
        return m

    def pend(self, m, repo):
        image, tag = self.world.image, m / repo / "_tags/1"
        os.makedirs(tag / "blobs/sha256")
        put(tag / "blobs/sha256" / image.digest[7:], image.data(image.digest))
        put(tag / "index.json", (image.folder / "index.json").read_bytes())

    def run(self, dice):
        end, cache = dice.choice(self.caches)
        folder = self.world.next_folder()
        folder.mkdir()
        shutil.copytree(cache, folder / "cache")
        files = sorted(p for p in (folder / "cache").rglob("*")
                       if p.is_file() and p.stat().st_size > 0 and p.name != "lock")
        databases = [p for p in files if p.parent.name in ("cache", "trees")]
        victim = dice.choice(databases if dice.random() < 0.85 else files)
        damage = dice.choice(DAMAGES)
        damage(victim, dice)
        spoilt = victim.read_bytes()
        try:
            return self.look(folder, victim, spoilt, end)
        except Finding as e:
            raise Finding(f"{damage.__name__} of {victim.name} after {end}: {e}") from e
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def look(self, folder, victim, spoilt, end):
        m = self.world.daemon(folder)
        try:
            if not m.up:
                raise Finding(f"does not start:\n{m.log()[-2000:]}")
            # A spoilt blob may be found out while it is read; never shown.
            # So may an index of a layer, which is made anew after some seconds.
            known = victim.parent.name in ("cache", "trees")
            judge = Judge(set() if known else {errno.EBADMSG, errno.EIO}, DAMAGE_S)
            self.world.read(m, judge, "")
            self.world.inside(m, judge, "")
            refused = "nothing can be written" in m.log()
            self.check_journal(m, victim, spoilt, refused, end)
            m.unmount()
            m.check(codes=(0, 75))
        finally:
            m.destroy()
        aside = any(p.name.startswith("meta.db.bad") for p in
                    (folder / "cache").iterdir())
        return {"survived": 1, "journals refused": refused, "databases set aside": aside}

    def check_journal(self, m, victim, spoilt, refused, end):
        """Pending as it was, or refused and left as it is.

        A log that ends early cannot be told from one that a crash cut."""
        if victim.name == "journal.db-wal":
            return
        if refused:
            if victim.name != "journal.db":
                raise Finding("a journal that nobody touched is refused")
            if victim.read_bytes() != spoilt:
                raise Finding("a refused journal was changed")
            return
        texts = pending(m)
        lost = [i for i in range(5) if not named(f"late/{end}{i}", texts)]
        # One that does not fit its sum stays where it is, and is told of.
        if lost and "is damaged: it is left alone" not in m.log():
            raise Finding(f"pending images {lost} are lost without a word\n{m.log()}")


def damages(world, part, seed, limit=None):
    dice = random.Random(seed)
    damaged = Damaged(world)
    while part.goes_on(limit):
        part.cycle(f"seed {seed} cycle {part.cycles}", damaged.run, dice)


# -- the disk ------------------------------------------------------------------

def small_disk(world, size):
    point = world.next_folder()
    point.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", point)
    return point


def disk_full(world, dice):
    """Reading goes on; writing is refused, with ENOSPC or EROFS, or done."""
    point = small_disk(world, f"{dice.randrange(150, 2500)}k")
    folder = world.next_folder()
    m = world.daemon(folder, cache_dir=point / "cache", cache_min_free="0")
    try:
        read_strictly(world, m)
        judge = Judge(HONEST)
        world.write(m, judge, folder.name)
        filler = point / "filler"
        fill(filler)
        read_strictly(world, m)
        world.write(m, judge, folder.name + "b")
        filler.unlink()
        m.unmount()
        m.check(codes=(0, 75))
        return {"full disks": 1, "writes refused": len(judge.errors)}
    finally:
        m.destroy()
        run("umount", "-l", point)


def fill(path):
    with open(path, "wb", buffering=0) as f:
        try:
            while True:
                f.write(bytes(65536))
        except OSError as e:
            if e.errno != errno.ENOSPC:
                raise


def read_strictly(world, m):
    if not m.up:
        raise Finding(f"does not start:\n{m.log()[-2000:]}")
    judge = Judge(set(), GRACE)
    world.look(m, judge, "")
    world.read(m, judge, "")
    world.inside(m, judge, "")


def disk_read_only(world, dice):
    """From the start, or later."""
    point = small_disk(world, "8m")
    folder = world.next_folder()
    late = dice.random() < 0.5
    if not late:
        run("mount", "-o", "remount,ro", point)
    m = world.daemon(folder, cache_dir=point / "cache")
    try:
        read_strictly(world, m)
        if late:
            # Files that are open for writing forbid it; nobody else is there.
            run("mount", "-o", "remount,ro", point, check=False)
            read_strictly(world, m)
        m.unmount()
        m.check(codes=(0, 75))
        return {"read-only disks": 1}
    finally:
        m.destroy()
        run("umount", "-l", point)


def disk_removed(world, dice):
    """The folder, or parts of it, vanish under the daemon."""
    folder = world.next_folder()
    m = world.daemon(folder)
    judge = Judge(HONEST)
    try:
        read_strictly(world, m)
        victims = [folder / "cache", *(folder / "cache").iterdir()]
        victim = dice.choice(victims)
        shutil.rmtree(victim) if victim.is_dir() else victim.unlink()
        read_strictly(world, m)
        world.write(m, judge, folder.name)
        time.sleep(dice.choice((0, 2.2)))       # the janitor looks as well
        read_strictly(world, m)
        m.unmount()
        m.check(codes=(0, 75))
        return {"removed": 1, "writes refused": len(judge.errors)}
    finally:
        m.destroy()


def two_daemons(world, dice):
    """The second is told who is there, and the first goes on; after a kill -9
    the next may."""
    folder = world.next_folder()
    m = world.daemon(folder)
    point = folder / "second"
    point.mkdir()
    try:
        words = [mounting.program(), "-f", "-o", mounting.option_text(m.options),
                 m.source, str(point)]
        done = subprocess.run(words, env=m.env, capture_output=True, text=True,
                              timeout=30)
        if done.returncode != 2 or str(m.process.pid) not in done.stderr:
            raise Finding(f"a second daemon: {done.returncode} {done.stderr}")
        read_strictly(world, m)
        m.kill()
    finally:
        m.destroy()
    next_mount(world, folder, folder.name, Judge())
    return {"second daemons": 1}


DISKS = (disk_full, disk_read_only, disk_removed, two_daemons)


def disks(world, part, seed, limit=None):
    dice = random.Random(seed)
    while part.goes_on(limit):
        scene = DISKS[part.cycles % len(DISKS)]
        part.cycle(f"{scene.__name__}, cycle {part.cycles}", scene, world, dice)
