# SPDX-License-Identifier: Apache-2.0
"""Users and processes of this machine, and what they leave behind: rows C1 to C12."""
import base64
import concurrent.futures
import json
import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import pytest

import mounting
from emulator.client import EmulatorProcess
from hostile import Scripted
from logins import auth_file
from tools import absent, errno_of, read_file, run

NOBODY = 65534
MORE = int(os.environ.get("RFS_HOSTILE_LONG", "1"))     # times as many mutants
WORD = "c4nary-local"


def need_root():
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        absent("needs root and setpriv")


@pytest.fixture(scope="module")
def shared(tmp_path_factory, images):
    """A mount of root's that lets others in, in a folder that others may enter."""
    need_root()
    folder = Path(tempfile.mkdtemp(prefix="rfs-shared-"))
    folder.chmod(0o755)
    emu = EmulatorProcess("distribution3", "delete=true")
    images.single.fill(emu, "a")
    m = mounting.Mount(folder / "m", emu.address, allow_other=True, allow_delete=True,
                       timeout=3)
    assert read_file(m / "a/_tags/1.4/index.json")
    yield emu, m
    try:
        m.finish()
    finally:
        m.destroy()
        emu.stop()
        shutil.rmtree(folder)


def as_nobody(*words, **kwargs):
    return run("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *words,
               check=False, timeout=20, **kwargs)


# -- C1, C12: what others may do -----------------------------------------------------------

TRICK = """
import ctypes, errno, os, sys
p = sys.argv[1]
tag, image = p + "/a/_tags", p + "/a/_tags/1.4"
libc = ctypes.CDLL(None, use_errno=True)
def touch(path):
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o666))
deeds = dict(
    mkdir=lambda: os.mkdir(tag + "/new"), rmdir=lambda: os.rmdir(image),
    symlink=lambda: os.symlink("1.4", tag + "/latest"),
    rename=lambda: os.rename(image, tag + "/1.5"),
    create=lambda: touch(p + "/a/_blobs/sha256:" + "0" * 64),
    index=lambda: touch(image + "/index.json"),
    unlink=lambda: os.unlink(image + "/index.json"),
    truncate=lambda: os.truncate(image + "/index.json", 0),
    chmod=lambda: os.chmod(image, 0o777), chown=lambda: os.chown(image, 65534, 65534),
    utime=lambda: os.utime(image + "/index.json"),
    link=lambda: os.link(image + "/index.json", tag + "/x"),
    mknod=lambda: os.mknod(tag + "/x"), setxattr=lambda: os.setxattr(image, "user.x", b"1"),
    removexattr=lambda: os.removexattr(image, "user.oci.digest"),
    repository=lambda: os.mkdir(p + "/b"),
    pending=lambda: os.listdir(p + "/.registryfs/pending"),
    errors=lambda: touch(p + "/.registryfs/errors"),
    cache=lambda: touch(p + "/.registryfs/cache"),
    orders=lambda: [touch(p + "/.registryfs/" + n)
                    for n in os.listdir(p + "/.registryfs")])
try:
    deeds[sys.argv[2]]()
except OSError as e:
    print(errno.errorcode[e.errno])
else:
    print("done")
"""
DEEDS = ["mkdir", "rmdir", "symlink", "rename", "create", "index", "unlink", "truncate",
         "chmod", "chown", "utime", "link", "mknod", "setxattr", "removexattr",
         "repository"]
REFUSED = ("EACCES", "EPERM", "EROFS", "EEXIST", "EOPNOTSUPP", "ENOENT")


@pytest.mark.parametrize("deed", DEEDS)
def test_c1_deed(shared, deed):
    """Nobody reads what all may read, and changes nothing, here or there."""
    emu, m = shared
    mark = emu.mark()
    done = as_nobody("/usr/bin/python3", "-c", TRICK, m.point, deed)
    assert done.stdout.strip() in REFUSED, done.stdout + done.stderr
    assert all(e["method"] in ("GET", "HEAD") for e in emu.log(since=mark))
    assert as_nobody("cat", m / "a/_tags/1.4/index.json").returncode == 0


