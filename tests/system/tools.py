# SPDX-License-Identifier: Apache-2.0
"""Small helpers shared by the tests: bounded commands, waiting, digests."""
import errno
import hashlib
import os
import shutil
import subprocess
import time

import pytest

IN_CI = os.environ.get("CI") == "true"


def need(*programs):
    """Skips the test if a program is absent; in CI that is a failure."""
    missing = [p for p in programs if shutil.which(p) is None]
    if missing:
        absent(f"not installed: {' '.join(missing)}")


def absent(reason):
    if IN_CI:
        pytest.fail(f"absent in CI: {reason}", pytrace=False)
    pytest.skip(reason)


def run(*command, timeout=60, check=True, **kwargs):
    """subprocess.run with text output and a deadline."""
    kwargs.setdefault("stdout", subprocess.PIPE)
    kwargs.setdefault("stderr", subprocess.PIPE)
    kwargs.setdefault("text", True)
    done = subprocess.run([str(c) for c in command], timeout=timeout, **kwargs)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: rc {done.returncode}\n"
                             f"{done.stdout}\n{done.stderr}")
    return done


def wait_until(predicate, seconds=5.0, what="condition"):
    until = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def sha256sum(path, timeout=120):
    """The digest of a file as coreutils computes it."""
    return "sha256:" + run("sha256sum", "-b", path, timeout=timeout).stdout.split()[0]


def errno_of(function, *args):
    """The name of the errno a call fails with, or None if it succeeds."""
    try:
        function(*args)
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e.errno))
    return None


def read_file(path):
    """All bytes of a file by plain read(2), unbuffered."""
    fd = os.open(path, os.O_RDONLY)
    try:
        pieces = []
        while piece := os.read(fd, 1 << 20):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(fd)


def read_at(path, off, length):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.pread(fd, length, off)
    finally:
        os.close(fd)


def timed(function, *args):
    """(seconds, result) of a call."""
    start = time.monotonic()
    result = function(*args)
    return time.monotonic() - start, result
