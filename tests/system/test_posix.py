# SPDX-License-Identifier: Apache-2.0
"""What system calls come to, in each kind of place of the tree: tables in the
manner of pjdfstest.  What is unlike POSIX is said in registryfs(5).

A row: what most places say, and then "; ERRNO place place" of the others; ok is
success.  Places of a read-only mount are those of which nothing was written."""
import ctypes
import os
import stat

import pytest

import mounting
import posixcalls as calls
from emulator.client import EmulatorProcess
from tarmaker import END, build, directory, file, long_link, symlink
from tools import errno_of, read_file, wait_until

REPO = "team/app"
DEEP = 41                               # links, one more than Linux follows
LAYER = directory("d") + file("d/f", b"hello") + symlink("loop", "loop") + \
    symlink("gone", "nowhere") + symlink("to-f", "d/f") + symlink("to-d", "d") + \
    symlink("end", "to-f/") + long_link("x" * 300) + symlink("long", "x") + \
    file("closed", b"x", mode=0o600) + file("mine", b"x", mode=0o400, uid=65534) + \
    file("run", b"#!/bin/sh\n", mode=0o755) + directory("shut", mode=0o700) + \
    file("shut/f", b"x") + directory("blind", mode=0o711) + file("blind/f", b"x") + \
    b"".join(symlink(f"l{i}", f"l{i + 1}") for i in range(DEEP)) + \
    file(f"l{DEEP}", b"far") + END

LOOKS = """
    open O_DIRECTORY        ok
    list                    ok
    access R_OK|X_OK        ok
    statfs                  ok
    open O_PATH             ok
    getdents of O_PATH      EBADF
    read of a directory     EISDIR
    open O_WRONLY           EISDIR
    open O_RDWR             EISDIR
    open O_CREAT            EISDIR
    open O_CREAT|O_EXCL     EEXIST
    open O_TMPFILE          ENOTSUP
    truncate                EISDIR
    unlink                  EISDIR
    readlink                EINVAL
    mkdir of it             EEXIST
    mkdir of .              EEXIST
    rmdir of .              EINVAL
    rmdir of ..             ENOTEMPTY
    unlink of ..            EISDIR
    link of it              EPERM; EXDEV root; EEXIST ns repo
    rename into itself      EINVAL; EXDEV root
    look-up, 256 bytes      ENAMETOOLONG
    path, 4097 bytes        ENAMETOOLONG
    empty path              ENOENT
    setxattr                ENOTSUP
    setxattr trusted        ENOTSUP
    removexattr             ENOTSUP
    getxattr, none          ENODATA
    getxattr, 256 bytes     ERANGE
    getxattr, no namespace  ENODATA
    listxattr               ok
"""
CHANGES = """
    access W_OK             ok
    chmod                   ok; EPERM root _layers layer ldir _rootfs rootfs rdir about pending hosts
    chown                   ok; EPERM root _layers layer ldir _rootfs rootfs rdir about pending hosts
    utimens                 ok; EPERM root _layers layer ldir _rootfs rootfs rdir about pending hosts
    fsync                   ok; EIO draft dblobs
    rmdir                   EPERM; EBUSY root; ENOTEMPTY dblobs; ok draft
    rename of it            EPERM; EBUSY root
    create                  EPERM; EEXIST host ns repo; ok image members blobs views draft dblobs; EINVAL _blobs
    create, 256 bytes       ENAMETOOLONG
    mkdir                   EPERM; EEXIST host ns repo; ok _tags views; EINVAL _manifests
    mkdir, 256 bytes        ENAMETOOLONG
    mkdir, no name          EPERM; EINVAL _tags _manifests; ok views
    symlink to nothing      EPERM; EEXIST host ns repo; ENOENT _tags; ok members blobs views dblobs
    mkfifo                  EPERM; EEXIST host ns repo
    mknod character         EPERM; EEXIST host ns repo
    mknod socket            EPERM; EEXIST host ns repo
    unlink, none            ENOENT; EISDIR host ns repo
    rmdir, none             ENOENT; EPERM host ns repo
    rename, none            ENOENT; EPERM host ns repo
"""
FILE_LOOKS = """
    open                    ok
    open O_DIRECTORY        ENOTDIR
    open O_NOFOLLOW         ok
    open O_CREAT|O_EXCL     EEXIST; ok layout history dblob; EINVAL index; EBADMSG member
    open O_DIRECT           ok
    open with a slash       ENOTDIR
    look-up beneath         ENOTDIR
    list                    ENOTDIR
    rmdir                   ENOTDIR
    mkdir of it             EEXIST
    readlink                EINVAL
    access R_OK             ok
    write, for reading      EBADF
    ftruncate, for reading  EINVAL
    pread at -1             EINVAL
    pread at 2^62           ok
    lseek to -1             EINVAL
    lseek, whence 9         EINVAL
    SEEK_DATA past it       ENXIO
    mmap, to write          EACCES
    read of O_PATH          EBADF
    flock                   ok
    fsync                   ok
    truncate to -1          EINVAL
    link, no such directory ENOENT
    setxattr                ENOTSUP
    removexattr             ENOTSUP
    getxattr, none          ENODATA
    listxattr               ok
"""
FILE_CHANGES = """
    access W_OK             ok
    access X_OK             EACCES
    open O_WRONLY           ok; EPERM lfile rfile status
    open O_RDWR             ok; EPERM lfile rfile status
    open O_APPEND           ok; EPERM lfile rfile status
    read, for writing       EBADF; EPERM lfile rfile status
    write in the middle     EPERM; ok layout history temp dblob
    truncate to 1           EPERM; ok layout history temp dblob
    fallocate               ENOTSUP; EPERM lfile rfile status
    punch                   ENOTSUP; EPERM lfile rfile status
    chmod                   ok; EPERM lfile rfile status
    chown                   ok; EPERM lfile rfile status
    utimens                 ok; EPERM lfile rfile status
    unlink                  EPERM; ok layout history temp dblob
    link beside it          EPERM; ok temp dblob
    rename beside it        EPERM; ok temp dblob
    exchange                EINVAL
    rename, whiteout        EINVAL
    rename off the mount    EXDEV
    link off the mount      EXDEV
"""
# Of a read-only mount, where it says other than EROFS.
RO_LOOKS = {"open O_TMPFILE": "EROFS", "unlink": "EROFS; EISDIR root",
            "link of it": "EROFS; EXDEV root; EEXIST ns repo",
            "rename into itself": "EROFS; EXDEV root", "setxattr": "EROFS",
            "setxattr trusted": "EROFS", "removexattr": "EROFS"}
