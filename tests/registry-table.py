#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The README's table of registries, made from what the tests have shown.

    tests/registry-table.py RESULTS              print it
    tests/registry-table.py --check RESULTS      README has just this one, else 1
    tests/registry-table.py --write RESULTS      put it into README

RESULTS is what tests/system/test_every_registry.py leaves behind ($RFS_RESULTS):
a list of objects, one for each registry, with one member for each thing that a
test has seen to be so.  A registry of which something was not shown has no row:
that is an error.
"""
import argparse
import json
import sys
from pathlib import Path

import docblock
from docblock import Missing

README = Path(__file__).resolve().parents[1] / "README.md"
HEADS = ("registry", "log-in", "list", "read", "push", "retag", "delete", "notes")

LISTS = {"all": "repositories, tags", "namespace": "by namespace; tags",
         "seen": "tags"}
PARTS = ("tags", "images", "blobs")
ALWAYS = ("read", "range", "resumed_read", "resumed_write", "throttled", "copied_out",
          "missing", "wrong_password")


class Facts:
    def __init__(self, values):
        self.values = values

    def __getitem__(self, name):
        if name not in self.values:
            raise Missing(f"{self.values.get('host', '?')}: {name} was not shown")
        return self.values[name]


def login(f):
    words = []
    if f["scheme"]:
        words.append({"Basic": "password", "Bearer": "token"}[f["scheme"]])
    if f["user"] not in ("", "jo"):
        words.append(f"as `{f['user']}`")
    text = " ".join(words) or "none"
    return f"{text}; none to read" if words and f["anonymous"] else text


def push(f):
    if f["push"] != "yes" or f["relay"] != "yes":
        if f["push"] != f["relay"]:
            raise Missing(f"{f['host']}: push {f['push']}, relay {f['relay']}")
        return f"{f['push']}"
    return "yes"


def retag(f):
    return f["retag"]


def delete(f):
    gone = [p for p, errno in zip(PARTS, f["remove"]) if not errno]
    if f["remove"][1] and f["remove_untagged"] == "yes":
        gone.insert(1, "images without tags")
    return ", ".join(gone) or "no"


def notes(f):
    words = []
    if f["storage"] == "elsewhere":
        words.append("blobs are elsewhere")
    if f["push"] == "yes" and f["immutable"]:
        words.append(f"immutable tags: {f['immutable']}")
    if f["push"] == "yes" and f["absent"]:
        made = f.values.get("created")
        words.append(f"repositories must exist ({f['absent']})" if not made else
                     f"repositories are made with {made}, else {f['absent']}")
    return ", ".join(words)


def row(values):
    f = Facts(values)
    for name in ALWAYS:
        f[name]
    name = f"{f['title']} (`{f['family']}`)" if f["family"] else f["title"]
    return (name, login(f), LISTS[f["lists"]], "ranges", push(f), retag(f),
            delete(f), notes(f))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    docblock.add_options(parser, README)
    options = parser.parse_args()
    return docblock.serve("registries", lambda: docblock.table(
        HEADS, map(row, json.loads(options.results.read_text()))), options)


if __name__ == "__main__":
    sys.exit(main())
