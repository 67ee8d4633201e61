# SPDX-License-Identifier: Apache-2.0
"""Runs the parts of the proof of robustness, and makes a table of them.  Ends
with 1 if anything was found; what, is beneath the table."""
import argparse
import os
import shutil
import sys
import time
from pathlib import Path

import calls
import crash
import fuzzing
import load
import power
import report
import torture
import units
from world import World, folder_in_memory, mounting

# name: (what it runs, what it does)
PARTS = {
    "alloc": (torture.allocations, "the program's allocations fail, one by one"),
    "liballoc": (torture.library_allocations, "those of all its libraries, too"),
    "unit": (units.torture, "those of the unit programs, found beside the program"),
    "syscall": (calls.failing_calls, "system calls on the cache fail, one by one"),
    "killcall": (calls.killing_calls, "kill -9 at each system call on the cache"),
    "kill": (crash.kills, "kill -9 at each request, and at random times"),
    "power": (power.power_loss, "power loss: what was not synced is dropped"),
    "damage": (crash.damages, "databases, indexes and blobs are damaged"),
    "disk": (crash.disks, "the disk is full, read-only, gone; two daemons"),
    "trees": (load.trees, "random layers, merged as the model says"),
    "fuzz": (fuzzing.fuzzers, "the parsers' fuzzers, of the build in $SOAK_FUZZ"),
    "valgrind": (units.memcheck, "valgrind: the unit programs and a mount"),
    "load": (load.soak, "all at once, measured"),
}
VARIABLES = """variables:
  REGISTRYFS     the program; SOAK_UNIT: the build with its unit programs (its folder)
  SOAK_FUZZ      a build with --enable-fuzz
  SOAK_PATIENCE  a factor of all timeouts (1), on a machine that does much else"""
QUICK_CYCLES, QUICK_MINUTES = 20, 0.2


def arguments():
    parts = "\n".join(f"  {name:9} {text}" for name, (_, text) in PARTS.items())
    p = argparse.ArgumentParser(
        description=__doc__, epilog=f"parts:\n{parts}\n\n{VARIABLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--minutes", type=float, default=60, help="of each part")
    p.add_argument("--only", action="append", choices=PARTS, metavar="PART",
                   help="this part; may be given again")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--limit", type=int, help="cycles of each part at most")
    p.add_argument("--quick", action="store_true",
                   help="some seconds and some cycles of each part")
    p.add_argument("--out", default="soak.txt", help="where the table goes")
    p.add_argument("--json", help="where its figures go, for tests/proof-table.py")
    args = p.parse_args()
    if args.quick:
        args.minutes, args.limit = QUICK_MINUTES, args.limit or QUICK_CYCLES
    return args


def keep_program(folder):
    """A copy, for a new build in the middle would have its places elsewhere."""
    kept = folder / "registryfs"
    os.environ.setdefault("SOAK_UNIT", str(Path(mounting.program()).parent))
    shutil.copy2(mounting.program(), kept)
    os.environ["REGISTRYFS"] = str(kept)


def main():
    args = arguments()
    head = (f"{mounting.program()}  seed {args.seed}  {args.minutes:g} min a part  "
            f"{time.strftime('%Y-%m-%d %H:%M')}")
    parts, folder = [], folder_in_memory("rfs-soak-program-")
    keep_program(folder)
    for name in args.only or PARTS:
        world, part = World(), report.Part(name, args.minutes)
        parts.append(part)
        try:
            part.guard("the part itself", PARTS[name][0], world, part, args.seed,
                       args.limit)
        finally:
            part.ended = time.monotonic()
            world.close()
            report.write(args.out, parts, head)
            if args.json:
                report.write_json(args.json, parts, args.seed)
    shutil.rmtree(folder)
    print(report.table(parts), end="")
    return 1 if any(p.findings for p in parts) else 0


if __name__ == "__main__":
    sys.exit(main())
