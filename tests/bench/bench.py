#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the daemon against plain tools on the same machine, in the same run.

    make bench                              all rows
    make bench BENCH_FLAGS='--rows cat'     rows whose name holds a word
    BENCH_SCALE=0.1 make bench              sizes and counts times 0.1

Every row is a ratio: in each round the plain tool and the mount take turns, and
the medians are compared; a ratio over 1 means that the mount is faster.  The
table goes to standard output, as markdown; --json FILE keeps the numbers, and
--svg FILE draws the ratios.
"""
import argparse
import json
import os
import statistics
import sys
import traceback
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import growth_rows  # noqa: E402
import layer_rows  # noqa: E402
import plot  # noqa: E402
import push_rows  # noqa: E402
import rows  # noqa: E402
from rig import Rig  # noqa: E402


def text_of(values, unit):
    """The median and the spread of some measurements."""
    if not values:
        return ""
    scale, digits = {"s": (1, 3), "ms": (1e3, 2), "µs": (1e6, 1), "1/s": (1, 0)}[unit]
    name = unit
    middle, low, high = (f"{scale * x:,.{digits}f}" for x in
                         (statistics.median(values), min(values), max(values)))
    return f"{middle} {name} ({low}–{high})"


def size_text(number):
    if number is None:
        return ""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"
        number /= 1024
    return ""



def lines_of(row):
    """One line per peer; the first carries what belongs to the row."""
    first = True
    for peer in row.peers or {"": None}:
        ratio = goal = met = ""
        if peer:
            value = row.ratio(peer)
            ratio = f"{value:.2f}"
            if peer in row.targets:
                goal = f"≥ {row.targets[peer]:.2f}"
                met = "yes" if value >= row.targets[peer] else "NO"
        cells = [row.name if first else "", text_of(row.ours, row.unit) if first else "",
                 peer, text_of(row.peers.get(peer, []), row.unit), ratio, goal, met,
                 str(row.requests) if first and row.requests is not None else "",
                 size_text(row.bytes) if first else "",
                 size_text(row.rss) if first else ""]
        yield "| " + " | ".join(cells) + " |"
        first = False
    for name, value, limit in row.limits:
        met = "yes" if value <= limit else "NO"
        yield (f"|  | {name}: {value:,.2f} |  |  |  | ≤ {limit:,.2f} | {met} |  |  |  |")


HEAD = ["row", "registryfs: median (range)", "peer", "peer: median (range)", "ratio",
        "target", "met", "requests", "bytes", "peak RSS"]


def main():
    parser = argparse.ArgumentParser(description="benchmarks of registryfs")
    parser.add_argument("--rows", default="",
                        help="only names with one of these words (a,b,…)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="also write the numbers to this file")
    parser.add_argument("--svg", help="also draw the ratios into this file")
    parser.add_argument("--list", action="store_true", help="name the rows")
    options = parser.parse_args()
    chosen = [r for r in rows.ROWS + layer_rows.ROWS + push_rows.ROWS +
              growth_rows.ROWS
              if any(word in r.__name__ for word in options.rows.split(","))]
    if options.list:
        for row in chosen:
            print(f"{row.__name__:24} {row.__doc__.splitlines()[0]}")
        return 0
    program = os.environ.get("REGISTRYFS", "registryfs")
    scale = float(os.environ.get("BENCH_SCALE", "1"))
    for name in [n for n in os.environ if n.lower().endswith("_proxy")]:
        del os.environ[name]
    print(f"Scale {scale:g}, {options.rounds} rounds, {os.cpu_count()} CPUs, "
          f"kernel {os.uname().release}\n", flush=True)
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD), flush=True)
    kept, failed = [], 0
    with Rig(program, scale, options.rounds) as rig:
        for make in chosen:
            try:
                row = make(rig)
            except Exception:
                traceback.print_exc()
                print(f"| {make.__name__} | failed |" + " |" * (len(HEAD) - 2),
                      flush=True)
                failed = 1
                continue
            print("\n".join(lines_of(row)), flush=True)
            kept.append(row)
            if options.json:        # after each: a run takes long
                Path(options.json).write_text(
                    json.dumps([vars(row) for row in kept], indent=1))
    if options.svg:
        Path(options.svg).write_text(plot.svg(kept))
    return failed


if __name__ == "__main__":
    sys.exit(main())
