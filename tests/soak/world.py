# SPDX-License-Identifier: Apache-2.0
"""What all parts share: an emulator with images whose every byte is known, a
daemon whose death is a finding and not an exception, and one scenario that
touches everything, each of whose calls is judged.

A call may fail, with an errno that says so.  It may not give wrong or short
data, say that something does not exist, hang, or end the daemon.
"""
import errno
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent
sys.path[:0] = [str(TESTS), str(TESTS / "system")]

import mounting  # noqa: E402
from emulator.client import EmulatorProcess  # noqa: E402
from emupush import EVERY  # noqa: E402
from images import Layout  # noqa: E402
from tarmaker import END, directory, file, hardlink, symlink, whiteout  # noqa: E402
from tools import read_file, run, sha256, wait_until  # noqa: E402

# Errors that a fault inside the daemon may show.  Not among them: those that
# say what is not true (ENOENT, EBADMSG, EEXIST, …), EAGAIN, which readers take
# for the end of the file, or that the mount is dead.
HONEST = {errno.ENOMEM, errno.EIO, errno.ENOSPC, errno.EMFILE, errno.ENFILE,
          errno.EROFS, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ECONNREFUSED,
          errno.EREMOTEIO, errno.EINTR, errno.EBUSY, errno.EDQUOT}
TRANSIENT = HONEST | {errno.EBADMSG}
DEAD = {errno.ENOTCONN, errno.ECONNABORTED, errno.ESHUTDOWN}
# On a machine that does much else, everything takes longer.
PATIENCE = float(os.environ.get("SOAK_PATIENCE", 1))
CALL_SECONDS = 30 * PATIENCE
mounting.START_SECONDS *= PATIENCE


class Finding(AssertionError):
    """Something that must not happen did."""


def folder_in_memory(prefix):
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix=prefix, dir=base))


def small_image(folder):
    """Three layers; .tree is what the merged root holds."""
    layout = Layout(folder)
    noise = random.Random(3).randbytes(600_000)
    tars = [directory("etc") + file("etc/passwd", b"root:x:0:0\n")
            + file("etc/gone", b"gone\n") + file("noise", noise) + END,
            directory("etc") + whiteout("etc/gone") + symlink("etc/link", "passwd")
            + END,
            directory("usr") + file("usr/one", b"one\n" * 5000)
            + hardlink("usr/two", "usr/one") + END]
    image = layout.finish(layout.add_image(tars), "1")
    image.tree = {"etc": None, "usr": None, "etc/passwd": b"root:x:0:0\n",
                  "etc/link": "passwd", "noise": noise, "usr/one": b"one\n" * 5000,
                  "usr/two": b"one\n" * 5000}
    image.layers = [x["digest"] for x in image.document()["layers"]]
    return image


class Daemon(mounting.Mount):
    """A mount that may fail to start, and whose calls are watched."""

    def __init__(self, *args, **kwargs):
        self.hung = ""                  # where its threads were
        super().__init__(*args, **kwargs)

    def start(self):
        try:
            super().start()
            self.up = True
        except AssertionError:
            self.up = False

    def unmount(self):
        try:
            return super().unmount()
        except subprocess.TimeoutExpired:
            raise Finding("it does not leave after the unmount:\n"
                          f"{threads(self.process.pid)}") from None

    def bite(self, step):
        """A call that hangs ends with the daemon."""
        self.hung = f"a call hung: {step}"
        try:
            self.hung += f"\n{threads(self.process.pid)}"
        finally:
            self.process.kill()

    def check(self, codes=(0,)):
        """After its end: how it left, and what it said."""
        if self.hung:
            raise Finding(self.hung)
        code = self.process.returncode
        report = mounting.REPORT.search(self.log())
        if report:
            raise Finding(f"sanitizer:\n{self.log()[report.start() - 100:][:4000]}")
        if code not in codes:
            raise Finding(f"the daemon exited {code}:\n{self.log()[-3000:]}")

    def descriptors(self):
        """Open files, by kind."""
        kinds = {"socket": 0, "other": 0}
        folder = f"/proc/{self.process.pid}/fd"
        for name in os.listdir(folder):
            try:
                target = os.readlink(f"{folder}/{name}")
            except OSError:
                continue
            kinds["socket" if target.startswith("socket:") else "other"] += 1
        return kinds


