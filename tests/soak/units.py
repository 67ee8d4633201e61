# SPDX-License-Identifier: Apache-2.0
"""The unit programs, with allocations that fail one by one; and under valgrind.

A unit program checks what its calls return, so most failures end at a check, which
is what they are for.  What is looked for is everything else: a crash, an assertion
of the program's own, a report of the sanitizer, a hang; and what nobody holds any
more when the check fails was lost before.  Allocations that the tests make
themselves do not fail."""
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter, namedtuple
from functools import partial
from pathlib import Path

import mounting
from control import Control, offsets
from torture import Plan
from world import HERE, Finding, Judge, run

TOLD, LOST = 96, 99                     # exits: failalloc.c at a check; a sanitizer
MEMCHECK = 97
LEARN_SECONDS, VALGRIND_SECONDS = 120, 300
PROGRAMS_QUICK = 4
# cmocka's own handlers of signals would make a failed check of a crash.
SANITIZER = ("detect_leaks=1:exitcode=99:verify_asan_link_order=0:"
             "allocator_may_return_null=1:handle_segv=2:handle_sigbus=2:"
             "handle_sigfpe=2:handle_sigill=2")
# What the dynamic linker keeps.
KNOWN_LEAKS = f"suppressions={HERE / 'lsan.supp'}:print_suppressions=0"
CRASH = re.compile(r"failed with exception|Assertion .* failed")
Site = namedtuple("Site", "program key count name")


def folder():
    """The build whose unit programs are run."""
    return Path(os.environ.get("SOAK_UNIT") or Path(mounting.program()).parent)


def programs():
    return [p for p in sorted(folder().glob("tests/unit/test-*"))
            if not p.suffix and p.is_file() and os.access(p, os.X_OK)]


def shuffled(dice):
    found = programs()
    if not found:
        raise Finding(f"no unit programs in {folder()}: make check, or SOAK_UNIT")
    dice.shuffle(found)
    return found


