# SPDX-License-Identifier: Apache-2.0
"""What root gives the daemon, what it gives away, and what others see of it."""
import base64
import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

import mounting
from tools import absent, errno_of, need, read_file, run, sha256, wait_until

NOBODY = 65534
SYS_PTRACE, SYS_ADMIN, DAC_READ_SEARCH = 1 << 19, 1 << 21, 1 << 2
ALWAYS = SYS_ADMIN | DAC_READ_SEARCH
BECOME = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


@pytest.fixture(autouse=True)
def root():
    if os.geteuid() != 0:
        absent("needs root")


def statuses(pid):
    """/proc/PID/task/*/status as dictionaries."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        text = Path(f"/proc/{pid}/task/{task}/status").read_text()
        found.append(dict(line.split(":\t", 1) for line in text.splitlines()))
    return found


def capabilities(status):
    return {k: int(v, 16) for k, v in status.items() if k.startswith("Cap")}


def filled(emu, images):
    images.single.fill(emu, "a")
    return emu


class Wrapped(mounting.Mount):
    """A mount whose daemon is started by another command."""

    def __init__(self, folder, source, prefix, **options):
        self.prefix = prefix
        super().__init__(folder, source, **options)

    def command(self):
        return [*self.prefix, *super().command()]


@pytest.fixture
def wrapped(tmp_path):
    """wrapped(source, prefix, option=value, …) -> Mount"""
    mounts = []

    def start(source, prefix, **options):
        mounts.append(Wrapped(tmp_path / f"w{len(mounts)}", source.address, prefix,
                              **options))
        return mounts[-1]

    yield start
    for m in mounts:
        try:
            m.finish()
        finally:
            m.destroy()


# -- the process ---------------------------------------------------------------------

@pytest.mark.parametrize("ro", [False, True])
def test_capabilities(mount, emu, images, ro):
    """Every thread, and what it may run, holds these and no more."""
    m = mount(filled(emu, images), ro=ro)
    assert read_file(m / "a/_tags/1.4/manifest.json")
    keep = ALWAYS | (0 if ro else SYS_PTRACE)
    threads = statuses(m.process.pid)
    assert len(threads) > 2
    for status in threads:
        assert capabilities(status) == {"CapInh": 0, "CapPrm": keep, "CapEff": keep,
                                        "CapBnd": keep, "CapAmb": 0}
        assert status["NoNewPrivs"] == "1"


def test_leaves_with_what_is_left(mount, emu, images):
    """Unmounts by itself, through others' directories."""
    m = mount(filled(emu, images))
    os.chown(m.folder, NOBODY, NOBODY)
    os.chmod(m.folder, 0o700)
    m.process.terminate()
    assert m.process.wait(10) == 0
    assert not mounting.is_mounted(m.point)


