# SPDX-License-Identifier: Apache-2.0
"""System calls on a place in the tree, for tables of what each comes to.

Each is a function of a path and returns nothing: it succeeds, or fails with an
errno.  What it may have made it takes away again.
"""
import ctypes
import mmap
import os
import stat

C = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
NEW = "new-1"
LONG = "n" * 256
RENAME_EXCHANGE, RENAME_WHITEOUT = 2, 4
FALLOC_FL_PUNCH_HOLE, FALLOC_FL_KEEP_SIZE = 2, 1


def called(name, *args):
    """A call of the C library that tells failure by -1."""
    args = [os.fsencode(a) if isinstance(a, (str, os.PathLike)) else a for a in args]
    ctypes.set_errno(0)
    if getattr(C, name)(*args) == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def opened(path, flags, mode=0o644):
    os.close(os.open(path, flags, mode))


def held(path, flags, use):
    fd = os.open(path, flags)
    try:
        use(fd)
    finally:
        os.close(fd)


def made(make, remove, path):
    """Makes a name, which must then be gone again."""
    make(path)
    remove(path)


def shared_writable(fd):
    """MAP_SHARED with PROT_WRITE of a page of it."""
    C.mmap.restype = ctypes.c_void_p
    at = C.mmap(None, ctypes.c_size_t(4096), mmap.PROT_READ | mmap.PROT_WRITE,
                mmap.MAP_SHARED, fd, ctypes.c_long(0))
    if at == ctypes.c_void_p(-1).value:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    C.munmap(ctypes.c_void_p(at), ctypes.c_size_t(4096))


# -- on a directory ---------------------------------------------------------------
LOOKS = {
    "open O_DIRECTORY": lambda p: opened(p, os.O_RDONLY | os.O_DIRECTORY),
    "list": os.listdir,
    "access R_OK|X_OK": lambda p: called("access", p, os.R_OK | os.X_OK),
    "statfs": os.statvfs,
    "open O_PATH": lambda p: opened(p, os.O_PATH),
    "getdents of O_PATH": lambda p: held(p, os.O_PATH | os.O_DIRECTORY, os.listdir),
    "read of a directory": lambda p: held(p, os.O_RDONLY, lambda fd: os.read(fd, 1)),
    "open O_WRONLY": lambda p: opened(p, os.O_WRONLY),
    "open O_RDWR": lambda p: opened(p, os.O_RDWR),
    "open O_CREAT": lambda p: opened(p, os.O_RDONLY | os.O_CREAT),
    "open O_CREAT|O_EXCL": lambda p: opened(p, os.O_RDONLY | os.O_CREAT | os.O_EXCL),
    "open O_TMPFILE": lambda p: opened(p, os.O_TMPFILE | os.O_WRONLY),
    "truncate": lambda p: called("truncate", p, ctypes.c_long(0)),
    "unlink": os.unlink,
    "readlink": os.readlink,
    "mkdir of it": os.mkdir,
    "mkdir of .": lambda p: os.mkdir(f"{p}/."),
    "rmdir of .": lambda p: os.rmdir(f"{p}/."),
    "rmdir of ..": lambda p: os.rmdir(f"{p}/.."),
    "unlink of ..": lambda p: os.unlink(f"{p}/.."),
    "link of it": lambda p: os.link(p, f"{p}-2"),
    "rename into itself": lambda p: os.rename(p, f"{p}/inside"),
    "look-up, 256 bytes": lambda p: os.stat(f"{p}/{LONG}"),
    "path, 4097 bytes": lambda p: os.stat(f"{p}/" + "./" * 2049),
    "empty path": lambda p: os.stat(""),
    "setxattr": lambda p: os.setxattr(p, "user.x", b"y"),
    "setxattr trusted": lambda p: os.setxattr(p, "trusted.x", b"y"),
    "removexattr": lambda p: os.removexattr(p, "user.x"),
    "getxattr, none": lambda p: os.getxattr(p, "user.none"),
    "getxattr, 256 bytes": lambda p: os.getxattr(p, "user." + "x" * 251),
    "getxattr, no namespace": lambda p: os.getxattr(p, "none"),
    "listxattr": os.listxattr,
}
CHANGES = {
    "access W_OK": lambda p: called("access", p, os.W_OK),
    "chmod": lambda p: os.chmod(p, 0o700),
    "chown": lambda p: os.chown(p, 1, 1),
    "utimens": lambda p: os.utime(p, (1, 1)),
    "fsync": lambda p: held(p, os.O_RDONLY, os.fsync),
    "rmdir": os.rmdir,
    "rename of it": lambda p: os.rename(p, f"{p}-2"),
    "create": lambda p: made(lambda q: opened(q, os.O_WRONLY | os.O_CREAT | os.O_EXCL),
                             lambda q: None, f"{p}/{NEW}"),
    "create, 256 bytes": lambda p: opened(f"{p}/{LONG}", os.O_WRONLY | os.O_CREAT),
    "mkdir": lambda p: made(os.mkdir, os.rmdir, f"{p}/{NEW}"),
    "mkdir, 256 bytes": lambda p: os.mkdir(f"{p}/{LONG}"),
    "mkdir, no name": lambda p: os.mkdir(f"{p}/a b"),
    "symlink to nothing": lambda p: os.symlink("nothing", f"{p}/{NEW}"),
    "mkfifo": lambda p: os.mkfifo(f"{p}/{NEW}"),
    "mknod character": lambda p: os.mknod(f"{p}/{NEW}", stat.S_IFCHR | 0o600, 259),
    "mknod socket": lambda p: os.mknod(f"{p}/{NEW}", stat.S_IFSOCK | 0o600),
    "unlink, none": lambda p: os.unlink(f"{p}/{NEW}"),
    "rmdir, none": lambda p: os.rmdir(f"{p}/{NEW}"),
    "rename, none": lambda p: os.rename(f"{p}/{NEW}", f"{p}/{NEW}2"),
}

