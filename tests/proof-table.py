#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""CONTRIBUTING's table of what the proof of robustness has run.

    tests/proof-table.py                   print it
    tests/proof-table.py --check           CONTRIBUTING has just this one, else 1
    tests/proof-table.py --write           put it there
    tests/proof-table.py --add RUN...      first take over the records of RUN

tests/proof.json holds one record of each part of `make soak`, its last long run,
and one of the coverage.  RUN is what soak.py --json or contrib/coverage.sh --json
wrote; its records take the place of older ones.  A part without a record, a figure
that a record lacks, and a run that found something are errors.
"""
import argparse
import json
import sys
from pathlib import Path

import docblock
from docblock import Missing

TOP = Path(__file__).resolve().parents[1]
PAGE, RECORDS = TOP / "CONTRIBUTING.md", TOP / "tests/proof.json"
HEADS = ("part", "what is done", "figures", "minutes", "seed")
WORKS = ("read", "inside", "stack", "write", "about")


class Record:
    """One part's; what is asked for must be there."""

    def __init__(self, part, values):
        self.part, self.values = part, values

    def at(self, *path):
        value = self.values
        for name in path:
            if name not in value:
                raise Missing(f"{self.part}: no {' '.join(path)}")
            value = value[name]
        return value

    def count(self, name):
        return f"{self.at('counts', name):,}"

    def cycles(self):
        return f"{self.at('cycles'):,}"


def places(r):
    return f"{r.cycles()} failures at {r.count('places')} places"


def unit(r):
    return f"{places(r)} of {r.count('programs')} programs"


def flat(r, name, unit=1):
    first, last, most = (r.at("facts", name, x) // unit for x in ("first", "last", "most"))
    return f"{first} → {last} (most {most})"


def load(r):
    calls = sum(r.at("counts", f"{work} done") for work in WORKS)
    return (f"{calls:,} pieces of work, {r.count('faults')} faults; MiB resident "
            f"{flat(r, 'rss_kib', 1024)}, open files {flat(r, 'files')}, threads "
            f"{flat(r, 'threads')}, nodes {flat(r, 'nodes')}")


def share(r, kind):
    done, of = r.at(kind, "done"), r.at(kind, "of")
    return f"{100 * done / of:.1f} % of {of:,} {kind}"


ROWS = {
    "alloc": ("each allocation of the program fails", places),
    "liballoc": ("each allocation of its libraries, too", places),
    "unit": ("each allocation beneath the unit programs fails", unit),
    "syscall": ("each system call on the cache fails, once and from then on", places),
    "killcall": ("kill -9 at each system call on the cache",
                 lambda r: f"{r.cycles()} kills at {r.count('places')} places"),
    "kill": ("kill -9 at each request, and at any time",
             lambda r: f"{r.cycles()} kills over {r.count('requests')} requests"),
    "power": ("power loss: what was not synced is dropped",
              lambda r: f"{r.cycles()} states among "
                        f"{r.count('changes of the disk')} changes"),
    "damage": ("databases, indexes and blobs are damaged",
               lambda r: f"{r.cycles()} mutations"),
    "disk": ("the disk is full, read-only, gone; two daemons",
             lambda r: f"{r.cycles()} scenes"),
    "trees": ("random layers, merged as a model says",
              lambda r: f"{r.cycles()} stacks, {r.count('names')} names"),
    "fuzz": ("the parsers' fuzzers",
             lambda r: f"{r.count('inputs tried')} inputs, {r.cycles()} harnesses"),
    "valgrind": ("memcheck",
                 lambda r: f"{r.count('unit programs')} unit programs, a mount"),
    "load": ("everything at once; first and last quarter", load),
    "coverage": ("what the tests execute",
                 lambda r: f"{share(r, 'lines')}, {share(r, 'branches')}, by "
                           f"{r.at('tests')}"),
}


def row(part, values):
    what, figures = ROWS[part]
    r = Record(part, values)
    if values.get("findings"):
        raise Missing(f"{part}: {values['findings']} findings: mend them first")
    minutes = f"{r.at('seconds') / 60:.0f}" if "seconds" in values else "–"
    return part, what, figures(r), minutes, str(values.get("seed", "–"))


def table(records):
    missing = [p for p in ROWS if p not in records]
    if missing:
        raise Missing(f"no record of {', '.join(missing)}")
    return docblock.table(HEADS, (row(part, records[part]) for part in ROWS))


def added(records, runs):
    for path in runs:
        run = json.loads(path.read_text())
        unknown = set(run) - set(ROWS)
        if unknown:
            raise Missing(f"{path}: of what is {', '.join(unknown)}?")
        records = {**records, **run}
    return records


def current(options):
    records = json.loads(options.records.read_text()) \
        if options.records.exists() else {}
    if options.add:
        records = added(records, options.add)
        options.records.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n")
    return table(records)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--add", type=Path, nargs="+", default=[], metavar="RUN")
    parser.add_argument("--records", type=Path, default=RECORDS)
    docblock.add_options(parser, PAGE)
    options = parser.parse_args()
    return docblock.serve("proof", lambda: current(options), options)


if __name__ == "__main__":
    sys.exit(main())
