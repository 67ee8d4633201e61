# SPDX-License-Identifier: Apache-2.0
"""Signals for who waits for a registry that does not answer: fatal ones end it at
once, handled ones disturb nobody; each kind of call, reading and writing.

All calls of a case wait at the same time, each in a repository of its own, of two
registries: no more than a registry is asked at a time."""
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple

import pytest
from mounting import sanitized
from tarmaker import END, build, directory, file
from tools import need, read_file, run, sha256, wait_until

MIB = 1 << 20
# Measured without load: 0.01 to 0.3 s; many tests may run beside.
SOON = 4.0 if sanitized() else 2.0
DATA = b"some bytes of a blob" * 5000
NEW = sha256(DATA)

# Says "ready", does one thing, says what came of it.  Its handlers interrupt
# calls, and nothing is called again: Python would hide an EINTR.
SCRIPT = r"""
import ctypes, errno, mmap, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
kind, handled, top = sys.argv[1], sys.argv[2].split(), sys.argv[3]
seen = []
signal.signal(signal.SIGINT, signal.SIG_DFL)
for name in handled:
    signal.signal(getattr(signal, name), lambda *a: seen.append(1))

def call(name, *args):
    args = [os.fsencode(a) if isinstance(a, str) else a for a in args]
    ctypes.set_errno(0)
    got = getattr(libc, name)(*args)
    said = "ok" if got >= 0 else errno.errorcode[ctypes.get_errno()]
    os.write(1, f"{said} {len(seen)}\n".encode())
    os._exit(0)

def fd(path, flags=os.O_RDONLY):
    return os.open(f"{top}/{path}", flags, 0o644)

def ready():
    os.write(1, b"ready\n")

def written(path, data):
    f = fd(path, os.O_WRONLY | os.O_CREAT)
    os.write(f, data)
    return f

room = ctypes.create_string_buffer(8192)
first, second, data = (sys.argv + [""] * 3)[4:7]
data = sys.stdin.buffer.read() if kind in ("close", "fsync", "rename") else b""
if kind == "read":
    f = fd(first); ready(); call("pread", f, room, 4096, 0)
if kind == "mapped":
    m = mmap.mmap(fd(first), 4096, prot=mmap.PROT_READ); ready(); m[0]; call("getpid")
if kind == "stat":
    ready(); call("access", f"{top}/{first}", 0)
if kind == "open":
    ready(); call("open", f"{top}/{first}", os.O_RDONLY)
if kind == "list":
    libc.opendir.restype = ctypes.c_void_p
    ready(); ctypes.set_errno(0)
    d = libc.opendir(os.fsencode(f"{top}/{first}"))
    os.write(1, f"{'ok' if d else errno.errorcode[ctypes.get_errno() or 5]} 0\n".encode())
    os._exit(0)
if kind == "close":
    f = written(first, data); ready(); call("close", f)
if kind == "fsync":
    f = written(first, data); ready(); call("fsync", f)
if kind == "copied":
    a, b = fd(first), fd(second, os.O_WRONLY | os.O_CREAT)
    while os.copy_file_range(a, b, 1 << 20): pass
    ready(); call("close", b)
if kind == "rename":
    os.close(written(first, data)); ready(); call("rename", f"{top}/{first}", f"{top}/{second}")
if kind == "symlink":
    ready(); call("symlink", first, f"{top}/{second}")
if kind == "rmdir":
    ready(); call("rmdir", f"{top}/{first}")
"""
Way = namedtuple("Way", "names fault data")
WRITES = {"method": "POST|PATCH|PUT|DELETE"}
READERS = ("read", "mapped", "stat", "open", "list", "inside")
WRITERS = ("close", "fsync", "copied", "rename", "symlink", "rmdir")


