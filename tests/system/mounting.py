# SPDX-License-Identifier: Apache-2.0
"""Runs the real daemon on a mount point, and takes it away again, always."""
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tools import absent, run, wait_until

SUPPRESSIONS = Path(__file__).resolve().parent / "lsan.supp"

TOP = Path(__file__).resolve().parents[2]
LIVE = set()                            # mounts that must not outlive a test
START_SECONDS = 20                      # of a start, and of a leave
REPORT = re.compile(r"ERROR: (Address|Leak|Memory)Sanitizer|WARNING: ThreadSanitizer"
                    r"|runtime error:|SUMMARY: \w+Sanitizer")


def program():
    """The daemon: $REGISTRYFS, or a build in the usual places."""
    given = os.environ.get("REGISTRYFS")
    places = [given] if given else [TOP / "build/registryfs", TOP / "registryfs",
                                    shutil.which("registryfs") or ""]
    for place in places:
        if place and os.access(place, os.X_OK) and Path(place).is_file():
            return str(Path(place).resolve())
    return absent("no registryfs program (set REGISTRYFS)")


def sanitized(path=None):
    """True if the program carries a sanitizer: slower, and much larger."""
    data = Path(path or program()).read_bytes()
    return b"__asan_init" in data or b"__tsan_init" in data


def program_that(fits):
    """The program, $REGISTRYFS_PLAIN, or what contrib/test.sh built beside it: the
    first that fits; None."""
    given = program()
    beside = Path(given).resolve().parent.parent / "gcc/registryfs"
    for path in (given, os.environ.get("REGISTRYFS_PLAIN"), beside):
        if path and os.access(path, os.X_OK) and fits(path):
            return str(path)
    return None


def check_fuse():
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        absent("/dev/fuse cannot be opened")
    if shutil.which("fusermount3") is None:
        absent("not installed: fusermount3")


def is_mounted(point):
    """True if a FUSE file system is there, without touching it."""
    with open("/proc/self/mountinfo") as f:
        return any(line.split()[4] == str(point) for line in f)


def option_text(options):
    """{"cache_dir": p, "offline": True} -> "cache_dir=p,offline"."""
    return ",".join(k if v is True else f"{k}={v}"
                    for k, v in options.items() if v is not False)


class Mount:
    """One daemon on one mount point.

    folder holds everything of it: mount point, cache, home, log.  source None
    mounts all hosts.  `under` is a command that runs it, such as prlimit.  As a
    Path: mount / "team" / "app".
    """

    def __init__(self, folder, source=None, home=None, env=None, words=(), under=(),
                 **options):
        check_fuse()
        self.folder = Path(folder)
        self.point = self.folder / "mnt"
        self.home = Path(home) if home else self.folder / "home"
        self.log_path = self.folder / "log"
        for p in (self.point, self.home, self.folder / "tmp"):
            p.mkdir(parents=True, exist_ok=True)
        options.setdefault("cache_dir", self.folder / "cache")
        options.setdefault("timeout", 10)
        self.source, self.options, self.words = source, options, list(words)
        self.under = list(under)
        self.env = self._environment(env or {})
        self.process = None
        self.expect_exit = 0
        self.start()

    def _environment(self, more):
        env = {"PATH": os.environ["PATH"], "HOME": str(self.home),
               "XDG_RUNTIME_DIR": str(self.home), "TMPDIR": str(self.folder / "tmp"),
               "LC_ALL": "C.UTF-8",
               "ASAN_OPTIONS": "detect_leaks=1:exitcode=99",
               # libfuse 3.14 forgets an INTERRUPT that came after its request
               # was answered, if no other request follows before the unmount.
               "LSAN_OPTIONS": f"suppressions={SUPPRESSIONS}:print_suppressions=0",
               "UBSAN_OPTIONS": "print_stacktrace=1", "TSAN_OPTIONS": "exitcode=98"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                env[name] = os.environ[name]
        env.update(more)
        return env

    def command(self):
        words = [*self.under, program(), "-f", *self.words]
        if self.options:
            words += ["-o", option_text(self.options)]
        if self.source:
            words.append(self.source)
        return [*words, str(self.point)]

    def start(self):
        """Starts the daemon and waits till the mount is there."""
        log = open(self.log_path, "ab")
        LIVE.add(self)
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log, env=self.env, cwd="/")
        log.close()
        try:
            wait_until(self._ready, START_SECONDS, "the mount")
        except BaseException:
            self.destroy()
            raise

    def _ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"registryfs exited {self.process.returncode}:\n"
                                 f"{self.log()}")
        return is_mounted(self.point)

    # -- use -----------------------------------------------------------------
    def __truediv__(self, name):
        return self.point / name

    def host(self, server):
        """The directory of a registry in a mount of all hosts."""
        return self.point / server.address

    def log(self):
        return self.log_path.read_text(errors="replace")

    def status(self, name):
        return (self.point / ".registryfs" / name).read_text()

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def rss(self):
        """Peak resident set in bytes; sanitizers' own memory is discounted."""
        with open(f"/proc/{self.process.pid}/status") as f:
            peak = re.search(r"VmHWM:\s*(\d+) kB", f.read())
        return int(peak[1]) * 1024 // (5 if sanitized() else 1)

    # -- end -----------------------------------------------------------------
    def kill(self):
        """kill -9, as a crash would; the dead mount is detached."""
        self.process.kill()
        self.process.wait(10)
        self.expect_exit = None
        run("fusermount3", "-uz", self.point, check=False, timeout=10)

    def restart(self, source=None, **options):
        """Mounts again over the same folder, with changed options."""
        if self.process.poll() is None:
            self.unmount()
        self.source = source or self.source
        self.options.update(options)
        self.expect_exit = 0
        self.start()

    def unmount(self):
        """fusermount3 -u, then waits for the daemon to leave by itself."""
        for _ in range(40):
            done = run("fusermount3", "-u", self.point, check=False, timeout=20)
            if done.returncode == 0 or not is_mounted(self.point):
                break
            time.sleep(0.05)
        else:
            raise AssertionError(f"cannot unmount: {done.stderr}")
        self.process.wait(START_SECONDS)
        return self.process.returncode

    def destroy(self):
        """Whatever the state, leaves neither mount nor process behind."""
        if is_mounted(self.point):
            run("fusermount3", "-uz", self.point, check=False, timeout=10)
        if self.process.poll() is None:
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        if is_mounted(self.point):
            run("umount", "-l", self.point, check=False, timeout=10)
        LIVE.discard(self)

    def finish(self):
        """The end of a test: a clean leave, or an assertion with the log."""
        try:
            if self.process.poll() is None:
                self.unmount()
        finally:
            self.destroy()
        log = self.log()
        report = REPORT.search(log)
        assert not report, f"sanitizer report:\n{log[max(0, report.start() - 200):]}"
        if self.expect_exit is not None:
            assert self.process.returncode == self.expect_exit, \
                f"registryfs exited {self.process.returncode}:\n{log[-4000:]}"


def kill_live():
    """The last resort of the watchdog: frees everyone stuck in a mount."""
    for mount in list(LIVE):
        if mount.process is not None and mount.process.poll() is None:
            os.kill(mount.process.pid, signal.SIGKILL)