RO_CHANGES = {"fsync": "ok", "rmdir": "EROFS; EBUSY root",
              "rename of it": "EROFS; EBUSY root", "create, 256 bytes": "ENAMETOOLONG",
              "mkdir, 256 bytes": "ENAMETOOLONG"}
RO_FILE_LOOKS = {"open O_CREAT|O_EXCL": "EEXIST", "rmdir": "EROFS",
                 "setxattr": "EROFS", "removexattr": "EROFS"}
RO_FILE_CHANGES = {"access X_OK": "EACCES", "rename off the mount": "EXDEV",
                   "link off the mount": "EXDEV"}
EXISTING = "EROFS; EEXIST host ns repo"
for call in ("create", "mkdir", "symlink to nothing", "mkfifo", "mknod character",
             "mknod socket"):
    RO_CHANGES[call] = EXISTING
WRITTEN = {"draft", "dblobs", "temp", "dblob"}


class Places:
    """One emulator with one image, and a mount of each kind."""

    def __init__(self, folder):
        self.folder = folder
        self.emu = EmulatorProcess("distribution3", "delete=true")
        self.image = build(folder / "image", [LAYER])
        self.image.fill(self.emu, REPO, "1")
        self.layer = self.image.layers[0].digest
        self.mounts = {kind: mounting.Mount(folder / kind, ro=kind == "ro")
                       for kind in ("rw", "ro")}

    def names(self, kind):
        """(directories, files) of a mount."""
        m = self.mounts[kind]
        host = m.host(self.emu)
        app, about = host / REPO, m / ".registryfs"
        image, draft = app / "_tags/1", app / "_tags/draft"
        layer, rootfs = app / "_layers" / self.layer, app / "_rootfs" / self.image.digest
        folders = {
            "root": m.point, "host": host, "ns": app.parent, "repo": app,
            "_tags": app / "_tags", "image": image, "blobs": image / "blobs",
            "members": image / "blobs/sha256", "views": image / "layers",
            "_manifests": app / "_manifests", "_blobs": app / "_blobs",
            "_layers": app / "_layers", "layer": layer, "ldir": layer / "d",
            "_rootfs": app / "_rootfs", "rootfs": rootfs, "rdir": rootfs / "d",
            "about": about, "pending": about / "pending", "hosts": about / "hosts",
            "draft": draft, "dblobs": draft / "blobs/sha256"}
        files = {
            "index": image / "index.json", "layout": image / "oci-layout",
            "history": image / "history", "member": image / "blobs/sha256" /
            self.layer[7:], "blob": app / "_blobs" / self.layer, "lfile": layer / "d/f",
            "rfile": rootfs / "d/f", "status": about / "status",
            "temp": draft / ".tmp1", "dblob": draft / "blobs/sha256/.tmp2"}
        return [{name: path for name, path in each.items()
                 if kind == "rw" or name not in WRITTEN} for each in (folders, files)]

    def restore(self):
        """What is written and not published is as it was."""
        folders, files = self.names("rw")
        os.makedirs(folders["dblobs"], exist_ok=True)
        for name in ("temp", "dblob"):
            if not files[name].exists():
                files[name].write_bytes(b"some bytes")
            remove(f"{files[name]}-2")
        for name in ("_tags", "image", "blobs", "members", "views", "draft", "dblobs"):
            for made in (calls.NEW, "a b"):
                remove(folders[name] / made)

    def stop(self):
        try:
            for m in self.mounts.values():
                m.finish()
        finally:
            for m in self.mounts.values():
                m.destroy()
            self.emu.stop()