@pytest.mark.parametrize("deed", ["errors", "cache", "orders"])
def test_c12_files(shared, deed):
    _, m = shared
    done = as_nobody("/usr/bin/python3", "-c", TRICK, m.point, deed)
    assert done.stdout.strip() in REFUSED, done.stdout + done.stderr


@pytest.mark.parametrize("words", [("evict", "{}/a/_tags/1.4"), ("evict", "--all", "{}/a"),
                                   ("cache", "--prune", "{}")], ids=" ".join)
def test_c12_orders(shared, words):
    """Only who mounted, and root, may throw away what is cached."""
    emu, m = shared
    read_file(m / "a/_tags/1.4/config.json")
    words = [w.format(m.point) for w in words]
    # The program may be where only root can go.
    with tempfile.TemporaryDirectory(prefix="rfs-bin-") as folder:
        os.chmod(folder, 0o755)
        program = Path(folder) / "registryfs"
        shutil.copy(mounting.program(), program)
        done = as_nobody(program, *words, env={"PATH": os.environ["PATH"],
                                               "ASAN_OPTIONS": "detect_leaks=0"})
    assert done.returncode == 2, done.stdout + done.stderr
    mark = emu.mark()
    assert read_file(m / "a/_tags/1.4/config.json")
    assert emu.log(since=mark, path="/blobs/") == []


# -- C3: the cache directory ---------------------------------------------------------------

@pytest.mark.parametrize("name, what", [
    ("meta.db", "link"), ("lock", "link"), ("blobs", "link"), ("meta.db", "fifo"),
    ("meta.db", "folder"), ("blobs", "file")])
def test_c3_planted(emu, images, tmp_path, name, what):
    """A link, or something else, where a file of the cache is to be: it is not
    followed; a clean refusal, or another one in its place."""
    images.single.fill(emu, "a")
    cache, victim = tmp_path / "m/cache", tmp_path / "victim"
    cache.mkdir(parents=True, mode=0o700)
    if name == "blobs" and what == "link":
        victim.mkdir()
    else:
        victim.write_text("precious")
    if what == "link":
        (cache / name).symlink_to(victim)
    elif what == "fifo":
        os.mkfifo(cache / name)
    else:
        (cache / name).mkdir() if what == "folder" else (cache / name).write_text("x")
    m = None
    try:
        m = mounting.Mount(tmp_path / "m", emu.address)
        assert read_file(m / "a/_tags/1.4/config.json")
    except AssertionError as e:
        assert "exited 2:" in str(e), e
    finally:
        if m:
            m.unmount()
            m.destroy()
    assert os.listdir(victim) == [] if victim.is_dir() else \
        victim.read_text() == "precious"


# -- C4: the mount point -------------------------------------------------------------------

@pytest.mark.parametrize("place", ["/", "/etc", "/usr", "/usr/", "//etc", "/proc", "/dev",
                                   "/var", "/etc/passwd", "/nowhere/at/all"])
def test_c4_place(place):
    """Where the system is, nothing is mounted.  (In a namespace of its own, should it
    be tried all the same.)"""
    need_root()
    done = subprocess.run(["unshare", "-m", "timeout", "-k", "1", "5", mounting.program(),
                           "-f", "127.0.0.1:1", place], capture_output=True, text=True,
                          timeout=20, check=False, env={
                              "PATH": os.environ["PATH"], "HOME": "/nonexistent",
                              "XDG_CACHE_HOME": tempfile.gettempdir()})
    assert done.returncode in (1, 2, 32), done.stderr
    assert "MOUNTPOINT" in done.stderr or place in done.stderr


# -- C6: inodes ----------------------------------------------------------------------------