def execute(words, where, seconds, env):
    """(exit or -signal, what it said); its own process group ends with it."""
    where.mkdir(parents=True, exist_ok=True)
    log = where / "log"
    with open(log, "wb") as f:
        p = subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL,
                             stdout=f, stderr=f, cwd=where, start_new_session=True,
                             env={**os.environ, "TMPDIR": str(where), **env})
        try:
            code = p.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        try:
            os.killpg(p.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        p.wait()
    text = log.read_text(errors="replace")
    run("rm", "-rf", "--one-file-system", where)
    return code, text


def sources(program, places):
    """{offset: "function file:line"} of the frames within src."""
    wanted = sorted({o for place in places for o in offsets(place.frames)})
    lines = subprocess.run(["addr2line", "-f", "-e", program],
                           input="\n".join(wanted), capture_output=True, text=True,
                           timeout=120).stdout.splitlines()
    return {o: f"{name} {where.rpartition('/src/')[2].split()[0]}"
            for o, name, where in zip(wanted, lines[::2], lines[1::2])
            if "/src/" in where and "/tests/" not in where}


class Units:
    def __init__(self, world, part):
        self.world, self.part = world, part
        self.control = Control("failalloc", world.folder)
        self.seconds = {}               # of each program, when nothing fails

    def start(self, program, seconds):
        return execute([program], self.world.next_folder(), seconds,
                       self.control.environment(CMOCKA_TEST_ABORT="1",
                                                ASAN_OPTIONS=SANITIZER,
                                                LSAN_OPTIONS=KNOWN_LEAKS))

    def learn(self, program, known):
        """Its places in src that no other program has reached yet."""
        self.control.set()
        started = time.monotonic()
        code, text = self.start(program, LEARN_SECONDS)
        self.seconds[program] = time.monotonic() - started
        if code == TOLD:                # too slow, when all is counted
            self.part.counts["programs left out"] += 1
            return
        if code:
            raise Finding(f"{program.name} without a failure: {code}\n{text[-3000:]}")
        places = self.control.places()
        names = sources(program, places.values())
        for key, place in sorted(places.items()):
            way = [names.get(o) for o in offsets(place.frames)]
            name = " < ".join(n for n in way if n)
            if way and way[0] and name not in known:
                known[name] = Site(program, key, place.count, name)

    def run(self, site, plan):
        self.control.set(plan.key, plan.nth, plan.error, plan.sticky)
        allowed = 10 * self.seconds[site.program] + 30
        code, text = self.start(site.program, allowed)
        if code is None:
            raise Finding(f"hangs for {allowed:.0f} s\n{text[-3000:]}")
        report = mounting.REPORT.search(text)
        if report or code in (LOST, -signal.SIGABRT) or code < 0 or CRASH.search(text):
            at = report.start() - 200 if report else len(text) - 4000
            raise Finding(f"ended with {code}\n{text[max(0, at):][:5000]}")
        if not self.control.failed:
            return {"not reached": 1}
        return {"survived" if code == 0 else "told by a check": 1}


def site_plans(sites, dice):
    """Each place once, each line before the ways to it; then all from it on; then
    later ones."""
    dice.shuffle(sites)
    ways, turn = Counter(), {}
    for s in sites:
        line = s.name.partition(" < ")[0]
        turn[s] = ways[line] = ways[line] + 1
    sites.sort(key=turn.get)
    plans = [(s, Plan(s.key, 1)) for s in sites]
    plans += [(s, Plan(s.key, 1, 0, True)) for s in sites]
    return plans + [(s, Plan(s.key, dice.randrange(2, s.count + 1)))
                    for s in sites if s.count > 1]


def torture(world, part, seed, limit=None):
    dice, units, known = random.Random(seed), Units(world, part), {}
    for program in shuffled(dice)[:limit and PROGRAMS_QUICK]:
        part.guard(program.name, units.learn, program, known)
    part.counts["programs"] = len(units.seconds)
    part.counts["places"] = len(known)
    plans = site_plans(list(known.values()), dice)[:limit]
    part.counts["planned"] = len(plans)
    for site, plan in plans:
        if not part.goes_on():
            break
        part.cycle(f"{site.program.name} {plan}\nat {site.name}", units.run, site, plan)


# -- valgrind --------------------------------------------------------------------

def valgrind(*more):
    return ["valgrind", "-q", "--tool=memcheck", f"--error-exitcode={MEMCHECK}",
            "--leak-check=full", "--errors-for-leak-kinds=definite",
            "--show-leak-kinds=definite", "--num-callers=20", *more]


def checked_unit(world, program):
    code, text = execute([*valgrind(), program], world.next_folder(),
                         VALGRIND_SECONDS, {})
    if code is None:
        raise Finding(f"does not end in {VALGRIND_SECONDS} s")
    if code:
        raise Finding(f"ended with {code}\n{text[:6000]}")
    return {"unit programs": 1}


def checked_mount(world, dice):
    """One mount that does everything once, and once more."""
    real, script = mounting.program(), world.folder / "registryfs"
    words = valgrind(f"--suppressions={HERE / 'valgrind.supp'}")
    script.write_text(f"#!/bin/sh\nexec {' '.join(words)} {real} \"$@\"\n")
    script.chmod(0o700)
    os.environ["REGISTRYFS"] = str(script)
    try:
        m = world.daemon(timeout=30)
    finally:
        os.environ["REGISTRYFS"] = real
    try:
        if not m.up:
            raise Finding(f"does not start:\n{m.log()[-3000:]}")
        for _ in range(2):
            world.scenario(m, Judge(set()), f"v{dice.getrandbits(40):x}")
        m.unmount()
        m.check()
    finally:
        m.destroy()
    return {"mounts": 1}


def memcheck(world, part, seed, limit=None):
    """valgrind sees what no sanitizer of the compiler does: memory that was never
    set, and what a library does with it."""
    dice = random.Random(seed)
    if not shutil.which("valgrind"):
        part.counts["without valgrind nothing to run; runs:"] = 0
        return
    if mounting.sanitized():
        raise Finding("valgrind wants a program without a sanitizer")
    part.cycle("a mount", checked_mount, world, dice)
    for program in shuffled(dice)[:limit]:
        if part.time_left() < 0:
            break
        part.cycle(program.name, partial(checked_unit, world), program)