def remove(path):
    for call in (os.unlink, os.rmdir):
        if errno_of(call, path) in (None, "ENOENT"):
            return


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    made = Places(tmp_path_factory.mktemp("posix"))
    yield made
    made.stop()


def rows(text):
    found = [line.strip().partition("  ") for line in text.strip().splitlines()]
    return {name if not name.startswith("link, no") else "link, no such directory":
            what.strip() or name.split()[-1] for name, _, what in found}


def expected(row, name):
    most, *others = row.split("; ")
    for other in others:
        what, *where = other.split()
        if name in where:
            return what
    return most


TABLES = {"looks": (calls.LOOKS, rows(LOOKS), RO_LOOKS, 0),
          "changes": (calls.CHANGES, rows(CHANGES), RO_CHANGES, 0),
          "file looks": (calls.FILE_LOOKS, rows(FILE_LOOKS), RO_FILE_LOOKS, 1),
          "file changes": (calls.FILE_CHANGES, rows(FILE_CHANGES), RO_FILE_CHANGES, 1)}


def wrong_cells(places, kind, functions, row_of, paths):
    for call, function in functions.items():
        for name, path in paths.items():
            if kind == "rw":
                places.restore()
            want, got = expected(row_of(call), name), errno_of(function, path) or "ok"
            if got != want:
                yield f"{call} / {name}: {got}, not {want}"


@pytest.mark.parametrize("kind", ["rw", "ro"])
@pytest.mark.parametrize("table", TABLES)
def test_table(places, kind, table):
    functions, table_rows, other, which = TABLES[table]
    assert set(functions) == set(table_rows)

    def row_of(call):
        if kind == "rw":
            return table_rows[call]
        return other.get(call, "EROFS" if "changes" in table else table_rows[call])

    found = list(wrong_cells(places, kind, functions, row_of, places.names(kind)[which]))
    assert not found, "\n".join(found)


def test_nothing_was_sent(places):
    """What was refused, accepted to no purpose or is kept here is not the
    registry's business."""
    assert [e for e in places.emu.log() if e["method"] not in ("GET", "HEAD")] == []
    assert read_file(places.names("ro")[1]["layout"]).startswith(b'{"imageLayoutVersion')


# -- symbolic links -----------------------------------------------------------------