def test_inheritance(emu, images, tmp_path):
    """Nothing of whoever starts it stays open or busy; files are private."""
    place, inherited = tmp_path / "mnt", tmp_path / "inherited"
    place.mkdir()
    with open(inherited, "w") as f:
        os.set_inheritable(f.fileno(), True)
        daemon = subprocess.Popen(
            [mounting.program(), "-f", "-o", f"cache_dir={tmp_path}/cache",
             filled(emu, images).address, place], pass_fds=[f.fileno()], cwd=tmp_path,
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, umask=0)
    try:
        wait_until(lambda: mounting.is_mounted(place), 20, "the mount")
        for name in os.listdir(place / "a/_tags/1.4/blobs/sha256"):
            assert read_file(place / "a/_tags/1.4/blobs/sha256" / name)
        proc = Path(f"/proc/{daemon.pid}")
        assert os.readlink(proc / "cwd") == "/"
        assert statuses(daemon.pid)[0]["Umask"] == "0077"
        for fd in os.listdir(proc / "fd"):
            to = os.readlink(proc / "fd" / fd)
            assert to != str(inherited)
            flags = re.search(r"flags:\t(\d+)", (proc / "fdinfo" / fd).read_text())[1]
            if int(fd) > 2 and not to.startswith("socket:"):    # those are libcurl's
                assert int(flags, 8) & os.O_CLOEXEC, to
        names = [tmp_path / "cache", *(tmp_path / "cache").rglob("*")]
        assert len(names) > 5
        for name in names:
            assert stat.S_IMODE(name.lstat().st_mode) & 0o077 == 0, name
    finally:
        run("fusermount3", "-u", place, check=False)
        daemon.wait(20)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_no_core(mount, emu, images, number):
    """It dies without a core file, whatever the limit was before."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    old = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        m = mount(filled(emu, images), env={"ASAN_OPTIONS": "handle_segv=0:handle_abort=0"})
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, old)
    limits = Path(f"/proc/{m.process.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)
    m.expect_exit = None
    os.kill(m.process.pid, number)
    _, status = os.waitpid(m.process.pid, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == number
    assert not os.WCOREDUMP(status)
    m.process.returncode = -number


# -- another user --------------------------------------------------------------------

@pytest.fixture
def nobody():
    """A folder that belongs to nobody, and /dev/fuse open to all meanwhile."""
    folder, mode = tempfile.mkdtemp(prefix="rfs-nobody-"), os.stat("/dev/fuse").st_mode
    (Path(folder) / "mnt").mkdir()
    for path in (folder, f"{folder}/mnt"):
        os.chown(path, NOBODY, NOBODY)
    os.chmod("/dev/fuse", 0o666)
    yield Path(folder)
    os.chmod("/dev/fuse", stat.S_IMODE(mode))
    run("fusermount3", "-uz", f"{folder}/mnt", check=False)
    shutil.rmtree(folder)


def test_secrets_stay_inside(nobody, emu, images):
    """Its own user cannot look into it, nor trace it; and it holds no right."""
    env = {"PATH": os.environ["PATH"], "HOME": str(nobody),
           "DOCKER_AUTH_CONFIG": '{"auths":{"secret.example":{"auth":"c2VjcmV0"}}}'}
    daemon = subprocess.Popen(
        [*BECOME, mounting.program(), "-f", "-o", f"cache_dir={nobody}/cache",
         filled(emu, images).address, nobody / "mnt"], env=env,
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: mounting.is_mounted(nobody / "mnt"), 20, "the mount")
        # A sanitizer has to look into its own process.
        for name in () if mounting.sanitized() else ("environ", "maps", "mem", "fd/0"):
            seen = run(*BECOME, "head", "-c1", f"/proc/{daemon.pid}/{name}", check=False)
            assert "Permission denied" in seen.stderr, name
        for status in statuses(daemon.pid):
            caps = capabilities(status)
            assert caps["CapPrm"] == caps["CapEff"] == caps["CapAmb"] == 0
            assert status["NoNewPrivs"] == "0"      # or fusermount3 could not unmount
        line = [x for x in open("/proc/self/mountinfo") if f" {nobody}/mnt " in x][0]
        assert {"nosuid", "nodev"} <= set(line.split()[5].split(","))
    finally:
        run(*BECOME, "fusermount3", "-u", nobody / "mnt", check=False)
        assert daemon.wait(20) == 0


# -- mount options -------------------------------------------------------------------

@pytest.mark.parametrize("words", ["suid,dev", "exec,suid", "allow_other,dev,suid"])
def test_never_suid_or_dev(emu, images, tmp_path, mount, words):
    m = mount(filled(emu, images), **{w: True for w in words.split(",")})
    line = [x for x in open("/proc/self/mountinfo") if f" {m.point} " in x][0]
    assert {"nosuid", "nodev"} <= set(line.split()[5].split(","))
    assert ("default_permissions" in line) == ("allow_other" in words)


# -- what is run ---------------------------------------------------------------------

LOOK = """#!/bin/sh
{ cat /proc/self/status /proc/self/limits; echo "pwd: $(pwd)"; ls -l /proc/self/fd
  tr '\\0' '\\n' </proc/self/environ; } >"%s"