def threads(pid):
    """Where the threads of a process are, as far as can be told."""
    if shutil.which("gdb"):
        return run("gdb", "-p", pid, "-batch", "-ex", "thread apply all bt 12",
                   check=False, timeout=60).stdout[-6000:]
    lines = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines.append(f"{(task / 'comm').read_text().strip()}: "
                     f"{(task / 'syscall').read_text().strip()}")
    return "\n".join(lines)


class Died(Exception):
    """The daemon is gone, which was to be expected."""


class Judge:
    """Makes calls and keeps what went wrong, honestly or not.

    allowed: errnos that a call may end with.  grace: what failed shortly before
    may be remembered for so many seconds.  ending: this daemon may end meanwhile,
    as who made the judge will look into."""

    def __init__(self, allowed=HONEST, grace=0, ending=None):
        self.allowed, self.grace, self.ending = allowed, grace, ending
        self.errors = []                # (step, errno's name)
        self.last = ("", time.monotonic())      # the call that is made, since when
        self.acknowledged = set()       # repositories with an index.json
        self.forgotten = set()          # of them; perhaps

    def call(self, step, function, *args, expect=None):
        """The result (True for None), or None after an honest failure."""
        until = time.monotonic() + self.grace
        while True:
            self.last = (step, time.monotonic())
            try:
                value = function(*args)
                break
            except OSError as e:
                if e.errno in TRANSIENT - self.allowed and time.monotonic() < until:
                    time.sleep(0.05)
                    continue
                self.blame(step, e)
                return None
        if expect is not None and value != expect:
            raise Finding(f"{step}: wrong: {str(value)[:300]}")
        return value if value is not None else True

    def blame(self, step, e):
        name = errno.errorcode.get(e.errno, str(e.errno))
        if self.ending and e.errno in DEAD | {errno.EIO}:
            try:
                self.ending.process.wait(2)
                raise Died from e
            except subprocess.TimeoutExpired:
                pass
        if e.errno not in self.allowed:
            raise Finding(f"{step}: {name}") from e
        self.errors.append((step, name))


class Watch(threading.Thread):
    """The daemon that does not answer a judge's call is ended."""

    def __init__(self, m, judge):
        super().__init__(daemon=True)
        self.m, self.judge, self.over = m, judge, threading.Event()
        judge.last = ("", time.monotonic())
        self.start()

    def run(self):
        while not self.over.wait(1):
            step, since = self.judge.last
            if time.monotonic() - since > CALL_SECONDS:
                self.m.bite(step)
                return

    def cancel(self):
        self.over.set()