@pytest.mark.parametrize("name, flags, what", [
    ("loop", os.O_RDONLY, "ELOOP"), ("loop", os.O_RDONLY | os.O_NOFOLLOW, "ELOOP"),
    ("loop", os.O_PATH | os.O_NOFOLLOW, None), ("loop/x", os.O_RDONLY, "ELOOP"),
    ("gone", os.O_RDONLY, "ENOENT"), ("gone", os.O_RDONLY | os.O_CREAT, "EPERM"),
    ("gone", os.O_CREAT | os.O_EXCL, "EEXIST"), ("to-f", os.O_RDONLY, None),
    ("to-f", os.O_RDONLY | os.O_NOFOLLOW, "ELOOP"), ("to-f/", os.O_RDONLY, "ENOTDIR"),
    ("to-f", os.O_WRONLY, "EPERM"), ("to-d", os.O_RDONLY | os.O_DIRECTORY, None),
    ("to-d", os.O_DIRECTORY | os.O_NOFOLLOW, "ENOTDIR"), ("to-d/f", os.O_RDONLY, None),
    ("to-d/", os.O_DIRECTORY | os.O_NOFOLLOW, None), ("end", os.O_RDONLY, "ENOTDIR"),
    ("long", os.O_RDONLY, "ENAMETOOLONG"), ("long", os.O_PATH | os.O_NOFOLLOW, None),
    ("l0", os.O_RDONLY, "ELOOP"), ("l1", os.O_RDONLY, None)])
@pytest.mark.parametrize("tree", ["layer", "rootfs"])
def test_links(places, tree, name, flags, what):
    """Links of an image are as any others, also those that lead nowhere."""
    top = places.names("rw")[0][tree]
    assert errno_of(calls.opened, f"{top}/{name}", flags) == what


def test_link_sizes(places):
    """lstat's size is the target's length, which readlink may cut."""
    top = places.names("rw")[0]["rootfs"]
    for name in ("loop", "gone", "to-f", "long"):
        target = os.readlink(top / name)
        assert os.lstat(top / name).st_size == len(target)
        buffer = ctypes.create_string_buffer(3)
        assert calls.C.readlink(os.fsencode(top / name), buffer, 3) == 3
        assert buffer.raw == target[:3].encode()


# -- names that move -----------------------------------------------------------------

def test_rename_between_places(places):
    """EXDEV and its like, so that mv copies, or says no: never half."""
    folders, files = places.names("rw")
    places.restore()
    other = folders["ns"] / "other/_tags/1"
    os.makedirs(other)
    for source, target, what in (
            (files["index"], other / "index.json", "EPERM"),
            (folders["image"], other.parent / "2", "EPERM"),
            (files["temp"], other / "x", "EXDEV"),
            (files["temp"], folders["about"] / "x", "EXDEV"),
            (files["temp"], folders["rootfs"] / "x", "EXDEV"),
            (files["temp"], folders["dblobs"] / ".new", None)):
        assert errno_of(os.rename, source, target) == what, (source, target)
    places.restore()
    os.unlink(folders["dblobs"] / ".new")
    assert errno_of(os.rename, files["temp"], folders["dblobs"]) == "EISDIR"
    assert errno_of(os.rename, folders["dblobs"], files["temp"]) == "ENOTDIR"
    assert read_file(files["temp"]) == b"some bytes"
    os.rmdir(other)


def test_link_of_a_draft(places):
    """link(2) makes a second name, whatever the kernel has forgotten of the first."""
    places.restore()
    for name in ("temp", "dblob"):
        path = places.names("rw")[1][name]
        for _ in range(3):
            os.link(path, f"{path}-2")
            assert errno_of(os.link, path, f"{path}-2") == "EEXIST"
            assert read_file(f"{path}-2") == b"some bytes"
            os.unlink(f"{path}-2")
        assert read_file(path) == b"some bytes"


def test_removed_while_open(places):
    """A removed file is readable by who has it open; a removed directory has no
    names any more."""
    places.restore()
    folders, files = places.names("rw")
    fd, inside = os.open(files["temp"], os.O_RDWR), os.open(folders["draft"], os.O_RDONLY)
    try:
        os.unlink(files["temp"])
        assert os.pread(fd, 100, 0) == b"some bytes"
        os.rmdir(folders["draft"])
        assert errno_of(lambda: os.open("x", os.O_RDONLY, dir_fd=inside)) in \
            ("ENOENT", "ESTALE")
        assert errno_of(lambda: os.mkdir("x", dir_fd=inside)) in ("ENOENT", "ESTALE")
        assert errno_of(os.listdir, inside) in (None, "ENOENT", "ESTALE")
    finally:
        os.close(fd)
        os.close(inside)
    assert not folders["draft"].exists()


