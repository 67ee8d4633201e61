# SPDX-License-Identifier: Apache-2.0
"""A disk that loses power: what diskcall.c wrote down is done again, and at any
moment the folder can be made as that disk could hold it.

Synced data is there.  Of what was not: nothing, the first so many changes, or
any of the 4 KiB pages.  Names are lost in one of two ways: with a journal of
names, which keeps their order and which every sync writes out; or freely, where
a name is safe only once its own directory was synced.
"""
import os
import struct
from dataclasses import dataclass, field

CHANGE = struct.Struct("=8Q")
OPEN, READ, WRITE, SYNC, TRUNCATE, ALLOCATE, RENAME, UNLINK, MKDIR, STAT = range(1, 11)
PAGE = 4096
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16


@dataclass
class File:
    data: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    changes: list = field(default_factory=list)     # since the last sync

    def apply(self, change):
        edit(self.data, change)
        self.changes.append(change)

    def sync(self):
        if self.changes:
            self.durable = bytes(self.data)
            self.changes = []

    def survives(self, dice):
        """What a disk could hold of it now."""
        how = dice.choice(("nothing", "all", "first", "pages", "pages"))
        if not self.changes or how == "all":
            return bytes(self.data)
        data = bytearray(self.durable)
        if how == "first":
            for change in self.changes[:dice.randrange(len(self.changes) + 1)]:
                edit(data, change)
        if how == "pages":
            data = self.torn(dice)
        return bytes(data)

    def torn(self, dice):
        size = dice.choice((len(self.durable), len(self.data), len(self.data)))
        data = bytearray(size)
        share = dice.random()
        for at in range(0, size, PAGE):
            source = self.data if dice.random() < share else self.durable
            piece = source[at:min(at + PAGE, size)]
            data[at:at + len(piece)] = piece
        return data


def edit(data, change):
    kind, off, length, mode, new = change
    if kind == WRITE:
        if len(data) < off:
            data.extend(bytes(off - len(data)))
        data[off:off + len(new)] = new
    elif kind == TRUNCATE:
        del data[off:]
        data.extend(bytes(off - len(data)))
    elif mode & (PUNCH_HOLE | ZERO_RANGE):
        end = min(off + length, len(data))
        if off < end:
            data[off:end] = bytes(end - off)
    elif not mode & KEEP_SIZE and len(data) < off + length:
        data.extend(bytes(off + length - len(data)))


class Names:
    """A change of names: [(directory, name, what or None)], all or none."""

    def __init__(self, *steps):
        self.steps = steps

    def apply(self, tree):
        for folder, name, what in self.steps:
            if what is None:
                tree[folder].pop(name, None)
            else:
                tree[folder][name] = what


class Disk:
    """folders: {id: {name: id of a file or a folder}}, now and for certain."""

    def __init__(self):
        self.root = None
        self.inodes = {}                # inode number -> id
        self.files, self.now, self.safe = {}, {}, {}
        self.unsafe = []                # Names, in their order
        self.next_id = 0

    def new(self, ino, is_folder=False):
        self.next_id += 1
        self.inodes[ino] = self.next_id
        if is_folder:
            self.now[self.next_id], self.safe[self.next_id] = {}, {}
        else:
            self.files[self.next_id] = File()
        return self.next_id

    def rename_to(self, *steps):
        change = Names(*steps)
        change.apply(self.now)
        self.unsafe.append(change)

    def replay(self, entry):
        (kind, ino, off, folder, folder2), names, data = entry
        what = self.inodes.get(ino)
        where = self.inodes.get(folder) if kind not in (ALLOCATE,) else None
        if kind == MKDIR:
            made = self.new(ino, True)
            if where is None:
                self.root = made
            else:
                self.rename_to((where, names[0], made))
        elif kind == OPEN:
            made = self.new(ino)
            if names:
                self.rename_to((where, names[0], made))
        elif kind == WRITE:
            self.files[what].apply((WRITE, off, 0, 0, data))
        elif kind == TRUNCATE:
            self.files[what].apply((TRUNCATE, off, 0, 0, b""))
        elif kind == ALLOCATE:
            self.files[what].apply((ALLOCATE, off, folder, folder2, b""))
        elif kind == RENAME:
            target = self.inodes[folder2]
            moved = self.now[where][names[0]]
            self.rename_to((where, names[0], None), (target, names[1], moved))
        elif kind == UNLINK:
            self.rename_to((where, names[0], None))
        elif kind == SYNC:
            self.sync(what)

    def sync(self, what):
        if what in self.files:
            self.files[what].sync()
            return
        # Of a folder: its own names, and those that came before them there.
        kept = []
        for change in self.unsafe:
            if any(folder == what for folder, _, _ in change.steps):
                change.apply(self.safe)
            else:
                kept.append(change)
        self.unsafe = kept

    # -- the loss ------------------------------------------------------------
    def surviving_names(self, dice):
        tree = {k: dict(v) for k, v in self.safe.items()}
        how = dice.choice(("none", "all", "order", "free"))
        if how == "all":
            chosen = self.unsafe
        elif how == "order":
            chosen = self.unsafe[:dice.randrange(len(self.unsafe) + 1)]
        elif how == "free":
            chosen = self._free(dice)
        else:
            chosen = []
        for change in chosen:
            change.apply(tree)
        return tree

    def _free(self, dice):
        """Any, but of one name not the later without the earlier."""
        chosen, lost = [], set()
        for change in self.unsafe:
            touched = {(folder, name) for folder, name, _ in change.steps}
            if touched & lost or dice.random() < 0.4:
                lost |= touched
            else:
                chosen.append(change)
        return chosen

    def make(self, path, dice):
        """Fills the folder as the disk could hold it."""
        if self.root is not None:
            self._make(self.surviving_names(dice), self.root, path, dice)

    def _make(self, tree, folder, path, dice):
        for name, what in tree[folder].items():
            inner = os.path.join(path, name)
            if what in self.files:
                write_sparse(inner, self.files[what].survives(dice))
            else:
                os.mkdir(inner, 0o700)
                self._make(tree, what, inner, dice)


def write_sparse(path, data):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f:
        for at in range(0, len(data), PAGE):
            piece = data[at:at + PAGE]
            if piece.strip(b"\0"):
                f.seek(at)
                f.write(piece)
        f.truncate(len(data))


def entries(path):
    """What a record holds; a torn end is left out."""
    with open(path, "rb") as f:
        while len(head := f.read(CHANGE.size)) == CHANGE.size:
            kind, ino, off, _, folder, folder2, names_len, data_len = CHANGE.unpack(head)
            text, data = f.read(names_len), f.read(data_len)
            if len(text) + len(data) < names_len + data_len:
                return
            names = text.decode().split("\0") if text else []
            yield (kind, ino, off, folder, folder2), names, data