class World:
    """One emulator with one image as a/_tags/1."""

    def __init__(self, folder=None, *settings, profile="distribution"):
        self.folder = Path(folder) if folder else folder_in_memory("rfs-soak-")
        self.emu = EmulatorProcess(profile, *settings)
        self.image = small_image(self.folder / "image")
        self.image.fill(self.emu, "a", "1")
        self.runs = 0

    def close(self):
        self.emu.stop()
        run("rm", "-rf", "--one-file-system", self.folder)

    def next_folder(self):
        self.runs += 1
        return self.folder / f"m{self.runs}"

    def daemon(self, folder=None, env=None, **options):
        folder = folder or self.next_folder()
        options.setdefault("timeout", round(5 * PATIENCE))
        # What the dynamic linker keeps is told by its caller, now a library.
        more = {"LSAN_OPTIONS": f"suppressions={HERE / 'lsan.supp'}:"
                                "print_suppressions=0",
                "ASAN_OPTIONS": "detect_leaks=1:exitcode=99:verify_asan_link_order=0:"
                                "allocator_may_return_null=1", **(env or {})}
        return Daemon(folder, self.emu.address, env=more, **options)

    # -- the scenario --------------------------------------------------------
    def scenario(self, m, judge, tag):
        """tag: a name that was not used before, for what is written."""
        timer = Watch(m, judge)
        try:
            for step in (self.look, self.read, self.inside, self.write, self.link,
                         self.postpone, self.about):
                step(m, judge, tag)
        finally:
            timer.cancel()
            if m.hung:
                raise Finding(m.hung)

    def look(self, m, judge, tag):
        judge.call("ls tags", names, m / "a/_tags", expect=["1"])
        top = m / "a/_tags/1"
        shown = judge.call("ls image", names, top)
        if shown and not {"index.json", "blobs", "layers", "manifest.json"} <= set(shown):
            raise Finding(f"ls image: {shown}")
        judge.call("ls blobs", names, top / "blobs/sha256",
                   expect=sorted(d[7:] for d in self.image.blobs()))
        judge.call("readlink", os.readlink, top / "manifest.json",
                   expect=f"blobs/sha256/{self.image.digest[7:]}")

    def read(self, m, judge, tag):
        for digest, size in self.image.blobs().items():
            path = m / f"a/_tags/1/blobs/sha256/{digest[7:]}"
            st = judge.call("stat blob", os.stat, path)
            if st and st.st_size != size:
                raise Finding(f"stat: {st.st_size} for {size}")
            judge.call("read blob", read_file, path, expect=self.image.data(digest))
        text = judge.call("read index", read_file, m / "a/_tags/1/index.json")
        if text and json.loads(text)["manifests"][0]["digest"] != self.image.digest:
            raise Finding("read index: another image")

    def inside(self, m, judge, tag):
        layer = m / f"a/_layers/{self.image.layers[2]}"
        judge.call("ls layer", names, layer / "usr", expect=["one", "two"])
        judge.call("read layer", read_file, layer / "usr/two", expect=b"one\n" * 5000)
        judge.call("getxattr", os.getxattr, layer / "usr/one", "user.registryfs.layer",
                   expect=self.image.layers[2].encode())
        root = m / f"a/_rootfs/{self.image.digest}"
        judge.call("ls root", names, root, expect=["etc", "noise", "usr"])
        judge.call("ls etc", names, root / "etc", expect=["link", "passwd"])
        for path, what in self.image.tree.items():
            if isinstance(what, bytes):
                judge.call("read root", read_file, root / path, expect=what)
            elif what:
                judge.call("readlink root", os.readlink, root / path, expect=what)

    def write(self, m, judge, tag):
        """cp -r from disk, and from the mount itself."""
        self.copy(m, judge, f"out/{tag}", self.image.data)
        self.copy(m, judge, f"other/{tag}", lambda digest: read_file(
            m / f"a/_blobs/{digest}"))

    def copy(self, m, judge, repo, source):
        top = m / repo / "_tags/1"
        blobs = top / "blobs/sha256"
        if not judge.call("mkdir", os.makedirs, blobs):
            return
        for digest in self.image.blobs():
            data = judge.call("read to copy", source, digest)
            if data:
                judge.call("write blob", put, blobs / digest[7:], data)
        index = (self.image.folder / "index.json").read_bytes()
        done = judge.call("write index", put, top / "index.json", index)
        if done:
            judge.acknowledged.add(repo)
        self.check_copy(m, judge, repo, done)

    def check_copy(self, m, judge, repo, done):
        """Acknowledged: published, or pending.  Not: whole, or not there."""
        if self.held(repo):
            return
        if not done:
            return
        texts = judge.call("list pending", pending, m)
        if texts is not None and not named(repo, texts) and not self.held(repo):
            raise Finding(f"{repo}: acknowledged, and neither published nor pending")

    def fetch(self, path):
        """What a client gets from the registry; None: it is not there."""
        request = urllib.request.Request(f"http://{self.emu.address}{path}", headers={
            "Accept": EVERY})
        # Not to be passed on where a redirect leads.
        request.add_unredirected_header("Authorization", "Bearer looker")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.read()
        except urllib.error.HTTPError as e:
            with e:
                if e.code == 404:
                    return None
                raise

    def held(self, repo, tag="1"):
        """Is it published?  Then it is checked byte for byte."""
        body = self.fetch(f"/v2/{repo}/manifests/{tag}")
        if body is None:
            return False
        if sha256(body) != self.image.digest:
            raise Finding(f"{repo}:{tag} is another image")
        for digest in self.image.blobs():
            kind = "manifests" if digest == self.image.digest else "blobs"
            body = self.fetch(f"/v2/{repo}/{kind}/{digest}")
            if body is None or sha256(body) != digest:
                raise Finding(f"{repo}:{tag} is published without {digest}")
        return True

    def link(self, m, judge, tag):
        if judge.call("symlink", os.symlink, "1", m / f"out/{tag}/_tags/2") \
                if self.held(f"out/{tag}") else None:
            if not self.held(f"out/{tag}", "2"):
                raise Finding("symlink: acknowledged, and the tag is not there")

    def postpone(self, m, judge, tag):
        """An image that is incomplete is kept; its entry's removal forgets it."""
        repo = f"late/{tag}"
        blobs = m / repo / "_tags/1/blobs/sha256"
        if not judge.call("mkdir", os.makedirs, blobs):
            return
        data = self.image.data(self.image.digest)
        if not judge.call("write manifest", put, blobs / self.image.digest[7:], data):
            return
        index = (self.image.folder / "index.json").read_bytes()
        if not judge.call("write late index", put, m / repo / "_tags/1/index.json",
                          index):
            return
        judge.acknowledged.add(repo)
        folder = m / ".registryfs/pending"
        for name in judge.call("ls pending", os.listdir, folder) or []:
            text = judge.call("read pending", read_file, folder / name)
            if text and named(repo, [text.decode()]):
                judge.forgotten.add(repo)
                judge.call("forget", os.unlink, folder / name)
                return
        if not judge.errors:
            raise Finding(f"{repo}: acknowledged, and not pending")

    def check_kept(self, m, judge):
        """What a daemon that is gone had acknowledged is there."""
        texts = pending(m)
        for repo in judge.acknowledged - judge.forgotten:
            if not named(repo, texts) and not self.held(repo):
                raise Finding(f"{repo} was acknowledged and is lost; pending: {texts}")

    def tidy(self, m, judge, tag):
        """Takes away what the scenario wrote and could not publish."""
        folder = m / ".registryfs/pending"
        for name in os.listdir(folder):
            judge.call("forget", os.unlink, folder / name)
        for repo in (f"out/{tag}", f"other/{tag}", f"late/{tag}"):
            path = m / repo / "_tags/1"
            if judge.call("look for a draft", path.exists) is True and \
                    not self.held(repo):
                judge.call("rmdir draft", os.rmdir, path)

    def about(self, m, judge, tag):
        for name in ("status", "status.json", "metrics", "errors"):
            judge.call(f"read {name}", read_file, m / ".registryfs" / name)


def names(path):
    return sorted(os.listdir(path))


def put(path, data):
    """Writes a file; errors of each write and of the close count."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        at = 0
        while at < len(data):
            at += os.write(fd, data[at:at + (128 << 10)])
    except BaseException:
        try:
            os.close(fd)
        except OSError:
            pass
        raise
    os.close(fd)


def named(repo, texts):
    return any(re.search(re.escape(repo) + r"\b", t) for t in texts)


def pending(m):
    """The texts of all pending images."""
    folder = m / ".registryfs/pending"
    return [read_file(folder / name).decode() for name in os.listdir(folder)]


def settled(m, base, seconds=5):
    """Descriptors are what they were at rest: connections may differ."""
    def same():
        now = m.descriptors()
        return now["other"] <= base["other"] and now["socket"] <= base["socket"] + 8
    try:
        wait_until(same, seconds, "")
    except AssertionError:
        raise Finding(f"descriptors leak: {base} before, {m.descriptors()} now") from None