# -- directories ------------------------------------------------------------------------

class Entry(ctypes.Structure):
    _fields_ = [("number", ctypes.c_uint64), ("next", ctypes.c_int64),
                ("length", ctypes.c_uint16), ("type", ctypes.c_uint8),
                ("name", ctypes.c_char * 256)]


class Stream:
    """A DIR of the C library."""

    def __init__(self, path):
        self.c = calls.C
        self.c.opendir.restype = ctypes.c_void_p
        self.c.readdir.restype = ctypes.POINTER(Entry)
        self.c.telldir.restype = ctypes.c_long
        self.dir = ctypes.c_void_p(self.c.opendir(os.fsencode(path)))
        assert self.dir.value

    def read(self):
        entry = self.c.readdir(self.dir)
        return entry.contents.name if entry else None

    def all(self):
        return list(iter(self.read, None))

    def tell(self):
        return self.c.telldir(self.dir)

    def seek(self, at):
        self.c.seekdir(self.dir, ctypes.c_long(at))

    def rewind(self):
        self.c.rewinddir(self.dir)

    def close(self):
        self.c.closedir(self.dir)


@pytest.fixture(scope="module")
def wide(places):
    """Directories of more entries than one getdents brings."""
    many = 3000
    image = build(places.folder / "wide", [
        directory("w") + b"".join(file(f"w/file-{i:05d}") for i in range(many)) + END])
    image.fill(places.emu, "wide", "1")
    places.emu.call("many_tags", repo="wide", digest=image.digest, count=many)
    top = places.mounts["rw"].host(places.emu) / "wide"
    return {"rootfs": (top / f"_rootfs/{image.digest}/w", many + 2),
            "_tags": (top / "_tags", many + 3)}


