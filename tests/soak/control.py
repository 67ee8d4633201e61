# SPDX-License-Identifier: Apache-2.0
"""The driver's side of control.h: builds the libraries that are preloaded, and
tells them what is to fail."""
import mmap
import os
import struct
import subprocess
import tempfile
from collections import namedtuple
from pathlib import Path

HERE = Path(__file__).resolve().parent
HEAD = struct.Struct("=IIIIQqiIqqQQ")
PLACE = struct.Struct("=QQQ4Q")
PLACES = 8192
Place = namedtuple("Place", "count kind frames", defaults=(0, 0, ()))
SIZE = HEAD.size + PLACES * PLACE.size
FLAGS = ("-std=gnu11", "-O1", "-g", "-fPIC", "-shared", "-Wall", "-Wextra",
         "-fno-optimize-sibling-calls", "-fno-omit-frame-pointer")


def library(name, folder):
    """Compiles tests/soak/NAME.c; the path of the shared object."""
    target = Path(folder) / f"{name}.so"
    if not target.exists():
        subprocess.run([os.environ.get("CC", "cc"), *FLAGS, "-o", target,
                        HERE / f"{name}.c"], check=True, timeout=60)
    return target


class Control:
    """One mapped file; environment() makes a daemon obey it."""

    def __init__(self, name, folder):
        self.library = library(name, folder)
        fd, self.path = tempfile.mkstemp(prefix="control-", dir=folder)
        os.ftruncate(fd, SIZE)
        self.map = mmap.mmap(fd, SIZE)
        os.close(fd)

    def environment(self, **more):
        return {"LD_PRELOAD": str(self.library), "SOAK_CONTROL": self.path, **more}

    def set(self, key=0, nth=0, error=0, sticky=False, all_callers=False, action=0):
        """From now on calls are counted, and the nth of this place fails."""
        self.map[:] = bytes(SIZE)
        HEAD.pack_into(self.map, 0, 0, all_callers, sticky, action, key, nth, error,
                       0, 0, 0, 0, 0)
        self.on()

    def on(self):
        self.map[0:4] = struct.pack("=I", 1)

    def off(self):
        self.map[0:4] = struct.pack("=I", 0)

    def _head(self):
        return HEAD.unpack_from(self.map, 0)

    @property
    def seen(self):
        return self._head()[8]

    @property
    def failed(self):
        return self._head()[9]

    @property
    def position(self):
        return self._head()[11]

    def places(self):
        """{key: Place} of all that was counted."""
        found = {}
        for at in range(HEAD.size, SIZE, PLACE.size):
            key, count, kind, *frames = PLACE.unpack_from(self.map, at)
            if key:
                found[key] = Place(count, kind, frames)
        return found

    def close(self):
        self.map.close()
        os.unlink(self.path)


def offsets(frames):
    """Those in the program itself; a frame is where a call returns to."""
    return [hex((f & (1 << 48) - 1) - 1) for f in frames if f and f >> 48 == 0]


def functions(program, places):
    """{offset: "function file:line"} of all frames of these places."""
    wanted = sorted({o for place in places for o in offsets(place.frames)})
    text = subprocess.run(["addr2line", "-s", "-f", "-e", program],
                          input="\n".join(wanted), capture_output=True, text=True,
                          timeout=60).stdout.splitlines()
    return {o: f"{f} {where.split()[0]}"
            for o, f, where in zip(wanted, text[::2], text[1::2])}


def symbols(program, place):
    """The place in the program's source, and its callers."""
    known = functions(program, [place])
    return " < ".join(known[o] for o in offsets(place.frames)) or "a library"
