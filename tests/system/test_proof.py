# SPDX-License-Identifier: Apache-2.0
"""CONTRIBUTING's table of the proof: made by the script, of every part there is."""
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
SCRIPT = TOP / "tests/proof-table.py"
sys.path[:0] = [str(TOP / "tests"), str(TOP / "tests/soak")]

import report  # noqa: E402
import soak  # noqa: E402

spec = importlib.util.spec_from_file_location("proof_table", SCRIPT)
proof = importlib.util.module_from_spec(spec)
spec.loader.exec_module(proof)


def script(*words):
    return subprocess.run([sys.executable, SCRIPT, *words], capture_output=True,
                          text=True, timeout=30)


def test_page_has_the_table():
    done = script("--check")
    assert done.returncode == 0, done.stderr


def test_every_part_has_a_row():
    assert set(proof.ROWS) == {*soak.PARTS, "coverage"}


def test_a_run_takes_its_place(tmp_path):
    """From a part's own record to the page; and back, when it found something."""
    page, records, run = (tmp_path / n for n in ("page.md", "proof.json", "run.json"))
    page.write_text("before\n<!-- proof: begin -->\n<!-- proof: end -->\nafter\n")
    records.write_text(proof.RECORDS.read_text())
    part = report.Part("trees", 1)
    part.cycle("one", lambda: {"names": 12345})
    report.write_json(run, [part, report.Part("alloc", 1)], 7)
    where = ("--page", page, "--records", records)
    assert script("--add", run, "--write", *where).returncode == 0
    text = page.read_text()
    assert "| 1 stacks, 12,345 names | 0 | 7 |\n" in text
    assert text.startswith("before\n") and text.endswith("after\n")
    assert json.loads(records.read_text())["alloc"]["cycles"] > 0
    part.findings.append("something")
    report.write_json(run, [part], 7)
    done = script("--add", run, "--write", *where)
    assert done.returncode == 1 and "trees: 1 findings" in done.stderr
    assert page.read_text() == text


@pytest.mark.parametrize("spoil, said", [
    (lambda r: r.pop("kill"), "no record of kill"),
    (lambda r: r["power"]["counts"].clear(), "power: no counts"),
    (lambda r: r["load"]["facts"].pop("rss_kib"), "load: no facts rss_kib"),
])
def test_what_was_not_measured_is_not_told(tmp_path, spoil, said):
    records = json.loads(proof.RECORDS.read_text())
    spoil(records)
    path = tmp_path / "proof.json"
    path.write_text(json.dumps(records))
    done = script("--records", path)
    assert done.returncode == 1 and said in done.stderr
