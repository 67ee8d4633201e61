# SPDX-License-Identifier: Apache-2.0
"""Histories of operations on tags, and a checker in the manner of Jepsen.

A tag is a register: put writes a digest, delete writes None, get reads, list
reads whether there is one.  Tags are independent, so each is checked by itself,
by the search of Wing and Gong: is there an order of the operations, each at one
moment between its call and its return, in which every read has what was written
last?  Those that failed may have happened at any later time, or not."""
import math
from dataclasses import dataclass, replace

SOME = "some"                           # what a list knows of a tag that is there
MAX_STATES = 400_000


class TooHard(Exception):
    """More orders than are worth looking at."""


@dataclass(frozen=True)
class Event:
    mount: int
    kind: str                           # put, delete, get
    tag: str
    value: object                       # written, or read
    start: float
    end: float                          # math.inf: failed, may be never
    client: int = 0

    @property
    def writes(self):
        return self.kind != "get"

    def __str__(self):
        end = "?" if self.end == math.inf else f"{self.end:.3f}"
        value = self.value[7:15] if self.value and ":" in self.value else self.value
        return f"{self.start:8.3f}–{end:>8} m{self.mount} c{self.client} " \
               f"{self.kind:6} {self.tag} {value}"


def fits(event, state):
    return state is not None if event.value == SOME else state == event.value


def linearizable(events, first=None):
    """events: of one tag; first: its value at the beginning."""
    events = sorted(events, key=lambda e: e.start)
    must = sum(1 << i for i, e in enumerate(events) if e.end != math.inf)
    stack, seen = [(0, first)], {(0, first)}
    while stack:
        done, state = stack.pop()
        if done & must == must:
            return True
        # Nothing may go before what had ended when it was called.
        horizon = min(e.end for i, e in enumerate(events) if not done >> i & 1)
        for i, e in enumerate(events):
            if done >> i & 1 or e.start > horizon:
                continue
            if not e.writes and not fits(e, state):
                continue
            after = (done | 1 << i, e.value if e.writes else state)
            if after not in seen:
                seen.add(after)
                stack.append(after)
        if len(seen) > MAX_STATES:
            raise TooHard(f"{len(events)} operations")
    return False


def own_writes_seen(events, lag):
    """What a mount has written it sees after lag at the latest, if nobody else
    writes meanwhile: the reads of which that is not true."""
    wrong = []
    for read in (e for e in events if not e.writes):
        before = [w for w in events if w.writes and w.start < read.end]
        if not before:
            continue
        last = max(before, key=lambda w: w.start)
        alone = all(w is last or w.end < last.start for w in before)
        if alone and last.mount == read.mount and last.end + lag < read.start and \
                not fits(read, last.value):
            wrong.append(read)
    return wrong


def check(events, firsts, ttl=0, lag=0):
    """A list of what is wrong, in words.  ttl: how old what a mount reads may be
    that others have written, lag: what itself has."""
    wrong = []
    for tag, first in firsts.items():
        mine = [e for e in events if e.tag == tag]
        loose = [e if e.writes or not ttl else replace(e, start=e.start - ttl)
                 for e in mine]
        text = "\n".join(map(str, sorted(mine, key=lambda e: e.start)))
        if not linearizable(loose, first):
            wrong.append(f"{tag} (at first {first}) is not linearizable:\n{text}")
        wrong += [f"{tag}: its own write is not seen by {read}\n{text}"
                  for read in own_writes_seen(mine, lag)]
    return wrong
