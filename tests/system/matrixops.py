# SPDX-License-Identifier: Apache-2.0
"""The operations of the fault matrix: how each is done, on a registry, repository
and image of its own, and which of its requests is the one to be spoilt.

An operation is prepared without a fault, then acts: it raises the OSError that a
user would see, or ends with every byte compared.  After a failure the registry
holds what it held; after a success what was asked for.
"""
import base64
import gzip
import json
import os
import random
import time
from dataclasses import dataclass
from typing import Callable

from emulator.store import PatternContent
from images import CONFIG, CREATED, INDEX, LAYER, MANIFEST, make_tar
from tools import read_file, sha256

MIB = 1 << 20
LARGE = 2 * MIB + 12_345        # a blob that is read
SENT = 1_400_000                 # one that is written
PATIENCE = 30                    # with what only a busy machine delays


class Small:
    """An image of one small layer, different for each number."""

    def __init__(self, number, subject=None):
        noise = random.Random(number)
        self.text = f"{number}\n".encode() + noise.randbytes(3000)
        tar = make_tar([("etc", None, 0o755), ("etc/name", self.text, 0o644),
                        ("etc/more", self.text[::-1], 0o644)])
        self.layer = gzip.compress(tar, 6, mtime=0)
        self.config = json.dumps({
            "created": CREATED, "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [sha256(tar)]}}).encode()
        document = {"schemaVersion": 2, "mediaType": MANIFEST,
                    "config": self._descriptor(CONFIG, self.config),
                    "layers": [self._descriptor(LAYER, self.layer)]}
        if subject:
            document["subject"] = self._descriptor(MANIFEST, subject.body)
        self.body = json.dumps(document).encode()
        self.digest = sha256(self.body)

    @staticmethod
    def _descriptor(kind, data):
        return {"mediaType": kind, "digest": sha256(data), "size": len(data)}

    def load(self, emu, repo, tag):
        emu.call("load", repo=repo, manifests=[[self.body.decode(), MANIFEST, tag]],
                 blobs=[base64.b64encode(b).decode() for b in (self.config, self.layer)])

    def index(self):
        return json.dumps({"schemaVersion": 2, "manifests": [
            self._descriptor(MANIFEST, self.body)]}).encode()


class Scene:
    """What one cell has for itself.  port: of the emulator, at any address."""

    def __init__(self, place, number, emu, new=True):
        self.place, self.number, self.emu = place, number, emu
        self.host = place.host(number, emu)
        self.repo = f"c{number}/app"
        self.image = Small(number)
        self.other = Small(f"other {number}", self.image)
        self.old = self.image.digest
        self.handle = None
        if new:
            self.image.load(emu, self.repo, "1")

    @property
    def top(self):
        return self.place.mount / self.host / self.repo

    def manifest(self, name=""):
        return self.top / "_manifests" / self.image.digest / name

    def blob(self, digest):
        return self.top / "_blobs" / digest

    def tree(self):
        return self.top / "_rootfs" / self.image.digest

    def large(self, repo=None):
        """A blob at the registry, and its bytes."""
        content = PatternContent(LARGE, self.number)
        digest = self.emu.call("blob_pattern", repo=repo or self.repo, size=LARGE,
                               seed=self.number)
        return digest, b"".join(map(bytes, content.slices(0, LARGE)))

    def held(self, repo=None):
        return self.emu.call("held", repo=repo or self.repo)

    def close(self):
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None


@dataclass
class Operation:
    """rule: the requests that a fault hits.  fresh: the first thing that is asked
    of a registry.  again: how it is done once more after it has failed."""
    act: Callable
    rule: dict
    prepare: Callable = lambda s: None
    right: Callable = lambda s: None        # at the registry, after success
    unchanged: Callable = None              # at the registry, after a failure
    again: Callable = None
    fresh: bool = False
    profile: str = "plain"


# -- reading -----------------------------------------------------------------------

def list_repositories(s):
    assert s.repo.split("/")[0] in os.listdir(s.place.mount / s.host)


def list_tags(s):
    assert os.listdir(s.top / "_tags") == ["1"]


def stat_tag(s):
    path = s.top / "_tags/1"
    assert os.getxattr(path, "user.oci.digest").decode() == s.image.digest


def stat_absent(s):
    """A name that the registry does not have: mkdir asks for it."""
    os.mkdir(s.top / "_tags/new")
    os.rmdir(s.top / "_tags/new")


def read_manifest(s):
    assert read_file(s.manifest("manifest.json")) == s.image.body


def read_config(s):
    assert read_file(s.manifest("config.json")) == s.image.config


def with_large(s):
    s.digest, s.data = s.large()


def stat_blob(s):
    assert os.stat(s.blob(s.digest)).st_size == len(s.data)


def opened(s):
    with_large(s)
    s.handle = os.open(s.blob(s.digest), os.O_RDONLY)


def begun(s):
    opened(s)
    assert os.pread(s.handle, 4096, 0) == s.data[:4096]


def read_first(s):
    assert os.pread(s.handle, 4096, 0) == s.data[:4096]


def read_middle(s):
    at = LARGE - 300_000
    assert os.pread(s.handle, 4096, at) == s.data[at:at + 4096]


def read_whole(s):
    os.lseek(s.handle, 0, os.SEEK_SET)
    pieces = []
    while piece := os.read(s.handle, MIB):
        pieces.append(piece)
    assert b"".join(pieces) == s.data


def read_anew(s):
    """By another handle: one that has failed stays failed."""
    assert read_file(s.blob(s.digest)) == s.data


def list_layer(s):
    names = os.listdir(s.top / "_layers" / sha256(s.image.layer) / "etc")
    assert sorted(names) == ["more", "name"]


def read_tree(s):
    assert read_file(s.tree() / "etc/name") == s.image.text


def evicted(s):
    """The index of the layer is there, its bytes are not."""
    read_tree(s)
    s.place.evict(s.top)


def read_tree_more(s):
    """What the kernel has not kept."""
    assert read_file(s.tree() / "etc/more") == s.image.text[::-1]


def list_referrers(s):
    names = os.listdir(s.manifest("referrers"))
    assert any(s.other.digest[7:] in n for n in names), names


def with_referrer(s):
    s.other.load(s.emu, s.repo, None)
    read_manifest(s)


def with_referrer_by_tag(s):
    """As it is kept where there is no API for referrers."""
    with_referrer(s)
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": MANIFEST, "digest": s.other.digest, "size": len(s.other.body)}]}
    s.emu.add_manifest(s.repo, index, tag=s.old.replace(":", "-"))


# -- writing -----------------------------------------------------------------------

def with_bytes(s):
    s.data = random.Random(s.number).randbytes(SENT)
    s.digest = sha256(s.data)


def pour(path, data, pause=lambda: None):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(fd, data[:-1000])
        pause()
        os.write(fd, data[-1000:])
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)


def write_blob(s):
    pour(s.blob(s.digest), s.data)


def stream_blob(s):
    """The last bytes come when the first are on their way; there are only so many
    uploads at a time, and others may have to end before."""
    def on_its_way():
        until = time.monotonic() + PATIENCE
        while s.seen() == 0 and time.monotonic() < until:
            time.sleep(0.02)
    pour(s.blob(s.digest), s.data, on_its_way)


def blob_there(s):
    assert s.digest in s.held()["blobs"]


def no_blob(s):
    assert s.digest not in s.held()["blobs"]


def with_other(s):
    """All of an image but its index.json."""
    folder = s.top / "_tags/1/blobs/sha256"
    for data in (s.other.config, s.other.layer, s.other.body):
        pour(folder / sha256(data)[7:], data)


def publish(s):
    pour(s.top / "_tags/1/index.json", s.other.index())


def publish_anew(s):
    with_other(s)
    publish(s)


def tag_moved(s):
    held = s.held()
    assert held["tags"]["1"] == s.other.digest in held["manifests"]
    assert {sha256(s.other.config), sha256(s.other.layer)} <= set(held["blobs"])


def tag_kept(s):
    assert s.held()["tags"] == {"1": s.old}


def link(s):
    os.symlink("1", s.top / "_tags/s")


def linked(s):
    assert s.held()["tags"] == {"1": s.old, "s": s.old}


def elsewhere(s, which=1):
    """The same bytes in another repository of the same registry."""
    s.digest, s.data = s.large(f"c{s.number}/from")
    s.source = (s.place.mount / s.place.host(s.number, s.emu, which)
                / f"c{s.number}/from/_blobs/{s.digest}")
    os.stat(s.source)


def abroad(s):
    """The bytes are at another registry.  (That one does not know that this has
    them, too, and in which repository: it would ask for them there.)"""
    elsewhere(s, 2)


def copy_blob(s):
    source = os.open(s.source, os.O_RDONLY)
    try:
        target = os.open(s.blob(s.digest), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            while os.copy_file_range(source, target, 1 << 30):
                pass
        except BaseException:
            os.close(target)
            raise
        os.close(target)
    finally:
        os.close(source)


def remove_tag(s):
    os.rmdir(s.top / "_tags/1")


def no_tag(s):
    assert "1" not in s.held()["tags"]


def remove_manifest(s):
    os.rmdir(s.manifest())


def remove_blob(s):
    os.unlink(s.blob(s.digest))


def rename_tag(s):
    os.rename(s.top / "_tags/1", s.top / "_tags/2")


def renamed(s):
    assert s.held()["tags"] == {"2": s.old}


def finish_rename(s):
    """A new name without the old one's end is both; what is left is to remove."""
    if "2" in s.held()["tags"]:
        remove_tag(s)
    else:
        rename_tag(s)


def whole_tags(s):
    """Whatever happened: each tag's manifest and blobs are there."""
    held = s.held()
    for digest in held["tags"].values():
        assert digest in held["manifests"]
        if digest == s.other.digest:
            tag_moved(s)


def resolved(s):
    stat_tag(s)


BLOBS = {"method": "GET", "path": "/blobs/"}
SENDS = {"unchanged": no_blob, "right": blob_there}
TAGS = {"unchanged": tag_kept}
# Of these only the first try is spoilt: there is another way, which works.
WAYS_OUT = {"bytes": "ok", "mount": "ok"}
OPERATIONS = {
    "list repositories": Operation(list_repositories, {"path": "^/v2/_catalog"},
                                   fresh=True),
    "list tags": Operation(list_tags, {"path": "/tags/list"}, fresh=True),
    "stat tag": Operation(stat_tag, {"path": "/manifests/1"}, fresh=True),
    "mkdir": Operation(stat_absent, {"path": "/manifests/new"}, fresh=True, **TAGS),
    "manifest": Operation(read_manifest, {"path": "/manifests/sha256"}, fresh=True),
    "config": Operation(read_config, BLOBS, lambda s: read_manifest(s)),
    "stat blob": Operation(stat_blob, {"method": "HEAD", "path": "/blobs/"}, with_large,
                           fresh=True),
    "blob first": Operation(read_first, BLOBS, opened),
    "blob middle": Operation(read_middle, BLOBS, begun),
    "blob whole": Operation(read_whole, BLOBS, opened, again=read_anew),
    "layer": Operation(list_layer, BLOBS, read_manifest),
    "rootfs": Operation(read_tree, BLOBS, read_manifest),
    "file in rootfs": Operation(read_tree_more, BLOBS, evicted),
    "referrers": Operation(list_referrers, {"path": "/referrers/"}, with_referrer),
    "referrers by tag": Operation(list_referrers, {"path": "/manifests/sha256-"},
                                  with_referrer_by_tag, profile="old"),
    "look before sending": Operation(write_blob, {"method": "HEAD", "path": "/blobs/"},
                                     with_bytes, fresh=True, **SENDS),
    "start": Operation(write_blob, {"method": "POST"}, with_bytes, fresh=True, **SENDS),
    "bytes": Operation(stream_blob, {"method": "PATCH"}, with_bytes, **SENDS),
    "commit": Operation(write_blob, {"method": "PUT", "path": "/blobs/"}, with_bytes,
                        **SENDS),
    "publish": Operation(publish, {"method": "PUT", "path": "/manifests/1"}, with_other,
                         tag_moved, again=publish_anew, **TAGS),
    "link": Operation(link, {"method": "PUT", "path": "/manifests/s"}, resolved, linked,
                      **TAGS),
    "mount": Operation(copy_blob, {"path": "mount="}, elsewhere, **SENDS),
    "relay, reading": Operation(copy_blob, {**BLOBS, "path": "/from/blobs/"}, abroad,
                                **SENDS),
    "relay, writing": Operation(copy_blob, {"method": "PATCH|PUT", "path": "/app/blobs/"},
                                abroad, **SENDS),
    "remove tag": Operation(remove_tag, {"method": "DELETE"}, resolved, no_tag, **TAGS),
    "remove manifest": Operation(remove_manifest, {"method": "DELETE"}, read_manifest,
                                 no_tag, **TAGS),
    "remove blob": Operation(remove_blob, {"method": "DELETE"},
                             lambda s: (with_large(s), stat_blob(s)), no_blob,
                             blob_there),
    "rename": Operation(rename_tag, {"method": "DELETE"}, resolved, renamed,
                        whole_tags, finish_rename),
    "referrer by tag": Operation(publish, {"method": "PUT", "path": "/manifests/sha256-"},
                                 with_other, tag_moved, whole_tags, publish_anew,
                                 profile="old"),
}
READS = ["list repositories", "list tags", "stat tag", "manifest", "config", "stat blob",
         "blob first", "blob middle", "blob whole", "layer", "rootfs", "file in rootfs",
         "referrers", "referrers by tag"]
LISTS = ["list repositories", "list tags", "referrers", "referrers by tag"]
DATA = ["config", "blob first", "blob middle", "blob whole", "layer", "rootfs",
        "file in rootfs"]
RANGES = ["blob first", "blob middle", "blob whole", "file in rootfs"]
BODIES = [*LISTS, "manifest", *DATA, "relay, reading"]
MOVES = ["bytes", "commit", "relay, writing"]
PUTS = ["publish", "link", "referrer by tag"]
REMOVES = ["remove tag", "remove manifest", "remove blob", "rename"]
ALL = list(OPERATIONS)
FRESH = [name for name, op in OPERATIONS.items() if op.fresh]
