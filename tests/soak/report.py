# SPDX-License-Identifier: Apache-2.0
"""What a run found: rows for the table, and each finding in full."""
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
        self.findings = []

    def time_left(self):
        return self.until - time.monotonic()

    def cycle(self, what, function, *args):
        """One more; what: its name, or a function that gives it."""
        self.cycles += 1
        self.guard(what, function, *args)

    def guard(self, what, function, *args):
        """Whatever is wrong becomes a finding."""
        try:
            self.counts.update(function(*args) or {})
        except (Finding, AssertionError, OSError, RuntimeError, KeyError) as e:
            kind = "" if isinstance(e, Finding) else traceback.format_exc()
            what = what() if callable(what) else what
            self.findings.append(f"{self.name}: {what}\n{e}\n{kind}")
            if self.verbose:
                print(f"FINDING {self.findings[-1]}", flush=True)

    def row(self):
        seconds = (self.ended or time.monotonic()) - self.started
        facts = ", ".join(f"{n} {k}" for k, n in sorted(self.counts.items()))
        return (self.name, str(self.cycles), f"{seconds:.0f}", str(len(self.findings)),
                facts)


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
    temporary = f"{path}.new"
    with open(temporary, "w") as f:
        f.write(text)
    os.replace(temporary, path)