class Scene:
    """Two registries, a mount, and for each kind of call what it needs."""

    def __init__(self, emulators, mount, folder):
        self.emulators = emulators
        self.image = build(folder / "image", [directory("d") + file("d/f", b"x") + END])
        self.layer = self.image.layers[0].digest
        self.m = mount(timeout=20, allow_delete=True)
        self.ways, self.children = {}, {}
        for kind in READERS + WRITERS:
            self.ways[kind] = self.prepare(kind, f"r-{kind}")

    def emu(self, kind):
        return self.emulators[kind in WRITERS]

    def prepare(self, kind, repo):
        """What to call, and which requests get no answer."""
        emu = self.emu(kind)
        top = self.m.host(emu)
        self.image.fill(emu, repo, "1")
        os.stat(top / repo / "_tags/1/index.json")
        index = read_file(self.image.folder / "index.json")
        where = {"path": f"/{repo}/"}
        if kind in ("read", "mapped"):
            digest = emu.call("blob_pattern", repo=repo, size=MIB,
                              seed=len(self.ways) + 1)
            os.stat(top / repo / "_blobs" / digest)
            return Way([f"{repo}/_blobs/{digest}"], where, b"")
        if kind in ("stat", "open"):
            return Way([f"{repo}/_tags/new"], where, b"")
        if kind == "list":
            return Way([f"{repo}/_tags"], {"path": f"/{repo}/tags/list"}, b"")
        if kind == "inside":
            return Way([f"{repo}/_layers/{self.layer}/d/f"],
                       {"path": f"/{repo}/blobs/"}, b"")
        writes = {**where, **WRITES}
        if kind in ("close", "fsync"):
            return Way([f"{repo}/_blobs/{NEW}"], writes, DATA)
        if kind == "copied":
            digest = emu.call("blob_pattern", repo=repo, size=MIB, seed=77)
            return Way([f"{repo}/_blobs/{digest}", f"{repo}-to/_blobs/{digest}"],
                       {"path": f"/{repo}-to/", **WRITES}, b"")
        if kind == "rename":
            os.makedirs(top / repo / "_tags/2")
            return Way([f"{repo}/_tags/2/.tmp", f"{repo}/_tags/2/index.json"], writes,
                       index)
        return Way([f"{repo}/_tags/1"] if kind == "rmdir" else
                   ["1", f"{repo}/_tags/link"], writes, b"")

    def start(self, handled, delay=600, kinds=None):
        """All calls, each waiting for an answer."""
        for kind in kinds or self.ways:
            way = self.ways[kind]
            self.emu(kind).fault(count=0, delay=delay, **way.fault)
            child = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, "stat" if kind == "inside" else kind,
                 handled, self.m.host(self.emu(kind)), *way.names], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE)
            child.stdin.write(way.data)
            child.stdin.close()
            self.children[kind] = child
        for kind, child in self.children.items():
            assert child.stdout.readline() == b"ready\n", kind
        wait_until(lambda: all(n for e in self.emulators for n in e.hits()), 15,
                   "all requests")
        time.sleep(0.3)                 # also those of a second thread

    def tell(self, number):
        for child in self.children.values():
            child.send_signal(number)

    def ends(self, seconds):
        """{kind: seconds till it was gone}"""
        began, took = time.monotonic(), {}
        while len(took) < len(self.children) and time.monotonic() - began < seconds:
            for kind, child in self.children.items():
                if kind not in took and child.poll() is not None:
                    took[kind] = time.monotonic() - began
            time.sleep(0.005)
        missing = set(self.children) - set(took)
        assert not missing, f"not gone after {seconds} s: {missing}"
        return took

    def said(self):
        """{kind: what the call came to}"""
        return {kind: child.stdout.read().decode().split()[:1]
                for kind, child in self.children.items()}

    def check(self):
        """No trace is left: everything can be done again."""
        for emu in self.emulators:
            emu.clear_faults()
        assert self.m.process.poll() is None
        assert read_file(self.m.host(self.emu("stat")) / "r-stat/_tags/1/blobs/sha256" /
                         self.layer[7:])

    def stop(self):
        for emu in self.emulators:
            emu.clear_faults()
        for child in self.children.values():
            child.kill()
            child.wait(20)
            child.stdout.close()


