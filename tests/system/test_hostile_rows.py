# SPDX-License-Identifier: Apache-2.0
"""No threat without a case: hostile.ROWS against what pytest finds."""
import collections
import os
import re
import sys
from pathlib import Path

import pytest

from hostile import ROWS
from tools import run

HERE = Path(__file__).resolve().parent
EXPECTED = [*(f"A{n}" for n in range(1, 26)), *(f"B{n}" for n in range(1, 16)),
            *(f"C{n}" for n in range(1, 13))]


@pytest.fixture(scope="module")
def cases():
    """{"file::function": number of cases}"""
    files = sorted({t.partition("::")[0] for _, tests, _ in ROWS.values() for t in tests}
                   | {p.name for p in HERE.glob("test_hostile*.py")})
    done = run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only",
               "-q", "-c", os.devnull, "--rootdir", HERE, *files, cwd=HERE)
    return collections.Counter(
        m[1] for m in re.finditer(r"^([\w.]+::\w+)(?:\[.*\])?$", done.stdout, re.M))


def of_row(row, cases):
    """{"file::function": cases} that stand for a row."""
    found = {}
    for test in ROWS[row][1]:
        here = {k: n for k, n in cases.items()
                if (k.startswith(test[:-1]) if test.endswith("*") else k == test)}
        assert here, f"{row}: there is no {test}"
        found.update(here)
    return found


def test_every_threat_is_a_row():
    assert list(ROWS) == EXPECTED


@pytest.mark.parametrize("row", EXPECTED)
def test_every_row_has_cases(row, cases):
    assert sum(of_row(row, cases).values()) >= max(ROWS[row][2], 1)


def test_every_case_has_a_row(cases):
    """Cases that are named by a row are counted for that row, and for it alone."""
    known = {k: row for row in ROWS for k in of_row(row, cases)}
    named = {k: m[1].upper() for k in cases
             if (m := re.match(r"test_hostile_\w+\.py::test_([abc]\d+)_", k))}
    assert {k: known.get(k) for k in named} == named
    assert len({k for row in ROWS for k in of_row(row, cases)}) >= 100


def test_there_are_enough(cases):
    """Printed for whoever wants to know: pytest -s -k there_are_enough."""
    total = {}
    for row in ROWS:
        found = of_row(row, cases)
        total.update(found)
        print(f"{row:4} {sum(found.values()):4}  {ROWS[row][0]}")
    print(f"     {sum(total.values()):4}  in all")
    assert sum(total.values()) >= 700
