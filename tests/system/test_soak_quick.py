# SPDX-License-Identifier: Apache-2.0
"""The parts of tests/soak, a few cycles of each; and that they can fail.

What is preloaded comes before gcc's AddressSanitizer, and uses its allocator.
clang's is in the program itself, where nothing comes before it: then allocations
are made to fail in a plain build, $REGISTRYFS_PLAIN."""
import os
import random
import re
import sys
from pathlib import Path

import pytest

from tools import absent, need, run

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "soak"))

import calls  # noqa: E402
import crash  # noqa: E402
import load  # noqa: E402
import power  # noqa: E402
import report  # noqa: E402
import torture  # noqa: E402
import units  # noqa: E402
from disk import Disk  # noqa: E402
from world import World  # noqa: E402

SECONDS = {"alloc": 5, "liballoc": 3, "syscall": 4, "killcall": 3, "kill": 3,
           "power": 5, "damage": 4.5, "trees": 1, "unit": 4}
PARTS = {"alloc": torture.allocations, "liballoc": torture.library_allocations,
         "syscall": calls.failing_calls, "killcall": calls.killing_calls,
         "kill": crash.kills, "power": power.power_loss, "damage": crash.damages,
         "trees": load.trees, "unit": units.torture}


@pytest.fixture
def world():
    need("cc", "addr2line")
    made = World()
    yield made
    made.close()


@pytest.fixture
def failing(monkeypatch):
    """The program whose allocations can fail is the one that is mounted."""
    program = torture.plain_program()
    if program is None:
        absent("no program without an allocator of its own (REGISTRYFS_PLAIN)")
    monkeypatch.setenv("REGISTRYFS", program)


def check(part):
    assert not part.findings, "\n".join(part.findings)
    assert part.cycles > 0


@pytest.mark.limit(120)
@pytest.mark.parametrize("name", PARTS)
def test_part(world, name, request):
    if name in ("alloc", "liballoc", "unit"):
        request.getfixturevalue("failing")
    if name == "unit" and not units.programs():
        absent("no unit programs beside it (make check)")
    part = report.Part(name, SECONDS[name] / 60, verbose=False)
    PARTS[name](world, part, random.randrange(1 << 30), 20)
    check(part)


# What once was wrong with no memory: a start without a word, a mount that stayed
# read-only, an upload that nobody took, a file that nobody closed.
ONCE = ("options_parse", "fs_mount", "open_db", "load_of", "commit", "node_way")


@pytest.mark.limit(120)
def test_places(world, failing):
    """Allocations in places that once were not survived."""
    part = report.Part("places", 1, verbose=False)
    sweep = torture.Torture(world, part, "failalloc")
    sweep.learn()
    plans = sweep.plans_in(ONCE)
    assert sorted(plans) == sorted(ONCE)
    sweep.sweep(plans.values())
    check(part)


BAD_UNIT = """
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
static void test(void **state)
{
	char *volatile p = malloc(8);
	*p = 0;
	free(p);
	p = malloc(9);
	assert_non_null(p);
	free(p);
}
int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
"""


def test_unit_programs_that_crash_are_seen(world, failing, monkeypatch):
    """One whose first allocation is not looked at, while its second is."""
    source = world.folder / "src/bad.c"
    program = world.folder / "tests/unit/test-bad"
    for path in (source, program):
        path.parent.mkdir(parents=True)
    source.write_text(BAD_UNIT)
    run("cc", "-g", "-O0", source, "-o", program, "-lcmocka")
    monkeypatch.setenv("SOAK_UNIT", str(world.folder))
    part = report.Part("unit", 1, verbose=False)
    units.torture(world, part, 1)
    assert part.counts["told by a check"] == 2 and len(part.findings) == 2
    assert "failed with exception" in part.findings[0]


class Careless(Disk):
    """One whose syncs do nothing."""

    def sync(self, what):
        pass


class UntilFound(report.Part):
    """Is over with the first finding."""

    def time_left(self):
        return -1 if self.findings else super().time_left()


@pytest.mark.limit(120)
def test_power_loss_is_seen(world, monkeypatch):
    """Where nothing was ever synced, something acknowledged is missed."""
    monkeypatch.setattr(power, "Disk", Careless)
    monkeypatch.setattr(power, "RECORD_S", 2)
    part = UntilFound("power", 1, verbose=False)
    power.power_loss(world, part, 1)
    assert re.search("acknowledged and lost|journal is refused", part.findings[0])


@pytest.mark.parametrize("scene", [d for d in crash.DISKS if d is not
                                   crash.two_daemons])  # test_cache.py has that
def test_disk(world, scene):
    if os.geteuid() != 0:
        absent("mounting a small tmpfs needs root")
    part = report.Part("disk", 1, verbose=False)
    part.cycle(scene.__name__, scene, world, random.Random(1))
    check(part)


@pytest.mark.limit(120)
def test_load(world):
    part = report.Part("load", 5 / 60, verbose=False)
    load.soak(world, part, 1)
    check(part)