@pytest.fixture
def scene(emulator, mount, tmp_path):
    made = Scene([emulator("distribution3", "delete=true") for _ in range(2)], mount,
                 tmp_path)
    yield made
    made.stop()
    made.m.expect_exit = None           # 75: what was interrupted is left


def report(what, took):
    text = ", ".join(f"{kind} {s:.2f}" for kind, s in took.items())
    print(f"{what}: at most {max(took.values()):.2f} s ({text})")


@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT", "SIGTERM"])
def test_fatal(scene, name):
    """It is gone at once, also where handled signals came before."""
    scene.start("SIGUSR1")
    scene.tell(getattr(signal, name))
    took = scene.ends(SOON)
    report(name, took)
    codes = {kind: child.returncode for kind, child in scene.children.items()}
    assert set(codes.values()) == {-getattr(signal, name)}, codes
    scene.check()


def test_fatal_after_handled(scene):
    """The kernel sends one INTERRUPT for a call, for the harmless signal."""
    scene.start("SIGUSR1")
    scene.tell(signal.SIGUSR1)
    time.sleep(0.4)
    gone = [k for k, child in scene.children.items() if child.poll() is not None]
    assert gone == []
    scene.tell(signal.SIGKILL)
    report("USR1, KILL", scene.ends(SOON))
    scene.check()


def test_handled_int(scene):
    """Who handles INT asked for an end: after a second the call is given up."""
    # Pages are waited for by the kernel, which fatal signals only interrupt.
    kinds = [k for k in scene.ways if k not in ("read", "mapped")]
    scene.start("SIGINT", kinds=kinds)
    scene.tell(signal.SIGINT)
    took = scene.ends(SOON + 3)
    report("INT, handled", took)
    said = {kind: words[0] for kind, words in scene.said().items()}
    assert set(said.values()) == {"EINTR"}, said
    assert min(took.values()) > 0.5, took
    scene.check()


def test_harmless(scene):
    """A thousand signals a second that a program handles, and calls that take
    their time: not one is disturbed."""
    scene.start("SIGURG SIGCHLD SIGALRM SIGUSR1", delay=1.2)
    numbers = [signal.SIGURG] * 3 + [signal.SIGCHLD, signal.SIGALRM, signal.SIGUSR1]
    until, sent = time.monotonic() + 30, 0
    while any(c.poll() is None for c in scene.children.values()):
        for child in scene.children.values():
            if child.poll() is None:
                child.send_signal(numbers[sent % len(numbers)])
        sent += 1
        assert time.monotonic() < until, "a call hung"
        time.sleep(0.001)
    said = {kind: words[0] for kind, words in scene.said().items()}
    print(f"{sent} signals to each: {said}")
    none = {"stat": "ENOENT", "open": "ENOENT"}
    assert said == {kind: none.get(kind, "ok") for kind in scene.ways}


# -- whole programs ---------------------------------------------------------------------

# Reads a tree like a runtime that preempts its threads by SIGURG: what perl calls
# by sysopen, sysread and opendir it calls once, and tells an EINTR.
WALK = r"""
use Fcntl; use POSIX ();
$SIG{URG} = sub { $n++ };
sub walk {
    my ($dir) = @_;
    opendir(my $d, $dir) or die "opendir $dir: $!\n";
    my @names = sort grep { !/^\.\.?$/ } readdir($d);
    closedir($d);
    for my $name (@names) {
        my $path = "$dir/$name";
        lstat($path) or die "lstat $path: $!\n";
        if (-d _) { walk($path); next }
        next unless -f _;
        sysopen(my $f, $path, O_RDONLY) or die "open $path: $!\n";
        while (1) {
            my $k = sysread($f, my $b, 50000);
            defined $k or die "read $path: $!\n";
            last if !$k;
            syswrite(STDOUT, $b) == $k or die "write: $!\n";
        }
        close($f) or die "close $path: $!\n";
    }
}
print STDERR "ready\n";
walk($ARGV[0]);
print STDERR "done $n\n";
POSIX::_exit(0);
"""


