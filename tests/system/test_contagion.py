# SPDX-License-Identifier: Apache-2.0
"""Waiting never starves answering; signals end who waits, and only if fatal."""
import os
import signal
import subprocess
import sys
import time

import pytest
from mounting import sanitized
from tools import read_file, run, timed, wait_until

MIB = 1 << 20
BUDGET = 4                              # seconds for an operation, by timeout=
SLOW = 4 if sanitized() else 2          # many tests may run beside
STATS = """
import os, sys, threading
def ask(path):
    try: os.stat(path)
    except OSError: pass
all = [threading.Thread(target=ask, args=(f"{sys.argv[1]}/t{i}",)) for i in range(200)]
for t in all: t.start()
print("started", flush=True)
for t in all: t.join()
"""
READS = """
import os, sys, threading
def read(i):
    try: os.pread(f, 4096, i << 20)
    except OSError: pass
f = os.open(sys.argv[1], os.O_RDONLY)
all = [threading.Thread(target=read, args=(i,)) for i in range(200)]
for t in all: t.start()
print("started", flush=True)
for t in all: t.join()
"""


def crowd(script, path):
    """A process of 200 threads that will all be waiting."""
    process = subprocess.Popen([sys.executable, "-c", script, str(path)],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "started\n"
    return process


@pytest.fixture
def pair(mount, emulator, images):
    """A mount of all hosts, a live registry and one that will not answer."""
    live, dead = emulator(), emulator()
    images.single.fill(live, "a")
    images.single.fill(dead, "a")
    dead.big = dead.call("blob_pattern", repo="a", size=220 * MIB)
    m = mount(timeout=BUDGET)
    os.listdir(m.host(live) / "a/_tags")
    os.stat(m.host(dead) / f"a/_blobs/{dead.big}")
    return m, live, dead


@pytest.mark.parametrize("what", ["look-ups", "reads"])
def test_dead_registry_is_not_contagious(pair, what):
    m, live, dead = pair
    dead.fault(count=0, delay=600)
    folder = m.host(dead) / "a"
    if what == "look-ups":
        waiting = crowd(STATS, folder / "_tags")
    else:
        waiting = crowd(READS, folder / f"_blobs/{dead.big}")
    try:
        wait_until(lambda: len(dead.log()) > 1, what="waiting requests")
        time.sleep(0.3)
        for path in (m.host(live) / "a/_tags", m.host(live), m.point,
                     m.point / ".registryfs"):
            took, names = timed(os.listdir, path)
            assert took < 1 and names, path
        took, _ = timed(read_file, m.host(live) / "a/_tags/1.4/manifest.json")
        assert took < 1
        took, _ = timed(read_file, m.point / ".registryfs/status")
        assert took < 1
        # What is known of the dead one is answered as well.
        took, _ = timed(os.stat, folder / f"_blobs/{dead.big}")
        assert took < 1
        assert waiting.wait(30) == 0
    finally:
        waiting.kill()
        waiting.wait(10)
        waiting.stdout.close()
    assert stuck() == []


def stuck():
    """Threads of this test's processes in state D."""
    text = run("ps", "-eLo", "stat=,pid=,ppid=,lwp=").stdout
    rows = [line.split() for line in text.splitlines()]
    return [r for r in rows if r[0].startswith("D") and
            os.getpid() in (int(r[1]), int(r[2]))]


def test_same_directory_goes_on(pair):
    """One hanging look-up in a directory, and the other names in it."""
    m, _, dead = pair
    path = m.host(dead) / "a/_tags"
    os.stat(path / "1.4")
    dead.fault(path="/manifests/hang", count=0, delay=600)
    waiting = subprocess.Popen(["stat", path / "hang"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    wait_until(lambda: dead.log(path="/manifests/hang"), what="the hanging request")
    took, _ = timed(os.stat, path / "1.4")
    assert took < 1
    took, _ = timed(os.listdir, path)
    assert took < 1
    took, _ = timed(os.path.exists, path / "nope")
    assert took < 1
    assert waiting.wait(20) != 0


ASK = """
import os, sys, time
for action, path in zip(sys.argv[1::2], sys.argv[2::2]):
    began, said = time.monotonic(), "ok"
    try:
        if action == "stat": os.stat(path)
        if action == "list": os.listdir(path)
        if action == "mkdir": os.mkdir(path)
        if action == "create": os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        if action == "link": os.symlink("1.4", path)
    except OSError as e: said = str(e.errno)
    print(f"{time.monotonic() - began:.3f} {said}", flush=True)
"""


def asking(*words):
    """A process that asks for one thing after the other, and says how long."""
    return subprocess.Popen([sys.executable, "-c", ASK, *map(str, words)],
                            stdout=subprocess.PIPE, text=True)


def test_hung_look_up_and_create(pair):
    """Hung look-ups, all of the same name, and who makes something in the same
    directory, for which the kernel lets nobody else look there: the rest of the
    mount goes on at once, all of them end in their time, and no task stays in D."""
    m, live, dead = pair
    path = m.host(dead) / "a/_tags"
    os.stat(path / "1.4")
    dead.fault(path="/manifests/hang", count=0, delay=600)
    began = time.monotonic()
    hung = [asking("stat", path / "hang") for _ in range(8)]
    wait_until(lambda: dead.log(path="/manifests/hang"), what="the hanging request")
    makers = [asking("mkdir", path / "new"), asking("link", path / "new2"),
              asking("create", path / "1.4/.tmp"), asking("stat", path / "1.4"),
              asking("list", path), asking("stat", path / "other")]
    time.sleep(0.3)
    for action, where in ((os.listdir, m.point), (os.listdir, m.host(live) / "a/_tags"),
                          (os.listdir, m.host(dead) / "a"),
                          (os.stat, m.host(live) / "a/_tags/1.4/index.json"),
                          (os.mkdir, m.host(live) / "a/_tags/new"),
                          (read_file, m.point / ".registryfs/status")):
        took, _ = timed(action, where)
        assert took < 1, where
    for process in hung + makers:
        process.wait(30)
        with process.stdout:
            seconds, said = process.stdout.read().split()
        assert float(seconds) < BUDGET + SLOW, (process.args[3:], seconds)
        assert process in hung or said in ("ok", "2"), (process.args[3:], said)
    assert time.monotonic() - began < BUDGET + 6
    assert stuck() == []


def test_nobody_in_d(pair):
    """Each kind of call on a registry that answers nothing: after the time that an
    operation has, and two seconds, no task waits any more."""
    m, live, dead = pair
    dead.fault(count=0, delay=600)
    host = m.host(dead)
    waiting = [asking(*words) for words in (
        ("stat", host / "b/_tags/x"), ("list", host / "b/_tags"), ("list", host),
        ("stat", host / "b/_blobs" / ("sha256:" + "1" * 64)),
        ("mkdir", host / "c/_tags/x"), ("link", host / "a/_tags/y"),
        ("create", host / f"d/_blobs/{dead.big}"),
        ("stat", host / f"a/_layers/{dead.big}/x"))]
    wait_until(lambda: len(dead.log()) > 4, what="waiting requests")
    took, _ = timed(read_file, m.host(live) / "a/_tags/1.4/manifest.json")
    assert took < 1
    for process in waiting:
        process.wait(BUDGET + 10)
        with process.stdout:
            seconds, said = process.stdout.read().split()
        # list: opendir(3) and then the reading of it have their time each.
        assert float(seconds) < 2 * BUDGET + SLOW, (process.args[3:], seconds, said)
    assert stuck() == []


# -- signals ------------------------------------------------------------------------

def blocked(pair, kind, handler=""):
    """A perl that waits for the dead registry, by read or by look-up."""
    m, _, dead = pair
    dead.fault(count=0, delay=600)
    folder = m.host(dead) / "a"
    if kind == "read":
        action = "sysread(F, $b, 4096) // die qq(read: $!\\n)"
        opening = f"open(F, '<', '{folder}/_blobs/{dead.big}') or die;"
    else:
        action, opening = f"stat('{folder}/_tags/new') or die qq(stat: $!\\n)", ""
    mark = dead.mark()
    process = subprocess.Popen(["perl", "-e", f"{handler} {opening} $| = 1; {action};"],
                               stderr=subprocess.PIPE, text=True)
    wait_until(lambda: dead.log(since=mark), what="the waiting request")
    time.sleep(0.2)
    return process, dead


def gone_in(process, seconds):
    started = time.monotonic()
    try:
        process.wait(seconds + 5)
    except subprocess.TimeoutExpired:
        pass
    took = time.monotonic() - started
    process.stderr.close()
    return took < seconds


@pytest.mark.parametrize("kind", ["read", "stat"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_fatal_signal(pair, kind, number):
    process, _ = blocked(pair, kind)
    process.send_signal(number)
    assert gone_in(process, 0.5)
    assert process.returncode == -number


@pytest.mark.parametrize("kind", ["read", "stat"])
def test_kill_after_a_handled_signal(pair, kind):
    """The second signal brings no second INTERRUPT, and is seen all the same."""
    process, _ = blocked(pair, kind, "$SIG{USR1} = sub {};")
    process.send_signal(signal.SIGUSR1)
    time.sleep(0.3)
    assert process.poll() is None
    process.kill()
    assert gone_in(process, 0.5)


@pytest.mark.parametrize("kind", ["read", "stat"])
@pytest.mark.parametrize("name", ["USR1", "URG", "CHLD", "ALRM"])
def test_handled_signal_disturbs_nobody(mount, emu, images, kind, name):
    """No EINTR for a program that merely handles signals."""
    images.large.fill(emu, "a")
    layer = images.large.document()["layers"][0]["digest"]
    m = mount(emu, timeout=10)
    os.stat(m / f"a/_blobs/{layer}")
    emu.fault(path="/manifests/|/blobs/", delay=1.5)
    if kind == "read":
        action = (f"open(F, '<', '{m}/a/_blobs/{layer}') or die;"
                  "my $n = sysread(F, $b, 65536); defined $n or die qq(read: $!\\n);"
                  "$n == 65536 or die qq(short: $n\\n)")
    else:
        action = f"stat('{m}/a/_tags/big') or die qq(stat: $!\\n)"
    action = action.replace(str(m), str(m.point))
    # _exit: perl takes its handlers away before it ends.
    process = subprocess.Popen(["perl", "-MPOSIX", "-e",
                                f"$SIG{{{name}}} = sub {{}}; {action}; POSIX::_exit(0)"],
                               stderr=subprocess.PIPE, text=True)
    number = getattr(signal, f"SIG{name}")
    wait_until(lambda: emu.hits() == [1], what="the waiting request")
    while process.poll() is None:
        process.send_signal(number)
        time.sleep(0.01)
    error = process.stderr.read()
    process.stderr.close()
    assert (process.returncode, error) == (0, "")


def test_others_keep_the_download(mount, emu, images):
    """A killed reader takes nothing from one who waits for the same bytes."""
    images.large.fill(emu, "a")
    layer = images.large.document()["layers"][0]["digest"]
    m = mount(emu, timeout=10)
    path = m / f"a/_blobs/{layer}"
    os.stat(path)
    emu.fault(path="/blobs/", method="GET", delay=1)
    one, two = (subprocess.Popen(["sha256sum", path], stdout=subprocess.PIPE, text=True)
                for _ in range(2))
    wait_until(lambda: emu.hits() == [1], what="the request")
    time.sleep(0.2)
    one.kill()
    one.wait(5)
    one.stdout.close()
    assert two.communicate(timeout=30)[0].split()[0] == layer[7:]


def test_no_waiter_no_download(mount, emu, images):
    """The last waiter's end cancels a transfer that nobody needs."""
    digest = emu.call("blob_pattern", repo="a", size=512 * MIB)
    m = mount(emu, timeout=10)
    path = m / f"a/_blobs/{digest}"
    os.stat(path)
    emu.fault(path="/blobs/", method="GET", count=0,
              trickle={"bytes": 65_536, "every": 0.02})
    reader = subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL)
    wait_until(lambda: any(e["sent"] for e in emu.log(path="/blobs/", method="GET")),
               what="bytes")
    reader.kill()
    reader.wait(5)
    wait_until(lambda: all(e["end"] for e in emu.log(path="/blobs/", method="GET")),
               15, "all transfers over")
