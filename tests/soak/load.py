# SPDX-License-Identifier: Apache-2.0
"""The long run: readers, writers and evictions side by side, faults that come
and go, tokens that expire, a registry that is started again; and what the daemon
uses is measured all the while.

After the warm-up it may not grow between the first and the last quarter of what
was measured: open files by 40 (what the trees of four random images keep open while
the kernel knows them), threads by 16, nodes (after the kernel was asked to forget)
by 300, resident memory by 5 % and 8 MiB.  For memory the caches that have a bound
of their own count as warm-up: below CACHES_KIB it is not looked at; so for threads
below POOL_THREADS.
"""
import base64
import errno
import http.client
import json
import os
import random
import re
import statistics
import threading
import time
from collections import Counter, namedtuple

from world import (HONEST, PATIENCE, EmulatorProcess, Finding, Layout, World, names,
                   pending, put, read_file, sha256, wait_until)
from stacks import random_stack
from tarmaker import Layer, build

FAULTY_S, CALM_S = 12, 12
# What failed while there were faults may be remembered so long.
MEMORY_S = 7
BLOBS, CACHE = 10, "6M"
REPOS, STACKS = 40, 10
RESTART_S = 300
SAMPLE_S, FORGET_S = 2, 20
WARM_UP = 0.25
# How much more there may be at the end: a share, and a number.
BOUNDS = {"rss_kib": (0.05, 8192), "files": (0, 40), "threads": (0, 16),
          "nodes": (0, 300)}
# Decoded spans (32 MiB), parsed documents (8), pages of two databases (8), and the
# rest of a daemon that has just been started (16); and what lies between them.
CACHES_KIB = (32 + 8 + 8 + 16 + 16) << 10
# Requests that wait together, the kernel's read-ahead too, each have one; the pool
# has 64 at most, and keeps them.
POOL_THREADS = 64 + 16
FLOORS = {"rss_kib": CACHES_KIB, "threads": POOL_THREADS}
# Tokens may expire again before their second try.
TROUBLED = HONEST | {errno.EBADMSG, errno.EACCES}
FAULTS = ({"drop": "fin"}, {"drop": "rst"}, {"status": 503},
          {"status": 429, "headers": {"Retry-After": "0"}}, {"cut": {"at": 60}},
          {"stall": {"at": 20, "seconds": 1}}, {"delay": 0.3},
          {"path": "/blobs/", "flip": 17}, {"expire": ["tokens", "urls"]},
          {"path": "/uploads/", "lose_session": True},
          {"path": "/uploads/", "digest_invalid": True},
          {"trickle": {"bytes": 20000, "every": 0.01}})
Sample = namedtuple("Sample", "seconds rss_kib files threads")


class LoadWorld(World):
    """A registry with tokens and redirects, which can be started again."""

    SETTINGS = ("bearer", "redirect=307")

    def __init__(self, folder=None):
        super().__init__(folder, self.SETTINGS[1], profile=self.SETTINGS[0])
        dice = random.Random(9)
        self.blobs = [dice.randbytes(1 << 20) for _ in range(BLOBS)]
        self.stacks = []                # (image, model)
        self.stack_seed = 0
        self.fill()
        for _ in range(STACKS):
            self.new_stack()

    def fill(self):
        # For those who look whether it is there: not part of the test.
        self.emu.set(registry_tokens={"looker": "jo"})
        self.image.fill(self.emu, "a", "1")
        for data in self.blobs:
            self.emu.add_blob("big", data)
        for image, _ in self.stacks:
            image.fill(self.emu, "s", f"d{image.digest[7:27]}")

    def restart(self):
        port = self.emu.ports["registry"]
        self.emu.stop()
        self.emu = EmulatorProcess(*self.SETTINGS, port=port)
        self.fill()

    def new_stack(self):
        """Another random image; only the last ones are kept."""
        self.stack_seed += 1
        tars, model = random_stack(self.stack_seed)
        folder = self.folder / f"stack{self.stack_seed}"
        image = build(folder, [Layer(t) for t in tars])
        image.fill(self.emu, "s", f"d{image.digest[7:27]}")
        self.stacks = [*self.stacks[1 - STACKS:], (image, model)]

    def account(self):
        path = self.folder / "auth.json"
        word = base64.b64encode(b"jo:secret").decode()
        path.write_text(json.dumps({"auths": {self.emu.address: {"auth": word}}}))
        path.chmod(0o600)
        return path