class Preempted:
    """Sends a process SIGURG a thousand times a second."""

    def __init__(self, process):
        self.process, self.over, self.sent = process, threading.Event(), 0
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        while not self.over.wait(0.001):
            try:
                os.kill(self.process.pid, signal.SIGURG)
            except ProcessLookupError:
                return
            self.sent += 1

    def end(self):
        self.over.set()
        self.thread.join(5)


def test_preempted_program(mount, emu, tmp_path):
    """A program with 1 kHz SIGURG reads a whole tree that is not cached, slowly."""
    files = {f"d{i % 7}/f{i:03d}": os.urandom(2000 + 977 * i) for i in range(60)}
    files["big"] = os.urandom(3 * MIB)
    image = build(tmp_path / "image", [
        b"".join(directory(f"d{i}") for i in range(7)) +
        b"".join(file(n, d) for n, d in files.items()) + END])
    image.fill(emu, "a", "1")
    m = mount(emu)
    emu.fault(path="/blobs/", count=0, trickle={"bytes": 50_000, "every": 0.01})
    with open(tmp_path / "out", "wb") as out:
        reader = subprocess.Popen(
            ["perl", "-e", WALK, str(m / f"a/_rootfs/{image.digest}")],
            stdout=out, stderr=subprocess.PIPE)
    assert reader.stderr.readline() == b"ready\n"
    signals = Preempted(reader)
    told = reader.communicate(timeout=40)[1]
    signals.end()
    assert reader.returncode == 0 and told.startswith(b"done"), told
    # Those that come during one call are handled as one.
    assert signals.sent > 200 and int(told.split()[1]) > 5
    want = b"".join(files[n] for n in sorted(files))
    assert sha256((tmp_path / "out").read_bytes()) == sha256(want)


def test_git(mount, emu, tmp_path):
    """git clones a repository that lies in a layer."""
    if shutil.which("git") is None:
        pytest.skip("not installed: git")
    need("tar")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_AUTHOR_NAME": "x",
           "GIT_AUTHOR_EMAIL": "x@x", "GIT_COMMITTER_NAME": "x",
           "GIT_COMMITTER_EMAIL": "x@x", "GIT_CONFIG_NOSYSTEM": "1"}
    (tmp_path / ".gitconfig").write_text("[safe]\n\tdirectory = *\n[gc]\n\tauto = 0\n")
    work = tmp_path / "work"
    run("git", "init", "-q", work, env=env)
    for i in range(40):
        (work / f"file{i}").write_bytes(os.urandom(3000))
    run("git", "-C", work, "add", ".", env=env)
    run("git", "-C", work, "commit", "-q", "-m", "all", env=env)
    run("git", "clone", "-q", "--bare", work, tmp_path / "layer/repo.git", env=env)
    tar = run("tar", "c", "-C", tmp_path / "layer", "repo.git", text=False).stdout
    image = build(tmp_path / "image", [tar])
    image.fill(emu, "a", "1")
    source = mount(emu) / f"a/_rootfs/{image.digest}/repo.git"
    head = run("git", "-C", work, "rev-parse", "HEAD", env=env).stdout
    for n, url in enumerate((source, f"file://{source}")):
        target = tmp_path / f"clone{n}"
        run("git", "clone", "-q", "--progress", url, target, env=env)
        assert run("git", "-C", target, "rev-parse", "HEAD", env=env).stdout == head
        assert run("git", "-C", target, "status", "--porcelain", env=env).stdout == ""
    run("git", "-C", source, "fsck", "--full", env=env)