@pytest.mark.parametrize("name", ["rootfs", "_tags"])
def test_telldir(wide, name):
    """seekdir goes where telldir was, forwards and backwards; nothing twice."""
    path, count = wide[name]
    stream = Stream(path)
    try:
        places, names = [], []
        while True:
            places.append(stream.tell())
            entry = stream.read()
            if entry is None:
                break
            names.append(entry)
        assert len(names) == len(set(names)) == count
        for i in (0, 1, 2, count - 1, count // 2, 17, count // 3, 0):
            stream.seek(places[i])
            assert stream.read() == names[i]
            if i + 1 < count:
                assert stream.read() == names[i + 1]
        stream.seek(places[count])
        assert stream.read() is None
        stream.rewind()
        assert stream.all() == names
    finally:
        stream.close()


def test_rewinddir_sees_changes(places):
    """What is made and removed while a directory is read: entries that stay are
    there once, and all is seen after rewinddir."""
    places.restore()
    top = places.names("rw")[0]["dblobs"]
    kept = {f"keep{i:03d}".encode() for i in range(100)}
    for name in kept:
        (top / name.decode()).write_bytes(b"x")
    gone = [f"gone{i:03d}" for i in range(100)]
    for name in gone:
        (top / name).write_bytes(b"x")
    stream = Stream(top)
    try:
        first = [stream.read() for _ in range(40)]
        for name in gone:
            os.unlink(top / name)
        (top / "late").write_bytes(b"x")
        rest = stream.all()
        seen = first + rest
        assert len(seen) == len(set(seen)) and kept <= set(seen)
        stream.rewind()
        assert set(stream.all()) == kept | {b".", b"..", b"late", b".tmp2"}
    finally:
        stream.close()
        for name in [*kept, b"late"]:
            os.unlink(top / name.decode())


# -- the rest --------------------------------------------------------------------------

def test_statfs(places):
    for kind, m in places.mounts.items():
        s = os.statvfs(m.point)
        assert s.f_namemax == 255 and s.f_bsize > 0
        assert bool(s.f_flag & os.ST_RDONLY) == (kind == "ro")
        assert s.f_flag & os.ST_NOSUID and s.f_flag & os.ST_NODEV


def test_xattr_sizes(places):
    """Asked for a size, given a buffer too small, exactly right."""
    path = os.fsencode(places.names("rw")[0]["image"])
    name, value = b"user.oci.digest", places.image.digest.encode()
    for buffer, want in ((None, len(value)), (len(value) - 1, "ERANGE"),
                         (len(value), len(value)), (4096, len(value))):
        room = ctypes.create_string_buffer(buffer or 1)
        ctypes.set_errno(0)
        got = calls.C.getxattr(path, name, room, ctypes.c_size_t(buffer or 0))
        assert (got if got >= 0 else os.strerror(ctypes.get_errno())) == \
            (want if want != "ERANGE" else os.strerror(34))
        assert got < 0 or buffer is None or room.raw[:got] == value
    whole = calls.C.listxattr(path, None, ctypes.c_size_t(0))
    room = ctypes.create_string_buffer(whole)
    assert calls.C.listxattr(path, room, ctypes.c_size_t(whole - 1)) == -1
    assert calls.C.listxattr(path, room, ctypes.c_size_t(whole)) == whole
    assert set(room.raw[:whole].split(b"\0")) >= {name}


def test_gone_from_the_registry(places):
    """A tag that another client removed: what is open goes on, its name is gone."""
    places.image.fill(places.emu, "stale", "1")
    m = mounting.Mount(places.folder / "stale", places.emu.address, tag_ttl=0)
    try:
        fd = os.open(m / "stale/_tags/1", os.O_RDONLY)
        places.emu.call("delete", repo="stale", ref="1")
        assert errno_of(os.stat, m / "stale/_tags/1") == "ENOENT"
        assert "index.json" in os.listdir(fd)
        assert os.fstat(fd).st_mode & stat.S_IFDIR
        os.close(fd)
        wait_until(lambda: os.listdir(m / "stale/_tags") == [], 8, "the listing follows")
        m.finish()
    finally:
        m.destroy()


# -- rights -----------------------------------------------------------------------------

@pytest.fixture(scope="module")
def others(places):
    """A mount for all users, and what uid 65534 finds there."""
    if os.geteuid() != 0:
        pytest.skip("another user's rights need root")
    m = mounting.Mount(places.folder / "others", allow_other=True,
                       allow=places.emu.address)
    yield m
    try:
        m.finish()
    finally:
        m.destroy()


def as_nobody(folder, function, name):
    """The errno of a call in a folder by uid 65534, in a process of its own, which
    need not be let in above."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.chdir(folder)
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            os.write(write_end, (errno_of(function, name) or "ok").encode())
        except BaseException as e:
            os.write(write_end, repr(e).encode()[:500])
        finally:
            os._exit(0)
    os.close(write_end)
    os.waitpid(child, 0)
    said = os.read(read_end, 1000).decode()
    os.close(read_end)
    return said


@pytest.mark.parametrize("name, function, what", [
    ("d/f", read_file, "ok"), ("closed", read_file, "EACCES"), ("mine", read_file, "ok"),
    ("closed", os.stat, "ok"), ("shut", os.listdir, "EACCES"),
    ("shut/f", os.stat, "EACCES"), ("shut", os.chdir, "EACCES"),
    ("blind", os.listdir, "EACCES"), ("blind/f", read_file, "ok"),
    ("d/new", os.mkdir, "EACCES"), ("d/f", os.unlink, "EACCES"),
    ("d/f", lambda p: calls.opened(p, os.O_WRONLY), "EACCES"),
    ("d/f", lambda p: calls.called("access", p, os.X_OK), "EACCES"),
    ("run", lambda p: calls.called("access", p, os.X_OK), "ok"),
    ("d/f", lambda p: os.chmod(p, 0o777), "EPERM"),
    ("d/f", lambda p: os.chown(p, 65534, 65534), "EPERM"),
    ("mine", lambda p: os.chmod(p, 0o777), "EPERM"),
    ("d/f", lambda p: os.utime(p, (1, 1)), "EPERM")])
def test_rights(places, others, name, function, what):
    """Of the image's files, as any file system has them (allow_other)."""
    for tree in (f"_layers/{places.layer}", f"_rootfs/{places.image.digest}"):
        assert as_nobody(others.host(places.emu) / REPO / tree, function, name) == what


def test_exec(places):
    """access(X_OK) says of a file what execve(2) does."""
    top = places.names("rw")[0]["rootfs"]
    for name, what in (("run", None), ("d/f", "EACCES"), ("to-f", "EACCES")):
        assert errno_of(calls.called, "access", top / name, os.X_OK) == what
