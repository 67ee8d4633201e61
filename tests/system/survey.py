# SPDX-License-Identifier: Apache-2.0
"""Looks at trees of files and compares them, entry by entry.

A survey is {path in bytes: Entry}.  Inodes are compared as the sets of names
that share one, extended attributes without those that are the mount's own.
"""
import errno
import hashlib
import os
import shutil
import stat
from dataclasses import asdict, dataclass, field

from tools import run

OWN = ("user.registryfs.", "user.oci.")
# What a file system of its own accord adds.
FOREIGN = ("security.selinux", "user.overlay.", "trusted.overlay.")
KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink",
         stat.S_IFCHR: "char", stat.S_IFBLK: "block", stat.S_IFIFO: "fifo",
         stat.S_IFSOCK: "socket"}


@dataclass
class Entry:
    kind: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    nlink: int
    size: int = None                    # of files and symlinks
    rdev: tuple = None                  # of devices
    link: bytes = None                  # of symlinks
    content: str = None                 # of files: a digest, or the errno's name
    xattrs: dict = field(default_factory=dict)
    names: frozenset = None             # all paths of this inode, if several


def content_of(path):
    """A digest of a file's bytes, or the name of the error that came."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as e:
        return errno.errorcode[e.errno]
    digest = hashlib.sha256()
    try:
        while data := os.read(fd, 1 << 20):
            digest.update(data)
    except OSError as e:
        return errno.errorcode[e.errno]
    finally:
        os.close(fd)
    return digest.hexdigest()


def text_digest(data):
    return hashlib.sha256(data).hexdigest()


def xattrs_of(path):
    found = {}
    for name in os.listxattr(path, follow_symlinks=False):
        if not name.startswith(OWN + FOREIGN):
            found[name] = os.getxattr(path, name, follow_symlinks=False)
    return found


def look(path, contents=True):
    st = os.lstat(path)
    kind = KINDS[stat.S_IFMT(st.st_mode)]
    entry = Entry(kind, stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid,
                  st.st_mtime_ns, st.st_nlink, xattrs=xattrs_of(path))
    if kind in ("file", "symlink"):
        entry.size = st.st_size
    if kind in ("char", "block"):
        entry.rdev = (os.major(st.st_rdev), os.minor(st.st_rdev))
    if kind == "symlink":
        entry.link = os.readlink(path)
    if kind == "file" and contents:
        entry.content = content_of(path)
    return entry, (st.st_dev, st.st_ino)


def survey(root, contents=True):
    """Everything beneath a directory, which itself is b"".

    A directory is looked at after it was listed: a layer that is still being
    read can only say then how many links it has."""
    root = os.fsencode(root)
    found, inodes = {}, {}

    def visit(path, relative):
        names = []
        if stat.S_ISDIR(os.lstat(path).st_mode):
            names = sorted(os.listdir(path))
        entry, inode = look(path, contents)
        found[relative] = entry
        for name in names:
            visit(os.path.join(path, name), os.path.join(relative, name))
        if entry.kind != "dir" and entry.nlink > 1:
            inodes.setdefault(inode, set()).add(relative)

    visit(root, b"")
    for names in inodes.values():
        for name in names:
            found[name].names = frozenset(names)
    return found


def differences(ours, theirs, ignore=(), skip=()):
    """One line for each thing that differs.

    ignore: fields that are not compared; skip: {path: fields} or paths for which
    nothing (or not these fields) is compared."""
    lines = []
    skip = skip if isinstance(skip, dict) else {p: None for p in skip}
    for path in sorted(set(ours) | set(theirs)):
        fields = skip.get(path, ())
        if fields is None:
            continue
        if path not in ours or path not in theirs:
            lines.append(f"{path!r}: only {'expected' if path in theirs else 'shown'}")
            continue
        mine, other = asdict(ours[path]), asdict(theirs[path])
        for key in mine:
            if key in ignore or key in fields:
                continue
            if mine[key] != other[key]:
                lines.append(f"{path!r} {key}: {mine[key]!r}, expected {other[key]!r}")
    return lines


def same(ours, theirs, ignore=(), skip=()):
    lines = differences(ours, theirs, ignore, skip)
    assert not lines, f"{len(lines)} differences\n" + "\n".join(lines[:40])


# -- oracles: real tools that unpack as root -----------------------------------

def unpack(tool, tar, folder):
    """Unpacks an archive's bytes and surveys the result; tool: "tar", "bsdtar"."""
    folder.mkdir()
    os.chmod(folder, 0o755)
    words = {
        "tar": ["tar", "--numeric-owner", "--xattrs", "--xattrs-include=*",
                "--same-owner", "--same-permissions", "--delay-directory-restore",
                "-C", folder, "-xf", "-"],
        "bsdtar": ["bsdtar", "--numeric-owner", "--xattrs", "--same-owner", "-C",
                   folder, "-xpf", "-"]}[tool]
    run(*words, input=tar, text=False, check=False, timeout=30,
        preexec_fn=lambda: os.umask(0o022))
    try:
        return survey(folder)
    finally:
        shutil.rmtree(folder)
