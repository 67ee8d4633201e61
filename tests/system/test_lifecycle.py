# SPDX-License-Identifier: Apache-2.0
"""Mounting and leaving: foreground, background, mount(8), fstab, signals."""
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

import mounting
from tools import absent, errno_of, read_file, run, wait_until

NOBODY = 65534
STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.fixture
def place(tmp_path):
    """A mount point, freed whatever happens."""
    mounting.check_fuse()
    point = tmp_path / "mnt"
    point.mkdir()
    yield point
    for _ in range(3):
        if mounting.is_mounted(point):
            run("fusermount3", "-uz", point, check=False)


@pytest.fixture
def env(tmp_path):
    """A quiet environment."""
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path),
            "XDG_RUNTIME_DIR": str(tmp_path)}


@pytest.fixture
def kind():
    """The type by which mount(8) finds our program.  mount(8) looks in its own
    PATH only, so a link is put there for the while; beside an installed
    registryfs, under another name."""
    if os.geteuid() != 0:
        absent("mount(8) needs root")
    name = "registryfs"
    if shutil.which(name, path=STANDARD_PATH):
        name = f"registryfs-test-{os.getpid()}"
    link = Path("/usr/local/sbin") / name
    link.symlink_to(mounting.program())
    yield f"fuse.{name}"
    link.unlink()