# -- on a file ----------------------------------------------------------------------
FILE_LOOKS = {
    "open": lambda p: opened(p, os.O_RDONLY),
    "open O_DIRECTORY": lambda p: opened(p, os.O_DIRECTORY),
    "open O_NOFOLLOW": lambda p: opened(p, os.O_RDONLY | os.O_NOFOLLOW),
    "open O_CREAT|O_EXCL": lambda p: opened(p, os.O_CREAT | os.O_EXCL),
    "open O_DIRECT": lambda p: opened(p, os.O_RDONLY | os.O_DIRECT),
    "open with a slash": lambda p: opened(f"{p}/", os.O_RDONLY),
    "look-up beneath": lambda p: os.stat(f"{p}/x"),
    "list": os.listdir,
    "rmdir": os.rmdir,
    "mkdir of it": os.mkdir,
    "readlink": os.readlink,
    "access R_OK": lambda p: called("access", p, os.R_OK),
    "write, for reading": lambda p: held(p, os.O_RDONLY, lambda fd: os.write(fd, b"x")),
    "ftruncate, for reading": lambda p: held(p, os.O_RDONLY,
                                             lambda fd: os.ftruncate(fd, 0)),
    "pread at -1": lambda p: held(p, os.O_RDONLY, lambda fd: os.pread(fd, 1, -1)),
    "pread at 2^62": lambda p: held(p, os.O_RDONLY, lambda fd: os.pread(fd, 1, 1 << 62)),
    "lseek to -1": lambda p: held(p, os.O_RDONLY, lambda fd: os.lseek(fd, -1, 0)),
    "lseek, whence 9": lambda p: held(p, os.O_RDONLY, lambda fd: os.lseek(fd, 0, 9)),
    "SEEK_DATA past it": lambda p: held(
        p, os.O_RDONLY, lambda fd: os.lseek(fd, 1 << 40, os.SEEK_DATA)),
    "mmap, to write": lambda p: held(p, os.O_RDONLY, shared_writable),
    "read of O_PATH": lambda p: held(p, os.O_PATH, lambda fd: os.read(fd, 1)),
    "flock": lambda p: held(p, os.O_RDONLY, lambda fd: called("flock", fd, 1)),
    "fsync": lambda p: held(p, os.O_RDONLY, os.fsync),
    "truncate to -1": lambda p: called("truncate", p, ctypes.c_long(-1)),
    "link, no such directory": lambda p: os.link(p, f"{p}-x/y/z"),
    "setxattr": lambda p: os.setxattr(p, "user.x", b"y"),
    "removexattr": lambda p: os.removexattr(p, "user.x"),
    "getxattr, none": lambda p: os.getxattr(p, "user.none"),
    "listxattr": os.listxattr,
}
FILE_CHANGES = {
    "access W_OK": lambda p: called("access", p, os.W_OK),
    "access X_OK": lambda p: called("access", p, os.X_OK),
    "open O_WRONLY": lambda p: opened(p, os.O_WRONLY),
    "open O_RDWR": lambda p: opened(p, os.O_RDWR),
    "open O_APPEND": lambda p: opened(p, os.O_WRONLY | os.O_APPEND),
    "read, for writing": lambda p: held(p, os.O_WRONLY, lambda fd: os.read(fd, 1)),
    "write in the middle": lambda p: held(p, os.O_WRONLY,
                                          lambda fd: os.pwrite(fd, b"x", 1)),
    "truncate to 1": lambda p: called("truncate", p, ctypes.c_long(1)),
    "fallocate": lambda p: held(p, os.O_WRONLY, lambda fd: called(
        "fallocate", fd, 0, ctypes.c_long(0), ctypes.c_long(10))),
    "punch": lambda p: held(p, os.O_WRONLY, lambda fd: called(
        "fallocate", fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        ctypes.c_long(0), ctypes.c_long(1))),
    "chmod": lambda p: os.chmod(p, 0o600),
    "chown": lambda p: os.chown(p, 1, 1),
    "utimens": lambda p: os.utime(p, (1, 1)),
    "unlink": os.unlink,
    "link beside it": lambda p: os.link(p, f"{p}-2"),
    "rename beside it": lambda p: os.rename(p, f"{p}-2"),
    "exchange": lambda p: called("renameat2", AT_FDCWD, p, AT_FDCWD, p.parent,
                                 RENAME_EXCHANGE),
    "rename, whiteout": lambda p: called("renameat2", AT_FDCWD, p, AT_FDCWD,
                                         f"{p}-2", RENAME_WHITEOUT),
    "rename off the mount": lambda p: os.rename(p, "/rfs-no-such-name"),
    "link off the mount": lambda p: os.link(p, "/rfs-no-such-name"),
}
