# SPDX-License-Identifier: Apache-2.0
"""Stacks of layers that are hard to merge, and random ones with a model.

A model is {path: (kind, what, layer)}: enough to say what there is and who
brought it; real tools say the rest.
"""
import random

from tarmaker import (END, directory, file, hardlink, opaque, symlink, whiteout)


class Model:
    """The image-spec's merge over simple entries, one layer at a time."""

    def __init__(self):
        self.tree = {}                  # path -> (kind, identity, layer)
        self.fresh = set()              # paths of the layer being applied
        self.layer = -1
        self.identities = 0

    def below(self, path):
        return [p for p in self.tree if p.startswith(path + "/")]

    def drop(self, path):
        for p in [path, *self.below(path)]:
            self.tree.pop(p, None)
            self.fresh.discard(p)

    def begin(self, whiteouts, opaques):
        """What a layer removes of those beneath, before anything is added."""
        self.layer += 1
        self.fresh = set()
        for path in whiteouts:
            self.drop(path)
        for path in opaques:
            for p in self.below(path):
                self.drop(p)

    def place(self, path, kind, identity=None):
        old = self.tree.get(path)
        if old and not (old[0] == kind == "dir"):
            self.drop(path)
        if identity is None:
            self.identities += 1
            identity = self.identities
        self.tree[path] = (kind, identity, self.layer)
        self.fresh.add(path)

    def files(self):
        return [p for p, (kind, _, _) in self.tree.items() if kind != "dir"]

    def dirs(self):
        return [p for p, (kind, _, _) in self.tree.items() if kind == "dir"]


NAMES = "abcde"


def random_stack(seed, layers=4, entries=12):
    """(archives, Model): whiteouts, opaque directories, changes of type, links."""
    dice, model, tars = random.Random(seed), Model(), []
    for n in range(layers):
        gone = [p for p in model.tree if dice.random() < 0.12]
        hidden = [d for d in model.dirs() if dice.random() < 0.15 and not any(
            d == g or d.startswith(g + "/") for g in gone)]
        # Marks beneath marks make directories that tools differ about.
        hidden = [p for p in hidden if not any(p.startswith(h + "/") for h in hidden)]
        gone = [p for p in gone if not any(p.startswith(g + "/")
                                           for g in gone + hidden)]
        model.begin(gone, hidden)
        body = _additions(dice, model, n, entries)
        # Beneath what this layer makes a file there is nothing to remove.
        marks = [whiteout(p) for p in gone if not _covered(model, p)]
        marks += [opaque(p) for p in hidden if not _covered(model, p + "/")]
        while marks:                    # whiteouts may stand anywhere
            body.insert(dice.randrange(len(body) + 1), marks.pop())
        # A directory that comes after its mark must still be one: say so first.
        head = [_own(model, d) for d in sorted(hidden) if model.tree.get(
            d, ("",))[0] == "dir" and d not in model.fresh]
        tars.append(b"".join(head + body) + END)
    return tars, model


def _covered(model, path):
    return any(p in model.fresh and model.tree[p][0] != "dir" for p in _ancestors(path))


def _own(model, path):
    model.place(path, "dir")
    return directory(path, mode=0o750)


def _ancestors(path):
    parts = path.split("/")
    return ["/".join(parts[:i]) for i in range(1, len(parts))]


def _parents(dice, model, path, n):
    out = []
    for p in _ancestors(path):
        if model.tree.get(p, ("",))[0] != "dir":
            model.place(p, "dir")
            out.append(directory(p, mode=dice.choice((0o755, 0o700)), uid=n))
    return out


def _additions(dice, model, n, entries):
    out = []
    for i in range(entries):
        path = "/".join(dice.choices(NAMES, k=dice.choice((1, 2, 2, 3))))
        links = [p for p in model.files() if p in model.fresh and p != path]
        kind = dice.choice(("dir", "file", "file", "file", "symlink", "hard"))
        # A name twice in one layer is forbidden; tools differ about it.
        if path in model.fresh or any(q in model.fresh for q in model.below(path)) \
                or any(p in model.fresh and model.tree[p][0] != "dir"
                       for p in _ancestors(path)):
            continue
        out += _parents(dice, model, path, n)
        if kind == "dir":
            model.place(path, "dir")
            out.append(directory(path, mode=0o711, uid=n, mtime=10**9 + n * 100 + i))
        elif kind == "symlink":
            model.place(path, "symlink")
            out.append(symlink(path, f"to/{n}/{i}", uid=n))
        elif kind == "hard" and links:
            target = dice.choice([p for p in links])
            if target not in model.tree or path.startswith(target + "/"):
                continue
            what = model.tree[target]
            model.place(path, what[0], what[1])
            out.append(hardlink(path, target))
        else:
            model.place(path, "file")
            out.append(file(path, f"{n}/{i}/{path}", uid=n, mtime=10**9 + n * 100 + i))
    return out