def daemons(point):
    """Processes that were given this mount point."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
        except OSError:
            continue
        if os.fsencode(point) in words and b"registryfs" in words[0]:
            found.append(int(pid))
    return found


def leave(point):
    run("fusermount3", "-u", point)
    wait_until(lambda: not daemons(point), 10, "the daemon's end")


def filled(emu, images):
    images.single.fill(emu, "a")
    return emu


def test_background(place, env, emu, images, tmp_path):
    """The command returns when the mount answers."""
    filled(emu, images)
    run(mounting.program(), "-o", f"cache_dir={tmp_path}/cache", emu.address, place,
        env=env, timeout=20)
    assert mounting.is_mounted(place)
    assert read_file(place / "a/_tags/1.4/index.json")
    assert len(daemons(place)) == 1
    leave(place)


def test_mount_command(place, kind, env, emu, images, tmp_path):
    filled(emu, images)
    run("mount", "-t", kind, emu.address, place, "-o",
        f"ro,nosuid,nodev,noatime,x-systemd.automount,cache_dir={tmp_path}/cache",
        env=env, timeout=20)
    line = [x for x in open("/proc/self/mountinfo") if f" {place} " in x][0]
    assert "fuse.registryfs" in line and emu.address in line
    assert {"nosuid", "nodev"} <= set(line.split()[5].split(","))
    assert read_file(place / "a/_tags/1.4/index.json")
    run("umount", place)
    wait_until(lambda: not daemons(place), 10, "the daemon's end")


def test_fstab(place, kind, env, emu, images, tmp_path):
    filled(emu, images)
    table = tmp_path / "fstab"
    table.write_text(f"{emu.address}/a {place} {kind} "
                     f"noauto,_netdev,nofail,ro,cache-dir={tmp_path}/cache 0 0\n")
    run("mount", "-T", table, place, env=env, timeout=20)
    assert read_file(place / "_tags/1.4/index.json")
    run("umount", place)
    wait_until(lambda: not daemons(place), 10, "the daemon's end")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals(mount, emu, images, number):
    """A signal to leave: unmounted, exit code 0."""
    m = mount(filled(emu, images))
    assert read_file(m / "a/_tags/1.4/index.json")
    m.process.send_signal(number)
    assert m.process.wait(10) == 0
    assert not mounting.is_mounted(m.point)


def test_signal_while_waiting(mount, emu, images):
    """SIGTERM with a request that hangs: still gone soon."""
    m = mount(filled(emu, images), timeout=20)
    emu.fault(count=0, delay=600)
    reader = subprocess.Popen(["stat", m / "a/_tags/x"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    wait_until(lambda: emu.log(), what="the request")
    m.process.terminate()
    assert m.process.wait(15) == 0
    assert reader.wait(5) != 0
    assert not mounting.is_mounted(m.point)


def waiting(m):
    """Requests of the kernel that wait for a registry."""
    line = next(n for n in m.status("status").splitlines() if n.startswith("waiting:"))
    return int(line.split()[1])


def test_unmounted_while_reading_ahead(mount, emu):
    """What the kernel reads for somebody who was killed: nobody waits for that."""
    digest = emu.add_blob("a", os.urandom(8 << 20))
    m = mount(emu, timeout=20)
    emu.fault(path="/blobs/", method="GET", count=0,
              stall={"at": 0, "seconds": 600})
    reader = subprocess.Popen(["cat", m / f"a/_blobs/{digest}"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: waiting(m) > 0, what="a read that waits")
    finally:
        reader.kill()
        reader.wait(10)
    began = time.monotonic()
    m.unmount()
    assert time.monotonic() - began < 5


def test_busy(mount, emu, images):
    m = mount(filled(emu, images))
    fd = os.open(m / "a/_tags/1.4/index.json", os.O_RDONLY)
    try:
        done = run("fusermount3", "-u", m.point, check=False)
        assert done.returncode != 0 and mounting.is_mounted(m.point)
        run("fusermount3", "-uz", m.point)
        assert os.read(fd, 100)
    finally:
        os.close(fd)
    assert m.process.wait(10) == 0


def test_no_network_needed(mount):
    started = time.monotonic()
    m = mount("registry.invalid/team", timeout=4)
    assert time.monotonic() - started < 3
    assert os.listdir(m / ".registryfs")


def attempt(*words, env=None):
    return run(mounting.program(), *words, check=False, timeout=20, env=env)


@pytest.mark.parametrize("words", [
    ("-o", "nonsense=1", "127.0.0.1:1", "{}"), ("-o", "verify=maybe", "{}"),
    ("-o", "timeout=abc", "{}"), ("UPPER//x", "{}"), ("{}/absent",), (),
    ("a", "b", "c", "d"), ("--nonsense", "{}")])
def test_refusals(place, env, words):
    """What cannot be mounted: a reason on stderr, a code of mount(8)."""
    done = attempt(*[w.format(place) for w in words], env=env)
    assert done.returncode in (1, 2, 32)
    assert done.stderr.strip()
    assert not mounting.is_mounted(place)


def test_unknown_word(place, env):
    """What is wrong is told, and what to do; the place is not to blame."""
    done = attempt("-o", "cachesize=1G", place, env=env)
    assert done.returncode == 1
    assert "cachesize=1G" in done.stderr and "see --help" in done.stderr
    assert "Invalid argument" not in done.stderr


def test_foreign_words_are_ignored(place, env, emu, images, tmp_path):
    """x-… and the words of mount(8) are no error."""
    filled(emu, images)
    attempt("-o", f"x-gvfs-hide,x-systemd.idle-timeout=1,nofail,_netdev,noauto,user,"
            f"cache_dir={tmp_path}/cache", emu.address, place, env=env)
    assert mounting.is_mounted(place)
    leave(place)


def test_options_as_words(place, env, emu, images, tmp_path):
    """-o a_b=, --a-b= and the config file are one table."""
    filled(emu, images)
    conf = tmp_path / "conf"
    conf.write_text("tag_ttl = 5\n")
    attempt(f"--cache-dir={tmp_path}/c", "--log-level=debug", f"--config={conf}",
            emu.address, place, env=env)
    assert mounting.is_mounted(place)
    assert read_file(place / "a/_tags/1.4/index.json")
    leave(place)
    assert (tmp_path / "c").exists()


def test_help_and_version(env):
    done = attempt("--help", env=env)
    assert done.returncode == 0 and "cache_dir" in done.stdout.replace("-", "_")
    done = attempt("--version", env=env)
    assert done.returncode == 0 and "registryfs" in done.stdout


@pytest.mark.parametrize("command", ["status", "check", "warm", "evict", "cache"])
def test_help_and_usage_of_commands(env, command):
    for word in ("--help", "-h"):
        done = attempt(command, word, env=env)
        assert done.returncode == 0 and done.stderr == ""
        assert f"registryfs {command} " in done.stdout
    done = attempt(command, "--nonsense", env=env)
    assert done.returncode == 1 and f"registryfs {command} " in done.stderr
    if command == "status":
        assert attempt("status", "-w", env=env).returncode == 1


def test_parallel_directory_operations(mount, emu, images):
    """The kernel was told that look-ups in one directory may run together."""
    filled(emu, images)
    m = mount(emu, timeout=6)
    path = m / "a/_tags"
    os.stat(path / "1.4")
    emu.fault(path="/manifests/slow", delay=2, count=0)
    started = time.monotonic()
    crowd = [subprocess.Popen(["stat", path / f"slow{i}"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) for i in range(5)]
    assert [p.wait(20) for p in crowd] == [1] * 5
    assert time.monotonic() - started < 6


def test_dead_mount_is_replaced(mount, emu, images):
    """After a crash a new start on the same point works."""
    m = mount(filled(emu, images))
    m.process.kill()
    m.process.wait(10)
    assert errno_of(os.stat, m / "a") == "ENOTCONN"
    m.start()
    # The dead mount is still in the table until the new one is there.
    wait_until(lambda: errno_of(os.stat, m / "a") is None, 10, "a new mount")
    assert read_file(m / "a/_tags/1.4/index.json")


@pytest.fixture
def nobody():
    """A folder that belongs to nobody, and /dev/fuse open to all meanwhile."""
    if os.geteuid() != 0:
        absent("needs root to become somebody else")
    folder, mode = tempfile.mkdtemp(prefix="rfs-nobody-"), os.stat("/dev/fuse").st_mode
    os.chown(folder, NOBODY, NOBODY)
    os.chmod("/dev/fuse", 0o666)
    yield folder
    os.chmod("/dev/fuse", stat.S_IMODE(mode))
    run("fusermount3", "-uz", f"{folder}/mnt", check=False)
    wait_until(lambda: not daemons(f"{folder}/mnt"), 10, "the daemon's end")
    shutil.rmtree(folder)


def test_unprivileged(nobody, emu, images):
    """As another user, through fusermount3."""
    filled(emu, images)
    become = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    env = {"PATH": os.environ["PATH"], "HOME": nobody, "XDG_RUNTIME_DIR": nobody}
    run(*become, "mkdir", f"{nobody}/mnt", env=env)
    run(*become, mounting.program(), "-o", f"cache_dir={nobody}/cache", emu.address,
        f"{nobody}/mnt", env=env, timeout=20)
    done = run(*become, "cat", f"{nobody}/mnt/a/_tags/1.4/manifest.json", env=env)
    assert done.stdout.encode() == images.single.data(images.single.digest)
    assert errno_of(os.stat, f"{nobody}/mnt") == "EACCES"      # not even root
    run(*become, "fusermount3", "-u", f"{nobody}/mnt", env=env)
