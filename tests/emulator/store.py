# SPDX-License-Identifier: Apache-2.0
"""What the registry holds: contents by digest, repositories, upload sessions.

A content is anything with a size that can be read in slices, so that a blob of
ten gigabytes needs neither memory nor disk.  All methods of Store may be called
from any thread.
"""
import bisect
import hashlib
import json
import os
import random
import tempfile
import threading
import uuid
from dataclasses import dataclass, field

SLICE = 256 * 1024


class BytesContent:
    """A content held in memory."""

    def __init__(self, data):
        self.data = bytes(data)
        self.size = len(self.data)

    def slices(self, off, length):
        view = memoryview(self.data)
        for at in range(off, off + length, SLICE):
            yield view[at:min(at + SLICE, off + length)]


class PatternContent:
    """One pseudo-random block repeated: any size, no memory."""

    BLOCK = 1 << 20

    def __init__(self, size, seed=0):
        self.size = size
        self.block = random.Random(seed).randbytes(self.BLOCK)

    def slices(self, off, length):
        view, end = memoryview(self.block), off + length
        while off < end:
            at = off % self.BLOCK
            n = min(self.BLOCK - at, end - off)
            yield view[at:at + n]
            off += n


class FileContent:
    """A content that stays in a file."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as f:
            self.size = f.seek(0, 2)

    def slices(self, off, length):
        with open(self.path, "rb", buffering=0) as f:
            f.seek(off)
            while length > 0:
                data = f.read(min(SLICE, length))
                if not data:
                    return
                yield memoryview(data)
                length -= len(data)


class Spool:
    """Bytes on their way in: appended, hashed, and kept in memory only while
    they are few.  The file has no name, so it needs no removal."""

    MEMORY = 1 << 20

    def __init__(self, keep=True):
        self.size = 0
        self.keep = keep
        self.data = bytearray()
        self.file = None
        names = ["sha256"] if keep else ["sha256", "sha512"]
        self.hashes = {n: hashlib.new(n) for n in names}

    def append(self, piece):
        for h in self.hashes.values():
            h.update(piece)
        self.size += len(piece)
        if not self.keep:
            return
        if self.file is None and self.size <= self.MEMORY:
            self.data += piece
            return
        if self.file is None:
            self.file = tempfile.TemporaryFile(buffering=0)
            self.file.write(self.data)
            self.data = bytearray()
        self.file.write(piece)

    def truncate(self, size):
        """Forgets what came after `size` bytes."""
        kept = list(self.content().slices(0, size))
        self.__init__(self.keep)
        for piece in kept:
            self.append(piece)

    def digest(self, algorithm):
        if algorithm not in self.hashes:
            return digest_of(self.content(), algorithm)
        return f"{algorithm}:{self.hashes[algorithm].hexdigest()}"

    def content(self):
        if not self.keep:
            return PatternContent(self.size)
        return OpenContent(self.file, self.size) if self.file \
            else BytesContent(self.data)


class OpenContent:
    """A content in an open file."""

    def __init__(self, file, size):
        self.file = file
        self.size = size

    def slices(self, off, length):
        for at in range(off, off + length, SLICE):
            yield memoryview(os.pread(self.file.fileno(),
                                      min(SLICE, off + length - at), at))


def digest_of(content, algorithm="sha256"):
    """The digest of a content, e.g. "sha256:…"."""
    h = hashlib.new(algorithm)
    for piece in content.slices(0, content.size):
        h.update(piece)
    return f"{algorithm}:{h.hexdigest()}"


def read_all(content):
    return b"".join(content.slices(0, content.size))


@dataclass
class Repo:
    """Names of one repository; the contents themselves are shared."""
    blobs: set = field(default_factory=set)
    manifests: dict = field(default_factory=dict)      # digest -> media type
    tags: dict = field(default_factory=dict)           # tag -> digest
    referrers: dict = field(default_factory=dict)      # digest -> descriptors
    order: list = None                                 # sorted tags, or None


@dataclass
class Session:
    """One upload: the bytes so far and the serial number of its last state."""
    repo: str
    spool: Spool = field(default_factory=Spool)
    serial: int = 0
    patches: int = 0
    short_chunk: bool = False      # the last one was below the minimum
    lock: threading.Lock = field(default_factory=threading.Lock)


class Store:
    def __init__(self):
        self.lock = threading.RLock()
        self.contents = {}
        self.repos = {}
        self.sessions = {}
        self.session_repos = {}    # of those that are over, too
        self.repo_order = None
        self.commits = []          # what was accepted, in order

    # -- contents -----------------------------------------------------------
    def add_blob(self, repo, content, digest=None):
        """Adds a content to a repository and returns its digest.  A digest
        given by the caller is taken as it is, even if wrong."""
        digest = digest or digest_of(content)
        with self.lock:
            self.contents.setdefault(digest, content)
            self.repo(repo).blobs.add(digest)
            self.commits.append(("blob", repo, digest))
        return digest

    def used(self):
        """Bytes of all that some repository holds."""
        with self.lock:
            held = set()
            for entry in self.repos.values():
                held |= entry.blobs
            return sum(self.contents[d].size for d in held)

    def add_manifest(self, repo, body, media_type, tag=None, digest=None):
        content = BytesContent(body)
        digest = digest or digest_of(content)
        with self.lock:
            self.contents[digest] = content
            entry = self.repo(repo)
            entry.manifests[digest] = media_type
            if tag is not None:
                self.set_tag(repo, tag, digest)
            self.commits.append(("manifest", repo, tag or digest))
        self._note_subject(repo, body, media_type, digest)
        return digest

    def _note_subject(self, repo, body, media_type, digest):
        try:
            doc = json.loads(body)
            subject = doc["subject"]["digest"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        kind = doc.get("artifactType") or doc.get("config", {}).get("mediaType")
        item = {"mediaType": media_type, "digest": digest, "size": len(body)}
        if kind:
            item["artifactType"] = kind
        if doc.get("annotations"):
            item["annotations"] = doc["annotations"]
        with self.lock:
            items = self.repo(repo).referrers.setdefault(subject, [])
            if all(i["digest"] != digest for i in items):
                items.append(item)

    def blob(self, repo, digest):
        """The content of a blob (or manifest) of this repository, or None."""
        with self.lock:
            entry = self.repos.get(repo)
            if entry and (digest in entry.blobs or digest in entry.manifests):
                return self.contents.get(digest)
        return None

    def mount(self, repo, digest, source=None):
        """source: a repository, or None for any."""
        with self.lock:
            names = self.repos if source is None else [source]
            if not any(digest in self.repos[n].blobs
                       for n in names if n in self.repos):
                return False
            self.repo(repo).blobs.add(digest)
            self.commits.append(("mount", repo, digest))
            return True

    # -- names --------------------------------------------------------------
    def repo(self, name):
        with self.lock:
            if name not in self.repos:
                self.repos[name] = Repo()
                self.repo_order = None
            return self.repos[name]

    def set_tag(self, repo, tag, digest):
        with self.lock:
            entry = self.repo(repo)
            if tag not in entry.tags:
                entry.order = None
            entry.tags[tag] = digest

    def resolve(self, repo, ref):
        """(digest, media type, body) of a manifest, or None."""
        with self.lock:
            entry = self.repos.get(repo)
            if entry is None:
                return None
            digest = ref if ":" in ref else entry.tags.get(ref)
            if digest not in entry.manifests:
                return None
            return (digest, entry.manifests[digest],
                    read_all(self.contents[digest]))

    def tags(self, repo, last=None, n=None):
        """(tags, more) of a repository, or None if there is no such one."""
        with self.lock:
            entry = self.repos.get(repo)
            if entry is None:
                return None
            if entry.order is None:
                entry.order = sorted(entry.tags)
            return _page(entry.order, last, n)

    def catalog(self, last=None, n=None):
        with self.lock:
            if self.repo_order is None:
                self.repo_order = sorted(self.repos)
            return _page(self.repo_order, last, n)

    def delete_manifest(self, repo, ref):
        with self.lock:
            entry = self.repos.get(repo)
            if entry is None:
                return False
            entry.order = None
            if ":" not in ref:
                return entry.tags.pop(ref, None) is not None
            if entry.manifests.pop(ref, None) is None:
                return False
            entry.tags = {t: d for t, d in entry.tags.items() if d != ref}
            for items in entry.referrers.values():
                items[:] = [i for i in items if i["digest"] != ref]
            return True

    def delete_blob(self, repo, digest):
        with self.lock:
            entry = self.repos.get(repo)
            if entry is None or digest not in entry.blobs:
                return False
            entry.blobs.discard(digest)
            return True

    # -- uploads ------------------------------------------------------------
    def open_session(self, repo, keep=True):
        name = str(uuid.uuid4())
        with self.lock:
            self.sessions[name] = Session(repo, Spool(keep))
            self.session_repos[name] = repo
        return name

    def session(self, name, repo=None):
        with self.lock:
            s = self.sessions.get(name)
            return s if s is not None and repo in (None, s.repo) else None

    def drop_session(self, name):
        with self.lock:
            self.sessions.pop(name, None)


def _page(order, last, n):
    at = bisect.bisect_right(order, last) if last is not None else 0
    if n is None:
        return order[at:], False
    return order[at:at + n], len(order) > at + n