def test_c6_storm(mount, emu, images):
    """Looked up, listed, opened and forgotten at random while tags change what they
    are: who holds a file keeps it; a clean end is the mount's."""
    images.single.fill(emu, "a")
    images.multi.fill(emu, "a")
    m = mount(emu, tag_ttl=0, timeout=5)
    digests = [images.single.digest, images.multi.digest]
    names = ["index.json", "config.json", "blobs/sha256", "layers", "manifest.json", "no"]

    def work(seed):
        dice = random.Random(seed)
        for _ in range(60):
            if seed == 0:
                emu.call("tag", repo="a", tag="t", digest=dice.choice(digests))
            path = m / f"a/_tags/{dice.choice(('t', '1.4', 'multi', 'none'))}"
            try:
                fd = os.open(path / dice.choice(names), os.O_RDONLY)
            except OSError as e:
                assert e.errno in (2, 20, 116), e
                continue
            before = os.fstat(fd)
            errno_of(os.listdir, path)
            after = os.fstat(fd)
            assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
            os.close(fd)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert m.process.poll() is None


# -- C7: nothing left ----------------------------------------------------------------------

def test_c7_few_files(emu, images, tmp_path):
    """Sixty-four open files: what does not fit fails, and it recovers."""
    images.single.fill(emu, "a")

    class Limited(mounting.Mount):
        def command(self):
            return ["prlimit", "--nofile=64:64", *super().command()]

    m = Limited(tmp_path / "m", emu.address, timeout=3)
    try:
        paths = [m / "a/_tags/1.4/blobs/sha256" / d[7:] for d in images.single.blobs()] * 8
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            results = set(pool.map(lambda p: errno_of(read_file, p), paths))
        assert results <= {None, "EIO", "EMFILE", "ENFILE", "EBUSY", "ENOMEM"}, results
        assert read_file(m / "a/_tags/1.4/config.json")
    finally:
        try:
            m.finish()
        finally:
            m.destroy()


# -- C8: helpers ---------------------------------------------------------------------------

HELPERS = ["../../../../tmp/rfs-evil", "/tmp/rfs-evil", "a/b", "a b", "a\nb", "", "$(touch x)",
           ";touch x", "`x`", "x" * 65, "x" * 5000, "\u00e9", "a\tb", "|cat", "--help\n", "%s"]


@pytest.fixture(scope="module")
def helped(tmp_path_factory):
    """A host for each name of a helper; a program that every one of them could mean."""
    folder = tmp_path_factory.mktemp("helped")
    ran = folder / "ran"
    server = Scripted(lambda *_: (401, {"WWW-Authenticate": 'Basic realm="x"'}, b""),
                      host="0.0.0.0")
    hosts = {f"127.0.1.{n + 1}:{server.port}": name for n, name in enumerate(HELPERS)}
    path = folder / "home/.docker/config.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"credHelpers": hosts}))
    path.chmod(0o600)
    evil = Path("/tmp/rfs-evil")
    evil.write_text(f"#!/bin/sh\ntouch {ran}\n")
    evil.chmod(0o755)
    m = mounting.Mount(folder / "m", home=folder / "home", timeout=2, retries=1)
    yield {name: host for host, name in hosts.items()}, m, ran
    try:
        m.finish()
    finally:
        m.destroy()
        server.stop()
        evil.unlink()


@pytest.mark.parametrize("number", range(len(HELPERS)))
def test_c8_name(helped, number):
    """What is no name of a helper is not run, nor looked for elsewhere."""
    hosts, m, ran = helped
    assert errno_of(os.stat, m / hosts[HELPERS[number]] / "a/_tags/1") == "EACCES"
    assert not ran.exists()
    assert not any(ord(c) < 32 and c != "\n" for c in m.log())


