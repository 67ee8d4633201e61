# SPDX-License-Identifier: Apache-2.0
"""Every fault of the network, for every operation that can meet it: the errno that
names it or the right result, one line in `errors`, a registry that holds what it
held, and an operation that works when the fault is over."""
from pathlib import Path

import pytest
from faultmatrix import ELSEWHERE, ROWS
from matrixphases import PHASES, play_phases
from matrixplay import Cell, play


def cells():
    for row, faults in ROWS.items():
        for fault in faults:
            for form in ("once", "stays"):
                if getattr(fault, form) is None:
                    continue
                for name in fault.to:
                    expected = fault.but.get(name, getattr(fault, form))
                    yield Cell(row, fault, name, form, expected)


CELLS = {str(cell): cell for cell in cells()}


@pytest.fixture(scope="module")
def played(request, tmp_path_factory):
    """All cells that were asked for, played together."""
    wanted = [CELLS[item.callspec.params["name"]] for item in request.session.items
              if item.function is test_cell]
    return play(tmp_path_factory.mktemp("matrix"), wanted)


@pytest.mark.limit(300)
@pytest.mark.parametrize("name", CELLS)
def test_cell(played, name):
    if played[name]:
        pytest.fail(played[name], pytrace=False)


TOGETHER = {f"{p.name}: {name}": p.name for p in PHASES for name in p.operations}


@pytest.fixture(scope="module")
def phases(request, tmp_path_factory):
    """All that were asked for, one after the other."""
    wanted = {TOGETHER[item.callspec.params["name"]] for item in request.session.items
              if item.function is test_phase}
    return play_phases(tmp_path_factory.mktemp("phases"), wanted)


@pytest.mark.limit(300)
@pytest.mark.parametrize("name", TOGETHER)
def test_phase(phases, name):
    if phases[name]:
        pytest.fail(phases[name], pytrace=False)


@pytest.mark.parametrize("row", ELSEWHERE)
def test_elsewhere(row):
    """What is not played here is where the table says."""
    for place in ELSEWHERE[row]:
        file, _, name = place.partition("::")
        assert f"def {name}(" in (Path(__file__).parent / file).read_text(), place