echo '{"ServerURL":"x","Username":"jo","Secret":"secret"}'
"""


@pytest.fixture
def helper(tmp_path):
    """The name of a credential helper that writes down what it was given."""
    name = f"rfs-priv-{os.getpid()}"
    script = Path(f"/usr/local/bin/docker-credential-{name}")
    script.write_text(LOOK % (tmp_path / "seen"))
    script.chmod(0o755)
    yield name
    script.unlink()


def test_credential_helper(mount, emulator, images, helper, tmp_path):
    emu = filled(emulator("bearer"), images)
    path = tmp_path / "home/.docker/config.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"credHelpers": {emu.address: helper}}))
    path.chmod(0o600)
    word = base64.b64encode(b"jo:other").decode()
    m = mount(emu, home=tmp_path / "home", env={
        "DOCKER_AUTH_CONFIG": json.dumps({"auths": {"other.example": {"auth": word}}}),
        "NOTIFY_SOCKET": f"{tmp_path}/absent", "WATCHDOG_USEC": "60000000"})
    assert read_file(m / "a/_tags/1.4/manifest.json")
    seen = (tmp_path / "seen").read_text()
    keep = f"{ALWAYS | SYS_PTRACE:016x}"
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert f"{name}:\t{keep}\n" in seen
    assert "NoNewPrivs:\t1\n" in seen and "Umask:\t0077\n" in seen
    assert re.search(r"Max core file size +0 +0 ", seen)
    assert "pwd: /\n" in seen and f"HOME={tmp_path}/home\n" in seen
    for name in (word, "NOTIFY_SOCKET", "WATCHDOG_USEC"):
        assert name not in seen
    opened = re.findall(r" (\d+) -> (\S+)", seen)
    assert {fd for fd, _ in opened} <= {"0", "1", "2", "3"}      # 3: ls's own
    assert not [to for _, to in opened if "fuse" in to or "cache" in to]


# -- whose cache ---------------------------------------------------------------------

def refusal(tmp_path, cache):
    """What registryfs says of a cache directory, and that it did not mount."""
    (tmp_path / "mnt").mkdir(exist_ok=True)
    done = run(mounting.program(), "-f", "-o", f"cache_dir={cache}", "127.0.0.1:1",
               tmp_path / "mnt", check=False, timeout=20)
    assert done.returncode == 2
    assert not mounting.is_mounted(tmp_path / "mnt")
    assert str(cache) in done.stderr
    return done.stderr


def test_cache_of_another_user(tmp_path):
    (tmp_path / "cache").mkdir(mode=0o700)
    os.chown(tmp_path / "cache", NOBODY, NOBODY)
    assert f"belongs to user {NOBODY}" in refusal(tmp_path, tmp_path / "cache")
    assert os.listdir(tmp_path / "cache") == []


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o1777])
def test_cache_that_others_write_to(tmp_path, mode):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(mode)
    assert "others may write to it" in refusal(tmp_path, tmp_path / "cache")
    assert os.listdir(tmp_path / "cache") == []


def test_cache_is_a_link(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "cache").symlink_to("real")
    assert "symbolic link; name the directory" in refusal(tmp_path, tmp_path / "cache")
    assert os.listdir(tmp_path / "real") == []


def test_cache_behind_a_link_of_a_stranger(tmp_path, mount, emu, images):
    """Who may place a link on the way must not choose where root writes."""
    (tmp_path / "precious/cache").mkdir(parents=True, mode=0o700)
    (tmp_path / "way").symlink_to("precious")
    os.lchown(tmp_path / "way", NOBODY, NOBODY)
    said = refusal(tmp_path, tmp_path / "way/cache")
    assert f"link way on the way there belongs to user {NOBODY}" in said
    assert "way" in refusal(tmp_path, tmp_path / "way/new/cache")
    assert os.listdir(tmp_path / "precious/cache") == []
    assert os.listdir(tmp_path / "precious") == ["cache"]
    os.lchown(tmp_path / "way", 0, 0)          # root's own link is fine
    m = mount(filled(emu, images), cache_dir=tmp_path / "way/cache")
    assert read_file(m / "a/_tags/1.4/manifest.json")
    assert "lock" in os.listdir(tmp_path / "precious/cache")


# -- with less than it keeps ---------------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_writer_of_more_rights(registry, wrapped, number):
    """A daemon that may not look at its callers still tells one who was killed
    from one who is done: nothing is published."""
    need("setpriv")
    m = wrapped(registry, ("setpriv", "--bounding-set=-all,+sys_admin,+dac_read_search",
                           "--no-new-privs"))
    assert capabilities(statuses(m.process.pid)[0])["CapEff"] == ALWAYS
    data = os.urandom(1 << 20)
    repo = f"w/rights{number}"
    path = m / repo / "_blobs" / sha256(data)
    writer = subprocess.Popen(
        ["python3", "-c", "import os,sys,time\n"
         "fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)\n"
         "os.write(fd, sys.stdin.buffer.read())\nprint('ready', flush=True)\n"
         "time.sleep(60)", str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    writer.stdin.write(data)
    writer.stdin.close()
    assert writer.stdout.readline() == b"ready\n"
    writer.send_signal(number)
    writer.wait(5)
    wait_until(lambda: errno_of(os.stat, path) == "ENOENT", 5, "it is forgotten")
    assert registry.status(f"/v2/{repo}/blobs/{sha256(data)}") == 404


def test_no_capability_at_all(wrapped, emu, images):
    """Without CAP_SYS_ADMIN root cannot mount: said, not hung."""
    with pytest.raises(AssertionError, match="exited 32"):
        wrapped(filled(emu, images), ("setpriv", "--bounding-set=-all"))