# -- C9: whose file ------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["authfile", "config.json"])
@pytest.mark.parametrize("mode, owner, good", [
    (0o600, 0, True), (0o400, 0, True), (0o640, 0, True), (0o644, 0, True),
    (0o660, 0, False), (0o620, 0, False), (0o606, 0, False), (0o602, 0, False),
    (0o666, 0, False), (0o600, NOBODY, False), (0o777, 0, False)])
def test_c9_mode(judged, kind, mode, owner, good):
    """Who else may write it could send our password anywhere: it is not read."""
    emu, mounts = judged
    m, path = mounts[kind]
    path.chmod(0o600)
    os.chown(path, owner, owner)
    path.write_text(path.read_text())
    path.chmod(mode)
    emu.call("clear_log")
    result = errno_of(os.stat, m / f"a{mode:o}{owner}/_tags/none")
    used = any("authorization" in e["headers"] for e in emu.log())
    assert used == good, m.log()[-500:]
    assert result == ("ENOENT" if good else "EACCES")


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    need_root()
    folder = tmp_path_factory.mktemp("judged")
    emu = EmulatorProcess("basic")
    emu.set(users={"jo": WORD})
    one = auth_file(folder / "auth.json", {emu.address: ("jo", WORD)})
    two = auth_file(folder / "home/.docker/config.json", {emu.address: ("jo", WORD)})
    mounts = {"authfile": (mounting.Mount(folder / "m1", emu.address, authfile=one,
                                          timeout=2, retries=1), one),
              "config.json": (mounting.Mount(folder / "m2", emu.address, timeout=2, retries=1,
                                             home=folder / "home"), two)}
    yield emu, mounts
    try:
        for m, _ in mounts.values():
            m.finish()
    finally:
        for m, _ in mounts.values():
            m.destroy()
        emu.stop()


# -- C10: secrets --------------------------------------------------------------------------

def test_c10_proxy_password(mount, tmp_path, images, emulator):
    """The password of a proxy, and what signed addresses hold, are in nothing that is
    written, shown or sent on."""
    emu = emulator("bearer", "redirect=307")
    emu.set(users={"jo": WORD})
    images.single.fill(emu, "a")
    proxy = Scripted(lambda *_: (502, {}, b"no"))
    m = mount(authfile=auth_file(tmp_path / "auth.json", {emu.address: ("jo", WORD)}),
              timeout=2, retries=2, log_level="debug", env={
                  "http_proxy": f"http://jo:c4nary-proxy@{proxy.address}",
                  "https_proxy": f"http://jo:c4nary-proxy@{proxy.address}",
                  "no_proxy": "127.0.0.1,localhost"})
    try:
        assert errno_of(os.stat, m / "far.example.com/a/_tags/1") in ("EIO", "ETIMEDOUT")
        emu.fault(where="storage", status=500, nth=1)
        emu.fault(where="storage", status=403, nth=1)
        for digest in images.single.blobs():
            errno_of(read_file, m.host(emu) / "a/_tags/1.4/blobs/sha256" / digest[7:])
        told = [read_file(os.path.join(d, n)) for d, _, names in os.walk(m / ".registryfs")
                for n in names if not n.startswith("cache")]
        m.unmount()
        told += [Path(d, n).read_bytes() for d, _, names in os.walk(m.folder) for n in names]
        code = base64.b64encode(b"jo:c4nary-proxy")
        mine = base64.b64encode(b"jo:" + WORD.encode())
        for data in told:
            for word in (b"c4nary", code, mine, b"X-Emu-Signature=", b"Signature="):
                assert word not in data, (word, data[-2000:])
        sent = json.dumps(emu.log())
        assert "c4nary-proxy" not in sent and code.decode() not in sent
    finally:
        proxy.stop()


# -- C11: a hostile database ---------------------------------------------------------------

TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
EVIL = {
    "triggers": lambda db, t: db.execute(
        f"CREATE TRIGGER x{t} AFTER INSERT ON {t} BEGIN DELETE FROM {t}; END"),
    "views": lambda db, t: (db.execute(f"ALTER TABLE {t} RENAME TO old_{t}"), db.execute(
        f"CREATE VIEW {t} AS SELECT * FROM old_{t}")),
    "functions": lambda db, t: db.execute(
        f"CREATE TRIGGER y{t} BEFORE INSERT ON {t} BEGIN "
        "SELECT load_extension('/tmp/x'), writefile('/tmp/rfs-evil-db', 'x'); END"),
    "numbers": lambda db, t: [db.execute(f'UPDATE OR IGNORE {t} SET "{c[1]}" = {n}')
                              for c in db.execute(f"PRAGMA table_info({t})").fetchall()
                              for n in (-1, "9223372036854775807", "x'00ff'", "'text'")],
    "endless": lambda db, t: db.execute(
        f"CREATE TRIGGER z{t} AFTER INSERT ON {t} BEGIN INSERT INTO {t} SELECT * FROM "
        f"(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c); "
        "END"),
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory, images):
    """(emulator, a cache that was used and left)"""
    folder = tmp_path_factory.mktemp("kept")
    emu = EmulatorProcess()
    images.single.fill(emu, "a")
    m = mounting.Mount(folder / "m", emu.address, timeout=5)
    for digest in images.single.blobs():
        read_file(m / "a/_tags/1.4/blobs/sha256" / digest[7:])
    list(os.walk(m / "a/_tags/1.4/rootfs/"))
    m.finish()
    yield emu, folder / "m/cache"
    emu.stop()


def check_cache(emu, images, folder, cache):
    """It starts, and every byte is right; or it is refused, and says so."""
    try:
        m = mounting.Mount(folder, emu.address, timeout=5, cache_dir=cache)
    except AssertionError as e:
        assert "exited 2:" in str(e), e
        return
    try:
        for digest in images.single.blobs():
            path = m / "a/_tags/1.4/blobs/sha256" / digest[7:]
            if errno_of(read_file, path) is None:
                assert read_file(path) == images.single.data(digest)
        assert read_file(m / "a/_tags/1.4/manifest.json") == images.single.data(
            images.single.digest)
        m.finish()
    finally:
        m.destroy()


@pytest.mark.parametrize("kind", EVIL)
def test_c11_schema(kept, images, tmp_path, kind):
    """Somebody's triggers, views and values in the table of what is cached."""
    emu, source = kept
    cache = tmp_path / "cache"
    shutil.copytree(source, cache)
    with sqlite3.connect(cache / "meta.db") as db:
        for table, in db.execute(TABLES).fetchall():
            try:
                EVIL[kind](db, table)
            except sqlite3.Error:
                pass                    # it cannot be had that way
    db.close()
    check_cache(emu, images, tmp_path / "m", cache)
    assert not os.path.exists("/tmp/rfs-evil-db")


@pytest.mark.limit(60 * MORE)
def test_c11_mutants(kept, images, tmp_path):
    """Bits flipped and pages cut: `registryfs cache` reads it, or says that it cannot."""
    emu, source = kept
    dice = random.Random(4)
    good = (source / "meta.db").read_bytes()
    for n in range(16 * MORE):
        cache = tmp_path / f"c{n}"
        shutil.copytree(source, cache)
        data = bytearray(good)
        for _ in range(dice.choice((1, 8, 200))):
            data[dice.choice((dice.randrange(100), dice.randrange(len(data))))] = \
                dice.randrange(256)
        if n % 4 == 3:
            data = data[:dice.randrange(len(data))]
        (cache / "meta.db").write_bytes(data)
        done = run(mounting.program(), "cache", "--json", f"--cache_dir={cache}", check=False,
                   timeout=20, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path),
                                    "ASAN_OPTIONS": "exitcode=99"})
        assert done.returncode in (0, 2), (n, done.stderr)
        assert not mounting.REPORT.search(done.stderr), done.stderr
        if done.returncode == 0:
            json.loads(done.stdout)
        shutil.rmtree(cache)
