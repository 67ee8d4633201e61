#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""README's table and plot of a run of the benchmarks.

    tests/bench/table.py               print the table
    tests/bench/table.py --check       README and the plot are just those, else 1
    tests/bench/table.py --write       put them there
    tests/bench/table.py --take RUN    first keep RUN, which bench.py --json wrote

What was run is kept as tests/bench/reference.json, the plot is reference.svg
beside it.
"""
import argparse
import json
import statistics
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

import docblock  # noqa: E402
import plot  # noqa: E402
from rows import Row  # noqa: E402

README = HERE.parents[1] / "README.md"
RECORD, PLOT = HERE / "reference.json", HERE / "reference.svg"
HEADS = ("what", "takes", "against", "times as fast", "goal")
STEPS = ((1e-3, 1e6, "µs"), (1, 1e3, "ms"), (float("inf"), 1, "s"))


def took(row):
    """The median, to two digits: other machines have others."""
    middle = statistics.median(row.ours)
    if row.unit == "1/s":
        return f"{float(f'{middle:.2g}'):,.0f}/s"
    _, by, unit = next(s for s in STEPS if middle < s[0])
    return f"{float(f'{middle * by:.2g}'):g} {unit}"


def lines(row):
    name, time = row.name, took(row)
    for peer in row.peers:
        ratio, goal = row.ratio(peer), row.targets.get(peer)
        missed = goal is not None and ratio < goal
        text = f"{float(f'{ratio:.2g}'):g}"
        yield (name, time, peer, f"**{text}**" if missed else text,
               "" if goal is None else f"{float(f'{goal:.2g}'):g}")
        name = time = ""
    for what, value, most in row.limits:
        if value > most:
            yield (name, time, what, f"**{float(f'{value:.2g}'):g}**",
                   f"≤ {float(f'{most:.2g}'):g}")
            name = time = ""


def make():
    if not RECORD.exists():
        raise docblock.Missing("no run was kept")
    return docblock.table(HEADS, [line for row in kept() for line in lines(row)])


def kept():
    return [Row(**row) for row in json.loads(RECORD.read_text())]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--take", type=Path, metavar="RUN")
    docblock.add_options(parser, README)
    options = parser.parse_args()
    if options.take:
        rows = json.loads(options.take.read_text())
        RECORD.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    status = docblock.serve("speed", make, options)
    if options.write:
        PLOT.write_text(plot.svg(kept()))
    elif options.check and PLOT.read_text() != plot.svg(kept()):
        print(f"{PLOT.name} is of another run", file=sys.stderr)
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
