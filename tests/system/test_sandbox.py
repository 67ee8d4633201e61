# SPDX-License-Identifier: Apache-2.0
"""The units and lines of contrib/: tried as far as that goes without systemd."""
import json
import os
import re
import socket
import sys
from pathlib import Path

import pytest

import mounting
import sandbox
from pushing import check_image
from test_privileges import Wrapped, capabilities, statuses
from tools import absent, errno_of, need, read_file, run, wait_until

CONTRIB = mounting.TOP / "contrib"
UNIT = CONTRIB / "registryfs.service"
SCRIPT = sandbox.__file__
GENERATOR = "/usr/lib/systemd/system-generators/systemd-fstab-generator"


@pytest.fixture(autouse=True)
def root():
    if os.geteuid() != 0:
        absent("needs root")
    need("systemd-analyze")


@pytest.fixture
def confined(tmp_path):
    """confined(source, option=value, …) -> Mount under the unit's restrictions"""
    mounts = []
    env = {"ASAN_OPTIONS": "detect_leaks=0"}    # that would trace the process

    def start(source, env=env, **options):
        mounts.append(Wrapped(tmp_path / f"c{len(mounts)}", source.address,
                              (sys.executable, SCRIPT, UNIT), env=env, **options))
        return mounts[-1]

    yield start
    for m in mounts:
        try:
            m.finish()
        finally:
            m.destroy()


def test_everything_works_inside(confined, docker_registry, images, tmp_path):
    """Reading, looking into layers, pushing, tagging, and ExecStop."""
    server = docker_registry()
    images.single.push(server.address, "team/app", "1")
    m = confined(server, allow_other=True)
    for status in statuses(m.process.pid):
        assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"
        assert capabilities(status)["CapBnd"] == sandbox.BIT_SUM
    tag = m / "team/app/_tags/1"
    for digest in images.single.blobs():
        assert read_file(tag / "blobs/sha256" / digest[7:]) == images.single.data(digest)
    assert os.listdir(tag / "rootfs/")
    run("cp", "-r", images.multi.folder, m / "team/other/_tags/2")
    run("ln", "-s", "2", m / "team/other/_tags/3")
    check_image(server, "team/other", "3", images.multi, tmp_path)
    assert "registryfs" in m.status("status")
    run(sys.executable, SCRIPT, UNIT, "fusermount3", "-u", m.point)
    assert m.process.wait(20) == 0
    assert not mounting.is_mounted(m.point)


def test_helper_and_signal_inside(confined, emulator, images, tmp_path):
    """A credential helper can be run; SIGTERM unmounts."""
    emu = emulator("bearer")
    images.single.fill(emu, "a")
    name = f"rfs-box-{os.getpid()}"
    script = Path(f"/usr/local/bin/docker-credential-{name}")
    path = tmp_path / "c0/home/.docker/config.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"credHelpers": {emu.address: name}}))
    path.chmod(0o600)
    try:
        script.write_text('#!/bin/sh\necho \'{"ServerURL":"x","Username":"jo",'
                          '"Secret":"secret"}\'\n')
        script.chmod(0o755)
        m = confined(emu)
        assert read_file(m / "a/_tags/1.4/manifest.json")
        assert errno_of(os.stat, m / "a/_tags/none") == "ENOENT"
    finally:
        script.unlink()
    m.process.terminate()
    assert m.process.wait(10) == 0
    assert not mounting.is_mounted(m.point)


def test_ready_is_told(confined, emu, tmp_path):
    """Type=notify: a datagram to the manager's socket."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(10)
    confined(emu, env={"ASAN_OPTIONS": "detect_leaks=0",
                       "NOTIFY_SOCKET": str(tmp_path / "notify")})
    assert manager.recv(100) == b"READY=1"
    manager.close()


@pytest.mark.parametrize("command, said", [
    ("unshare -m true", "Operation not permitted"),
    ("chroot / true", "Operation not permitted"),
    ("setarch -R true", "Operation not permitted"),
    ("chmod 4755 {}", "Operation not permitted"),
    ("chown 1 {}", "Operation not permitted"),
    ("python3 -c 'import socket; socket.socket(17, 3)'", "not supported"),
    ("python3 -c 'import mmap; mmap.mmap(-1, 1, prot=6)'", "ermission|not permitted"),
    ("mknod {}.device c 1 3", "Operation not permitted"),
    ("ulimit -c 1", "not permitted|cannot modify")])
def test_the_box_is_closed(tmp_path, command, said):
    """The restrictions above are there: what is not needed is refused."""
    (tmp_path / "f").touch()
    done = run(sys.executable, SCRIPT, UNIT, "bash", "-c",
               command.format(tmp_path / "f"), check=False)
    assert done.returncode != 0
    assert re.search(said, done.stderr)


def test_units_are_alike():
    """What is tried for one is true for the other."""
    one, other = ([line for line in sandbox.service(CONTRIB / name)
                   if not line[0].startswith(("Exec", "EnvironmentFile"))]
                  for name in ("registryfs.service", "registryfs@.service"))
    assert one == other


def test_no_mount_namespace():
    """A mount in a namespace of the service's own is seen by nobody."""
    names = [name for name, _ in sandbox.service(UNIT)]
    assert [n for n in names if n.startswith(sandbox.HIDES_THE_MOUNT)] == []
    assert {"CapabilityBoundingSet", "NoNewPrivileges", "SystemCallFilter"} <= set(names)


def test_exposure():
    done = run("systemd-analyze", "security", "--offline=true", "--threshold=46", UNIT,
               check=False)
    if "nrecognized" in done.stderr:
        absent("systemd-analyze security --offline")
    assert done.returncode == 0, done.stdout[-200:]


def test_fstab_lines(tmp_path):
    """systemd makes of each line a mount unit that it can load."""
    if not os.access(GENERATOR, os.X_OK):
        absent("no systemd-fstab-generator")
    env = {**os.environ, "SYSTEMD_FSTAB": str(CONTRIB / "fstab.example")}
    run(GENERATOR, tmp_path, tmp_path, tmp_path, env=env)
    lines = [line.split() for line in (CONTRIB / "fstab.example").read_text().splitlines()
             if line and line[0] != "#"]
    assert len(lines) >= 3
    for source, point, kind, options, *_ in lines:
        text = (tmp_path / f"{point[1:].replace('/', '-')}.mount").read_text()
        assert f"What={source}\n" in text and f"Type={kind}\n" in text
        for word in options.split(","):
            if not word.startswith(("x-", "noauto", "nofail")):
                assert word in text
        if "x-systemd.automount" in options:
            assert (tmp_path / f"{point[1:].replace('/', '-')}.automount").exists()
    done = run("findmnt", "--verify", "--tab-file", CONTRIB / "fstab.example", check=False)
    assert "0 parse errors" in done.stderr
