# SPDX-License-Identifier: Apache-2.0
"""What a run found: rows for the table, and each finding in full; and the same as
JSON, for tests/proof-table.py."""
import json
import os
import time
import traceback
from collections import Counter

from world import Finding


class Part:
    """One row of the table, while it is being filled."""

    def __init__(self, name, minutes, verbose=True):
        self.name = name
        self.verbose = verbose
        self.started = time.monotonic()
        self.until = self.started + 60 * minutes
        self.ended = None
        self.cycles = 0
        self.counts = Counter()         # what happened how often
        self.facts = {}                 # what was measured; not a count
        self.findings = []

    def time_left(self):
        return self.until - time.monotonic()

    def goes_on(self, limit=None):
        """Once, however long the preparations took; then while there is time."""
        return not self.cycles or (self.time_left() > 0
                                   and (limit is None or self.cycles < limit))

    def cycle(self, what, function, *args):
        """One more; what: its name, or a function that gives it."""
        self.cycles += 1
        self.guard(what, function, *args)

    def guard(self, what, function, *args):
        """Whatever is wrong becomes a finding."""
        try:
            self.counts.update(function(*args) or {})
        except Exception as e:
            kind = "" if isinstance(e, Finding) else traceback.format_exc()
            what = what() if callable(what) else what
            self.findings.append(f"{self.name}: {what}\n{e}\n{kind}")
            if self.verbose:
                print(f"FINDING {self.findings[-1]}", flush=True)

    def seconds(self):
        return (self.ended or time.monotonic()) - self.started

    def row(self):
        words = [f"{n} {k}" for k, n in sorted(self.counts.items())]
        words += [f"{k} {v}" for k, v in sorted(self.facts.items())]
        return (self.name, str(self.cycles), f"{self.seconds():.0f}",
                str(len(self.findings)), ", ".join(words))

    def record(self, seed):
        return {"seed": seed, "seconds": round(self.seconds()), "cycles": self.cycles,
                "findings": len(self.findings), "counts": dict(self.counts),
                "facts": self.facts}


HEADER = ("part", "cycles", "seconds", "findings", "what happened")


def table(parts):
    rows = [HEADER, *(p.row() for p in parts)]
    widths = [max(len(r[i]) for r in rows) for i in range(4)]
    lines = ["  ".join([r[0].ljust(widths[0]),
                        *(r[i].rjust(widths[i]) for i in (1, 2, 3)), r[4]])
             for r in rows]
    return "\n".join(lines) + "\n"


def write(path, parts, head):
    """The table and the findings beneath it, whole or not at all."""
    text = head + "\n\n" + table(parts)
    for part in parts:
        for finding in part.findings:
            text += "\n" + finding
    replace(path, text)


def write_json(path, parts, seed):
    """{part: its record}, of those that did something."""
    replace(path, json.dumps({p.name: p.record(seed) for p in parts if p.cycles},
                             indent=1, sort_keys=True) + "\n")


def replace(path, text):
    temporary = f"{path}.new"
    with open(temporary, "w") as f:
        f.write(text)
    os.replace(temporary, path)
