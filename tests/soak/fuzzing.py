# SPDX-License-Identifier: Apache-2.0
"""Fuzzes each parser of outside bytes for its share of the time, and counts what
was tried.  The harnesses are those of a build with --enable-fuzz, in $SOAK_FUZZ;
what they find new is kept there, in corpus/."""
import os
import re
import subprocess
from pathlib import Path

from world import PATIENCE, TESTS, Finding

SECONDS_MIN = 5


def harnesses(folder):
    """Those that fuzz; without libFuzzer they only replay their corpus."""
    return [p for p in sorted(Path(folder).glob("**/fuzz-*"))
            if p.suffix == "" and os.access(p, os.X_OK) and p.is_file()
            and b"libFuzzer" in p.read_bytes()]


def fuzz(program, folder, seconds, seed):
    name = program.name.removeprefix("fuzz-")
    found = Path(folder) / "corpus" / name
    found.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [program, f"-max_total_time={seconds}", f"-seed={seed}",
         f"-timeout={round(10 * PATIENCE)}", "-rss_limit_mb=1024", "-print_final_stats=1",
         f"-artifact_prefix={found}/", found, TESTS / "fuzz/corpus" / name],
        capture_output=True, text=True, errors="replace", timeout=seconds + 120)
    if done.returncode:
        raise Finding(f"{name}: {done.stderr[-4000:]}")
    tried = re.search(r"number_of_executed_units: *(\d+)", done.stderr)
    return {"inputs tried": int(tried[1]) if tried else 0, "harnesses": 1}


def fuzzers(world, part, seed, limit=None):
    folder = os.environ.get("SOAK_FUZZ")
    if not folder:
        part.counts["without SOAK_FUZZ nothing to run; runs:"] = 0
        return
    programs = harnesses(folder)[:limit]
    if not programs:
        raise Finding(f"no harness with libFuzzer in {folder}")
    seconds = max(SECONDS_MIN, int(part.time_left() / len(programs)))
    for program in programs:
        part.cycle(program.name, fuzz, program, folder, seconds, seed)
