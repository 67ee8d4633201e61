# SPDX-License-Identifier: Apache-2.0
"""The mount about itself: .registryfs and the sub-commands that read it."""
import json
import os

import pytest

from mounting import program
from registry import free_port
from tools import errno_of, read_file, run, timed

NAMES = {"status", "status.json", "metrics", "transfers", "errors", "hosts", "version"}


@pytest.fixture
def used(mount, emu, images):
    """A mount that has seen some good and some bad answers."""
    images.single.fill(emu, "a")
    m = mount(timeout=2)
    read_file(m.host(emu) / "a/_tags/1.4/manifest.json")
    emu.fault(path="/manifests/broken", status=500, count=0,
              body='{"errors":[{"code":"UNKNOWN","message":"out of cheese"}]}')
    assert errno_of(os.stat, m.host(emu) / "a/_tags/broken") == "EIO"
    return m


def test_files(used, emu):
    folder = used / ".registryfs"
    assert NAMES <= set(os.listdir(folder))
    mark = emu.mark()
    for name in NAMES - {"hosts"}:
        assert read_file(folder / name) or name == "transfers", name
    assert emu.address in os.listdir(folder / "hosts")
    assert read_file(folder / "hosts" / emu.address)
    assert emu.log(since=mark) == []


def test_json_and_metrics(used):
    assert isinstance(json.loads(used.status("status.json")), dict)
    text = used.status("metrics")
    assert text.endswith("# EOF\n") and "# TYPE " in text
    for line in text.splitlines():
        assert line.startswith("#") or len(line.split()) in (2, 3), line


def test_errors_name_the_trouble(used, emu):
    lines = [x for x in used.status("errors").splitlines() if "broken" in x]
    assert lines and "500" in lines[-1] and "EIO" in lines[-1]
    assert "out of cheese" in lines[-1]


def test_errors_are_one_line_each(mount, emu):
    """What the registry says cannot forge lines or move the cursor."""
    m = mount(emu, timeout=2)
    emu.fault(path="/manifests/x", status=403, count=0,
              body=json.dumps({"errors": [{"code": "DENIED",
                                           "message": "a\nforged \x1b[2J line"}]}))
    assert errno_of(os.stat, m / "a/_tags/x") == "EACCES"
    text = m.status("errors") + m.log()
    assert "\x1b" not in text
    assert not any(line.startswith("forged") for line in text.splitlines())


def test_asks_nobody(mount, emu):
    """Status is there at once, with every registry silent."""
    emu.fault(count=0, delay=60)
    m = mount(timeout=2)
    errno_of(os.stat, m.host(emu) / "a/_tags/x")
    mark = emu.mark()
    files = [m / ".registryfs" / n for n in NAMES - {"hosts"}]
    took, _ = timed(lambda: [read_file(f) for f in files])
    assert took < 1
    assert emu.log(since=mark) == []


def test_cannot_be_written(used):
    assert errno_of(os.open, used / ".registryfs/status", os.O_WRONLY) \
        in ("EACCES", "EROFS", "EPERM")
    assert errno_of(os.unlink, used / ".registryfs/status") \
        in ("EACCES", "EROFS", "EPERM", "EISDIR")


def test_hidden_names_are_counted(mount, emulator, images):
    emu = emulator("distribution3")
    images.single.fill(emu, "a")
    emu.call("raw_names", repo="a", tags=["../x", "a/b"], digest=images.single.digest)
    m = mount(emu)
    before = m.status("status.json")
    os.listdir(m / "a/_tags")
    assert m.status("status.json") != before


def test_status_command(used):
    text = run(program(), "status", used.point, env=used.env).stdout
    assert text.strip()


@pytest.mark.parametrize("way", ["{0}/", "{0}/.registryfs/..", "{0}//./../{1}"])
def test_status_by_any_way(used, way):
    place = way.format(used.point, used.point.name)
    assert run(program(), "status", place, env=used.env).stdout.strip()


def test_check_command(mount, emu, images):
    images.single.fill(emu, "a")
    m = mount(emu)
    text = run(program(), "check", f"{emu.address}/a", env=m.env, check=False).stdout
    assert text.strip()
    assert emu.log(path="/v2/")


def test_check_of_a_dead_host(mount):
    m = mount()
    done = run(program(), "check", f"127.0.0.1:{free_port()}", env=m.env, check=False)
    assert done.returncode != 0
    assert (done.stdout + done.stderr).strip()