class Load:
    def __init__(self, world, part, seed, seconds):
        self.world, self.part, self.seed = world, part, seed
        self.until = time.monotonic() + seconds
        self.stop = threading.Event()
        self.calm_since = time.monotonic()      # None: there are faults
        self.counts, self.lock = Counter(), threading.Lock()
        self.samples, self.node_counts = [], []
        # Held shared by one piece of work, alone by who changes the registry.
        self.gate = Gate()
        self.m = world.daemon(authfile=world.account(), cache_size=CACHE,
                              timeout=round(3 * PATIENCE))
        if not self.m.up:
            raise Finding(f"does not start:\n{self.m.log()[-3000:]}")

    # -- work ----------------------------------------------------------------
    def worker(self, work, seed):
        dice = random.Random(seed)
        while not self.stop.is_set():
            with self.gate:
                self.one(work, dice)

    def one(self, work, dice):
        started, calm = time.monotonic(), self.calm_since
        strict = calm is not None and started - calm > MEMORY_S
        name = work.__name__
        try:
            work(dice)
            self.count(f"{name} done")
        except OSError as e:
            code = errno.errorcode.get(e.errno, str(e.errno))
            self.count("calls failed by faults")
            # A session that is lost again and again: the registry's own word.
            lost = name == "write" and e.errno == errno.ENOENT
            if (e.errno not in TROUBLED and not lost) or \
                    (strict and self.calm_since == calm):
                self.found(f"{name}: {code} {'in the calm' if strict else ''} {e}\n"
                           f"{self.last_errors()}")
        except Finding as e:
            self.found(f"{name}: {e}")
        if time.monotonic() - started > 90 * PATIENCE:
            self.found(f"{name} took {time.monotonic() - started:.0f} s")

    def last_errors(self):
        try:
            text = read_file(self.m / ".registryfs/errors").decode()
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-12:])

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def found(self, text):
        with self.lock:
            if len(self.part.findings) < 20:
                self.part.findings.append(f"{self.part.name}: {text}\n")
                print(f"FINDING {text}", flush=True)

    def same(self, what, got, want):
        if got != want:
            raise Finding(f"{what}: wrong bytes ({len(got)} for {len(want)})")

    def read(self, dice):
        """A blob, whole or in places; or a file of the image."""
        data = dice.choice(self.world.blobs)
        path = self.m / f"big/_blobs/{sha256(data)}"
        if dice.random() < 0.4:
            self.same("blob", read_file(path), data)
            return
        fd = os.open(path, os.O_RDONLY)
        try:
            for _ in range(8):
                at, n = dice.randrange(1 << 20), dice.randrange(1, 200_000)
                self.same("part of a blob", os.pread(fd, n, at), data[at:at + n])
        finally:
            os.close(fd)

    def inside(self, dice):
        image = self.world.image
        root = self.m / f"a/_rootfs/{image.digest}"
        for path, what in image.tree.items():
            if isinstance(what, bytes):
                self.same(path, read_file(root / path), what)
        top = self.m / "a/_tags/1"
        self.same("tag", json.loads(read_file(top / "index.json"))["manifests"][0][
            "digest"], image.digest)
        names(top / "blobs/sha256")

    def stack(self, dice):
        """A random image's root, name by name as the model has it."""
        if not self.world.stacks:
            return
        image, model = dice.choice(self.world.stacks)
        compare(self.m / f"s/_rootfs/{image.digest}", image, model)

    def write(self, dice):
        """A new image under one of so many names, and what came of it."""
        repo = f"out/w{dice.randrange(REPOS)}-{threading.get_ident() % 1000}"
        layout = Layout(self.world.folder / f"push{dice.getrandbits(60):x}")
        image = layout.finish(layout.add_image([dice.randbytes(dice.randrange(
            1000, 100_000))]), "1")
        top = self.m / repo / "_tags/1"
        try:
            self.copy(image, top)
            self.check_pushed(repo, image)
        except OSError:
            self.tidy(repo, top)
            raise
        finally:
            remove(layout.folder)

    def copy(self, image, top):
        os.makedirs(top / "blobs/sha256", exist_ok=True)
        for digest in image.blobs():
            put(top / "blobs/sha256" / digest[7:], image.data(digest))
        put(top / "index.json", (image.folder / "index.json").read_bytes())

    def check_pushed(self, repo, image):
        """The registry has it; who asks meets its faults as well."""
        for digest in image.blobs():
            name = f"blobs/{digest}" if digest != image.digest else "manifests/1"
            for _ in range(100):
                if self.is_there(f"/v2/{repo}/{name}", digest):
                    break
                time.sleep(0.3)
            else:
                raise Finding(f"{repo}: acknowledged, and {name} is not there")

    def is_there(self, path, digest):
        try:
            body = self.world.fetch(path)
        except (OSError, http.client.HTTPException):
            return False
        return body is not None and sha256(body) == digest

    def tidy(self, repo, top):
        """What was left by a copy that failed; while there are faults that may
        fail as well."""
        try:
            folder = self.m / ".registryfs/pending"
            for name in os.listdir(folder):
                if repo in read_file(folder / name).decode():
                    os.unlink(folder / name)
            os.rmdir(top)
        except OSError:
            self.count("left-overs of failed copies")

    def about(self, dice):
        for name in ("status", "status.json", "transfers", "errors"):
            read_file(self.m / ".registryfs" / name)
        pending(self.m)
        time.sleep(0.5)

    # -- what happens meanwhile ------------------------------------------------
    def weather(self):
        dice = random.Random(self.seed)
        restart_at = time.monotonic() + RESTART_S
        while not self.stop.is_set():
            with self.gate.alone():
                if time.monotonic() > restart_at:
                    self.world.restart()
                    self.count("restarts of the registry")
                    restart_at = time.monotonic() + RESTART_S
                self.world.new_stack()
                self.world.emu.call("clear_log")
            self.stop.wait(CALM_S)
            self.calm_since = None
            until = time.monotonic() + FAULTY_S
            while time.monotonic() < until and not self.stop.is_set():
                self.world.emu.fault(nth=dice.randrange(1, 8), count=dice.randrange(1, 5),
                                     **dice.choice(FAULTS))
                self.count("faults")
                self.stop.wait(dice.uniform(0.1, 1))
            self.world.emu.clear_faults()
            self.calm_since = time.monotonic()

    def sample(self):
        pid = self.m.process.pid
        with open(f"/proc/{pid}/status") as f:
            text = f.read()
        return Sample(time.monotonic(), int(re.search(r"VmRSS:\s*(\d+)", text)[1]),
                      len(os.listdir(f"/proc/{pid}/fd")),
                      int(re.search(r"Threads:\s*(\d+)", text)[1]))

    def nodes(self):
        """Those that are left when the kernel forgets all it can."""
        try:
            with open("/proc/sys/vm/drop_caches", "w") as f:
                f.write("2\n")
        except OSError:
            return                      # not for us to say
        text = read_file(self.m / ".registryfs/metrics").decode()
        self.node_counts.append(int(re.search(r"^registryfs_nodes (\d+)", text, re.M)[1]))

    def measure(self):
        forget_at = 0
        while time.monotonic() < self.until and not self.part.findings:
            if self.m.process.poll() is not None:
                raise Finding(f"the daemon left: {self.m.log()[-3000:]}")
            self.samples.append(self.sample())
            if time.monotonic() > forget_at:
                self.nodes()
                forget_at = time.monotonic() + FORGET_S
            self.stop.wait(SAMPLE_S)

    # -- all of it -------------------------------------------------------------
    def run(self):
        works = [self.read, self.read, self.inside, self.stack, self.write, self.write,
                 self.about]
        threads = [threading.Thread(target=self.worker, args=(w, self.seed * 100 + i))
                   for i, w in enumerate(works)]
        threads.append(threading.Thread(target=self.weather))
        for t in threads:
            t.daemon = True
            t.start()
        try:
            self.measure()
        finally:
            self.stop.set()
            for t in threads:
                t.join(100)
            if any(t.is_alive() for t in threads):
                self.m.process.kill()
                raise Finding("a call hung")
        return self.judge()

    def judge(self):
        for name, values in self.series().items():
            self.trend(name, values)
        self.world.emu.clear_faults()
        for name in names(self.m / ".registryfs/pending"):
            os.unlink(self.m / ".registryfs/pending" / name)
        self.m.unmount()
        self.m.check()
        return self.counts

    def series(self):
        found = {name: [getattr(s, name) for s in self.samples]
                 for name in ("rss_kib", "files", "threads")}
        return {**found, "nodes": self.node_counts}

    def trend(self, name, values):
        values = values[int(len(values) * WARM_UP):]
        quarter = len(values) // 4
        if quarter < 1:
            return
        first = statistics.median(values[:quarter])
        last = statistics.median(values[-quarter:])
        share, number = BOUNDS[name]
        self.part.facts[name] = {"first": round(first), "last": round(last),
                                 "most": max(values), "samples": len(values)}
        first = max(first, FLOORS.get(name, 0))
        if last > first * (1 + share) + number:
            step = max(1, len(values) // 20)
            self.found(f"{name} grows from {first:.0f} to {last:.0f}: "
                       f"{values[::step]}")


class Gate:
    """Many may be inside, or one alone."""

    def __init__(self):
        self.changed = threading.Condition()
        self.inside, self.waiting = 0, False

    def __enter__(self):
        with self.changed:
            self.changed.wait_for(lambda: not self.waiting)
            self.inside += 1

    def __exit__(self, *exc):
        with self.changed:
            self.inside -= 1
            self.changed.notify_all()

    def alone(self):
        return Alone(self)


class Alone:
    def __init__(self, gate):
        self.gate = gate

    def __enter__(self):
        with self.gate.changed:
            self.gate.waiting = True
            self.gate.changed.wait_for(lambda: self.gate.inside == 0, 100)

    def __exit__(self, *exc):
        with self.gate.changed:
            self.gate.waiting = False
            self.gate.changed.notify_all()


def remove(folder):
    for path, _, files in os.walk(folder, topdown=False):
        for name in files:
            os.unlink(os.path.join(path, name))
        os.rmdir(path)


# -- random images against their model ---------------------------------------------

def compare(root, image, model):
    """Names, kinds, who brought them, which share an inode, and the contents."""
    found, inodes = {}, {}
    for folder, dirs, files in os.walk(root, onerror=raise_it):
        for name in dirs + files:
            path = os.path.join(folder, name)
            kind, inode = kind_of(path)
            short = path[len(str(root)) + 1:]
            found[short] = kind
            inodes.setdefault(inode, set()).add(short)
    want = {p: kind for p, (kind, _, _) in model.tree.items()}
    if found != want:
        raise Finding(f"another tree: {sorted(set(found.items()) ^ set(want.items()))}")
    shared = {}
    for path, (_, identity, _) in model.tree.items():
        shared.setdefault(identity, set()).add(path)
    if sorted(map(sorted, inodes.values())) != sorted(map(sorted, shared.values())):
        raise Finding("other hard links")
    for path, (kind, _, layer) in model.tree.items():
        compare_file(os.path.join(root, path), kind, layer, image.layers[layer].digest)


def compare_file(path, kind, layer, digest):
    if kind == "symlink":
        if not os.readlink(path).startswith(f"to/{layer}/"):
            raise Finding(f"{path} leads to {os.readlink(path)}")
        return
    if os.getxattr(path, "user.registryfs.layer").decode() != digest:
        raise Finding(f"{path} is said to be of another layer")
    if kind == "file" and not read_file(path).startswith(f"{layer}/".encode()):
        raise Finding(f"{path} has another content")


def kind_of(path):
    st = os.lstat(path)
    kinds = {0o040000: "dir", 0o100000: "file", 0o120000: "symlink"}
    return kinds[st.st_mode & 0o170000], st.st_ino


def raise_it(error):
    raise error


def trees(world, part, seed, limit=None):
    """Random stacks of layers, each a new image: the merge is the model's."""
    m = world.daemon()
    try:
        while part.goes_on(limit):
            one = seed * 1_000_000 + part.cycles

            def run():
                tars, model = random_stack(one, layers=2 + one % 5, entries=8 + one % 17)
                folder = world.folder / f"stack{one}"
                image = build(folder, [Layer(t) for t in tars])
                image.fill(world.emu, "s", f"d{image.digest[7:27]}")
                try:
                    compare(m / f"s/_rootfs/{image.digest}", image, model)
                finally:
                    remove(folder)
                return {"names": len(model.tree)}
            part.cycle(f"random_stack({one})", run)
        m.unmount()
        m.check()
    finally:
        m.destroy()


def soak(world, part, seed, limit=None):
    own = LoadWorld()
    load = Load(own, part, seed, part.time_left())
    try:
        part.cycle("mixed load", load.run)
        wait_until(lambda: load.m.process.poll() is not None, 20, "its end")
    finally:
        load.m.destroy()
        own.close()
