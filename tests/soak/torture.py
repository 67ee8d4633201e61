# SPDX-License-Identifier: Apache-2.0
"""Allocations and system calls that fail, one by one.

A run without a failure tells all places that are reached and how often.  Then
each run has one fail, once or from then on; afterwards the cause goes away, and
the same mount must do everything again.  The next mount of its cache, too.
"""
import random
import signal
import subprocess
from collections import namedtuple
from functools import partial

from control import Control, Place, functions, offsets, symbols
from world import Died, Finding, Judge, mounting, settled

# Which call fails: the nth of a place, and how.
Plan = namedtuple("Plan", "key nth error sticky action", defaults=(0, False, 0))
ALL = {"all_callers": True}
# What failed is remembered for a second, lest everybody tries again at once.
GRACE = 3


class Torture:
    def __init__(self, world, part, name, **mode):
        self.world, self.part, self.mode = world, part, mode
        self.control = Control(name, world.folder)
        self.places, self.base = {}, None

    def learn(self):
        """The run in which nothing fails."""
        self.control.set(**self.mode)
        m = self.start(self.world.next_folder())
        if not m.up:
            raise Finding(f"does not start:\n{m.log()[-3000:]}")
        try:
            self.world.scenario(m, Judge(set()), f"{self.part.name}-base")
            self.control.off()
            self.world.scenario(m, Judge(set()), f"{self.part.name}-again")
            self.base = m.descriptors()
            self.control.on()
            m.unmount()
            m.check()
        finally:
            m.destroy()
        self.places = self.control.places()
        if not self.places:
            raise Finding("nothing is counted: is the allocator the program's own?")
        self.part.counts["places"] = len(self.places)
        self.part.counts["calls"] = self.control.seen

    def start(self, folder):
        return self.world.daemon(folder, self.control.environment(
            SOAK_DIR=str(folder / "cache")))

    # -- one run -------------------------------------------------------------
    def run(self, plan):
        self.control.set(plan.key, plan.nth, plan.error, plan.sticky,
                         action=plan.action, **self.mode)
        folder = self.world.next_folder()
        tag = folder.name
        m = self.start(folder)
        try:
            return self.use(m, tag, plan) if m.up else self.refused(m)
        except Finding:
            if self.is_theirs(m, plan):
                return {"crashed in a library": 1}
            raise
        finally:
            self.control.off()
            m.destroy()

    def is_theirs(self, m, plan):
        """A crash by an allocation that no function of ours is near: OpenSSL 3.0
        follows NULL where it could not make a lock."""
        place = self.places.get(plan.key, Place())
        return m.process.returncode == -signal.SIGSEGV and not offsets(place.frames)

    def refused(self, m):
        """It does not start without what it needs, and says so."""
        if m.hung or m.process.returncode is None:
            raise Finding("neither mounted nor gone")
        m.check(codes=(1, 2, 32))
        if not m.log().strip():
            raise Finding("left without a word")
        return {"refused to start": 1}

    def use(self, m, tag, plan):
        """libfuse ends its session where it has no memory for a request."""
        judge = Judge(ending=m if self.mode.get("all_callers") else None)
        try:
            self.world.scenario(m, judge, tag)
        except Died:
            m.check(codes=(2,))
            if "the mount failed" not in m.log():
                raise Finding("the mount ended without a word") from None
            return {"ended by libfuse": 1}
        counts = {f"calls failed {name}": 1 for _, name in judge.errors}
        if self.control.failed:
            self.control.off()
            self.again(m, tag)
        m.unmount()
        self.control.off()
        if not self.control.failed:
            counts["not reached"] = 1
        m.check()
        return {**counts, "survived": 1}

    def again(self, m, tag):
        """What failed is there again: all must be right."""
        judge = Judge(set(), GRACE)
        self.world.tidy(m, judge, tag)
        self.world.scenario(m, judge, tag + "b")
        settled(m, self.base)

    def name(self, plan):
        place = self.places.get(plan.key, Place())
        return f"{plan}\nat {symbols(mounting.program(), place)}"

    def plans_in(self, wanted):
        """{function: the first failure in a place reached by way of it}"""
        known, found = functions(mounting.program(), self.places.values()), {}
        for key, place in sorted(self.places.items()):
            names = {known[o].split()[0] for o in offsets(place.frames)}
            found.update(dict.fromkeys(names & set(wanted), Plan(key, 1)))
        return found

    def sweep(self, plans):
        """As many as there is time for, in this order."""
        for plan in plans:
            if not self.part.goes_on():
                break
            self.part.cycle(partial(self.name, plan), self.run, plan)
        self.part.counts["planned"] += len(plans)


def allocation_plans(places, dice):
    """Each place once, then its last, then all from it on, then any in between."""
    keys = sorted(places)
    dice.shuffle(keys)
    plans = [Plan(k, 1) for k in keys]
    plans += [Plan(k, 1, 0, True) for k in keys]
    plans += [Plan(k, places[k].count) for k in keys if places[k].count > 1]
    rest = [Plan(k, n) for k in keys for n in range(2, places[k].count)]
    dice.shuffle(rest)
    return plans + rest


def own_allocator(program):
    """clang links its sanitizers' allocators into the program itself, before
    anything that is preloaded."""
    text = subprocess.run(["nm", "-D", "--defined-only", program], capture_output=True,
                          text=True, timeout=30).stdout
    return " malloc" in text


def plain_program():
    """One whose allocations can be made to fail, or None."""
    return mounting.program_that(lambda path: not own_allocator(path))


def allocations(world, part, seed, limit=None):
    torture = Torture(world, part, "failalloc")
    torture.learn()
    torture.sweep(allocation_plans(torture.places, random.Random(seed))[:limit])


def library_allocations(world, part, seed, limit=None):
    """Those of libcurl, libfuse, SQLite and all others as well."""
    torture = Torture(world, part, "failalloc", **ALL)
    torture.learn()
    torture.sweep(allocation_plans(torture.places, random.Random(seed))[:limit])
