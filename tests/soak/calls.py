# SPDX-License-Identifier: Apache-2.0
"""System calls on the cache's files that fail, one by one: an error, half the
work, or the process' death (kill -9 at each step).

The mount goes on (it may refuse to write, if its journal was hit); the next
mount of the same cache does everything, and has what was acknowledged.
"""
import errno
import random

from torture import GRACE, Plan, Torture
from world import HONEST, Died, Finding, Judge

ERROR, SHORT, KILL = 0, 1, 2
# As in diskcall.c: its errors, and whether a call may be cut short.
KINDS = {
    1: ("open", (errno.EMFILE, errno.EIO, errno.ENOSPC)),
    2: ("read", (errno.EIO, errno.EINTR)),
    3: ("write", (errno.ENOSPC, errno.EIO, errno.EINTR)),
    4: ("sync", (errno.EIO, errno.ENOSPC)),
    5: ("truncate", (errno.EIO, errno.ENOSPC)),
    6: ("allocate", (errno.ENOSPC, errno.EOPNOTSUPP, errno.EINTR)),
    7: ("rename", (errno.EIO, errno.ENOSPC)),
    8: ("unlink", (errno.EIO,)),
    9: ("mkdir", (errno.ENOSPC, errno.EIO)),
    10: ("stat", (errno.EIO,)),
}
READ_WRITE = (2, 3)


class Calls(Torture):
    def __init__(self, world, part):
        super().__init__(world, part, "diskcall", all_callers=True)

    def is_silent(self, plan):
        """A call that only has to be made again: nobody notices."""
        return plan.action == SHORT or plan.error == errno.EINTR

    def use(self, m, tag, plan):
        judge = Judge(set() if self.is_silent(plan) else HONEST,
                      ending=m if plan.action == KILL else None)
        counts = {}
        try:
            self.world.scenario(m, judge, tag)
            if self.control.failed:
                self.control.off()
                self.afterwards(m, tag, judge)
            m.unmount()
        except Died:
            counts["killed"] = 1
            m.kill()
        if plan.action == KILL and m.process.returncode == -9:
            counts["killed"] = 1
        else:
            m.check(codes=(0, 75) if judge.errors else (0,))
        self.control.off()
        if not self.control.failed:
            counts["not reached"] = 1
        self.next_mount(m, tag, judge)
        return {**counts, **{f"calls failed {e}": 1 for _, e in judge.errors}}

    def afterwards(self, m, tag, judge):
        """In the same mount; a journal that failed stays shut, and a directory that
        there was no room for is not made later."""
        known = {errno.EROFS} if judge.errors or self.is_shut(m) else set()
        if "cannot be used: No space" in m.log():
            known.add(errno.ENOSPC)
        again = Judge(known, GRACE)
        self.world.scenario(m, again, tag + "b")
        judge.acknowledged |= again.acknowledged
        judge.forgotten |= again.forgotten
        judge.errors += again.errors

    def is_shut(self, m):
        return "nothing can be written" in m.log() or "journal" in m.log()

    def refused(self, m):
        if self.control.failed and m.process.returncode == -9:
            self.control.off()
            self.next_mount(m, m.folder.name, Judge())
            return {"killed": 1}
        return super().refused(m)

    def next_mount(self, m, tag, judge):
        after = self.world.daemon(m.folder)
        try:
            if not after.up:
                raise Finding(f"the next mount does not start:\n{after.log()[-3000:]}")
            self.world.check_kept(after, judge)
            strict = Judge(set(), GRACE)
            self.world.tidy(after, strict, tag)
            self.world.tidy(after, strict, tag + "b")
            self.world.scenario(after, strict, tag + "c")
            after.unmount()
            after.check()
        finally:
            after.destroy()


def call_plans(places, dice, kill):
    """Every kind of error at each place, first and last, then on; then between."""
    first, last, rest = [], [], []
    for key, place in places.items():
        _, errors = KINDS[place.kind]
        hows = [(e, False, ERROR) for e in errors]
        hows += [(e, True, ERROR) for e in errors[:2] if e != errno.EINTR]
        if place.kind in READ_WRITE:
            hows.append((0, False, SHORT))
        if kill:
            hows = [(0, False, KILL)]
        for how in hows:
            first.append(Plan(key, 1, *how))
            if place.count > 1:
                last.append(Plan(key, place.count, *how))
            rest += [Plan(key, n, *how) for n in range(2, place.count)]
    for plans in (first, last, rest):
        dice.shuffle(plans)
    return first + last + rest


def failing_calls(world, part, seed, limit=None):
    calls = Calls(world, part)
    calls.learn()
    calls.sweep(call_plans(calls.places, random.Random(seed), False)[:limit])


def killing_calls(world, part, seed, limit=None):
    """kill -9 at each call that touches the cache."""
    calls = Calls(world, part)
    calls.learn()
    calls.sweep(call_plans(calls.places, random.Random(seed), True)[:limit])
