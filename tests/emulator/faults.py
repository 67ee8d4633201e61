# SPDX-License-Identifier: Apache-2.0
"""Rules that spoil answers.

A rule chooses requests by {"where", "method", "path", "host", "range", "nth",
"count"}: "path" is a regular expression searched in the request target, "host"
and "range" are searched in these headers; the nth match is the first one hit and count of
them are (0: all that follow).  What it does, any of these together:

  status, headers, body      another answer ("headers": null values remove)
  after: true                … but only after the real work was done
  delay: s                   wait before answering
  drop: "fin"|"rst"          close without an answer
  raw: text                  these bytes instead of an answer, then close
  cut: {"at": k, "how": "fin"|"rst"}     close after k bytes of the body
  stall: {"at": k, "seconds": s}         be silent after k bytes of the body
  trickle: {"bytes": n, "every": s}      body in small pieces
  trickle_head: {"bytes": n, "every": s} headers in small pieces
  range_lie: kind            a wrong answer to a range (see RANGE_LIES)
  flip: k                    one wrong byte at offset k of the content
  truncate: k                k bytes only, and a Content-Length that says so
  length: text               a lying Content-Length; null leaves it out
  gzip: true                 Content-Encoding: gzip
  digest: text               another Docker-Content-Digest; null removes it
  html: true                 a web page instead of the body
  huge_headers: n            n bytes of headers more
  redirect: {"status", "url"}
  expire: ["tokens", "urls"] what was given out before is worthless from now
  revoke: true               the token of this request is worthless from now

What comes in can be spoilt as well:

  refuse: true               the body is left unread, and then the connection ends
  cut_request: {"at": k, "how": "fin"|"rst"}  close after k bytes of the body
  lose_session: true         the upload session is gone
  take: k                    k bytes of the body are stored, the rest is dropped
  digest_invalid: true       a good blob is refused, and the session dropped
  not_stored: true           201, but nothing is there
"""
import gzip
import itertools
import re
import threading

from emulator.reply import Reply
from emulator.store import BytesContent

HTML = (b"<!DOCTYPE html><html><head><title>Sign in</title></head>"
        b"<body>Please sign in to the network.</body></html>\n")


class Rule:
    """One rule: a matcher with its counters, and what it does."""

    def __init__(self, number, spec):
        self.number = number
        self.spec = spec
        self.seen = 0
        self.hits = 0
        self.active = True

    def matches(self, where, request):
        spec = self.spec
        if spec.get("where", where) != where:
            return False
        if not re.fullmatch(spec.get("method", ".*"), request.method):
            return False
        if not re.search(spec.get("path", ""), request.target):
            return False
        return all(re.search(spec.get(name.lower(), ""),
                             request.headers.get(name) or "")
                   for name in ("Host", "Range"))

    def take(self):
        """Counts a match; true if this one is to be hit."""
        self.seen += 1
        first, count = self.spec.get("nth", 1), self.spec.get("count", 1)
        hit = self.seen >= first and (count == 0 or self.seen < first + count)
        self.hits += hit
        return hit


class Faults:
    """The rules in force; the first one that hits is applied."""

    def __init__(self):
        self.lock = threading.Lock()
        self.rules = []
        self.numbers = itertools.count(1)

    def add(self, spec):
        rule = Rule(next(self.numbers), spec)
        with self.lock:
            self.rules.append(rule)
        return rule.number

    def clear(self, number=None):
        with self.lock:
            gone = [r for r in self.rules if number in (None, r.number)]
            self.rules = [r for r in self.rules if r not in gone]
        for rule in gone:
            rule.active = False
        return sum(r.hits for r in gone)

    def find(self, where, request):
        with self.lock:
            for rule in self.rules:
                if rule.matches(where, request) and rule.take():
                    return rule
        return None

    def report(self, number=None):
        with self.lock:
            return [{"id": r.number, "seen": r.seen, "hits": r.hits,
                     "spec": r.spec} for r in self.rules
                    if number in (None, r.number)]


def replaces(spec):
    """True if the rule's answer comes instead of the engine's."""
    own = any(k in spec for k in ("status", "redirect", "raw", "drop"))
    return own and not spec.get("after")


def fresh_reply(spec):
    if "redirect" in spec:
        return Reply(spec["redirect"].get("status", 307),
                     [("Location", spec["redirect"]["url"])])
    return Reply(spec.get("status", 500))


def apply(spec, reply):
    """Changes a reply as the rule says; sending faults are the sender's."""
    if spec.get("after") and "status" in spec:
        reply = Reply(spec["status"])
    if "range_lie" in spec:
        reply = RANGE_LIES[spec["range_lie"]](reply)
    if "flip" in spec:
        _flip(reply, spec["flip"])
    if "body" in spec:
        reply.set_body(spec["body"].encode())
    if spec.get("html"):
        reply.set_body(HTML)
        reply.set("Content-Type", "text/html; charset=utf-8")
    if spec.get("gzip"):
        whole = b"".join(reply.content.slices(reply.off, reply.length))
        reply.set_body(gzip.compress(whole, 1))
        reply.set("Content-Encoding", "gzip")
    if "truncate" in spec:
        reply.length = min(reply.length, spec["truncate"])
    if "digest" in spec:
        reply.set("Docker-Content-Digest", spec["digest"])
    for name, value in spec.get("headers", {}).items():
        reply.set(name, value)
    if "huge_headers" in spec:
        for i in range(0, spec["huge_headers"], 4000):
            reply.headers.append((f"X-Filler-{i}", "f" * 3980))
    return reply


class Flipped:
    """A content with one wrong byte."""

    def __init__(self, inner, at):
        self.inner, self.at, self.size = inner, at, inner.size

    def slices(self, off, length):
        for piece in self.inner.slices(off, length):
            if off <= self.at < off + len(piece):
                piece = bytearray(piece)
                piece[self.at - off] ^= 0x01
                piece = memoryview(piece)
            yield piece
            off += len(piece)


def _flip(reply, at):
    reply.content = Flipped(reply.content, at)


# -- wrong answers to a range -------------------------------------------------

def _numbers(reply):
    total = reply.content.size
    return reply.off, reply.off + reply.length - 1, total


def _stating(change):
    """A lie that only changes the Content-Range header."""
    def lie(reply):
        if reply.status == 206:
            reply.set("Content-Range", change(*_numbers(reply)))
        return reply
    return lie


def _ignored(reply):
    if reply.status == 206:
        reply.status, reply.off, reply.length = 200, 0, reply.content.size
        reply.set("Content-Range", None)
    return reply


def _two(reply):
    if reply.status == 206:
        first, last, total = _numbers(reply)
        reply.headers.append(("Content-Range", f"bytes {first + 1}-{last}/{total}"))
    return reply


def _another(reply):
    """Honest about sending another range than the one asked for."""
    if reply.status == 206:
        first, last, total = _numbers(reply)
        move = 1 if first == 0 else -1
        reply.length = min(reply.length, total - first - move)
        reply.off = first + move
        reply.set("Content-Range",
                  f"bytes {reply.off}-{reply.off + reply.length - 1}/{total}")
    return reply


def _shifted_body(reply):
    """The right header over the wrong bytes: only a digest tells."""
    if reply.status == 206 and reply.content.size > 1:
        data = b"".join(reply.content.slices(reply.off, reply.length))
        _keep_body(reply, data[1:] + data[:1])
    return reply


def _short(reply):
    if reply.status == 206 and reply.length > 1:
        reply.length //= 2
        first, last, total = _numbers(reply)
        reply.set("Content-Range", f"bytes {first}-{last}/{total}")
    return reply


def _few(reply):
    """Half the bytes under a Content-Range that promises all."""
    if reply.status == 206 and reply.length > 1:
        reply.length //= 2
    return reply


def _extra(reply):
    if reply.status == 206:
        data = b"".join(reply.content.slices(reply.off, reply.length))
        _keep_body(reply, data + b"extra" * 6)
    return reply


def _keep_body(reply, data):
    reply.content, reply.off, reply.length = BytesContent(data), 0, len(data)


def _multipart(reply):
    if reply.status == 206:
        head = (f"--x\r\nContent-Type: application/octet-stream\r\n"
                f"Content-Range: {reply.header('Content-Range')}\r\n\r\n").encode()
        data = b"".join(reply.content.slices(reply.off, reply.length))
        _keep_body(reply, head + data + b"\r\n--x--\r\n")
        reply.set("Content-Range", None)
        reply.set("Content-Type", "multipart/byteranges; boundary=x")
    return reply


RANGE_LIES = {
    "start": _stating(lambda a, b, t: f"bytes {a + 1}-{b}/{t}"),
    "end": _stating(lambda a, b, t: f"bytes {a}-{b + 1}/{t}"),
    "total": _stating(lambda a, b, t: f"bytes {a}-{b}/{t + 1}"),
    "star": _stating(lambda a, b, t: f"bytes {a}-{b}/*"),
    "unit": _stating(lambda a, b, t: f"octets {a}-{b}/{t}"),
    "garbage": _stating(lambda a, b, t: "bytes x-y/z"),
    "missing": _stating(lambda a, b, t: None),
    "two": _two,
    "another": _another,
    "shifted_body": _shifted_body,
    "short": _short,
    "few": _few,
    "extra": _extra,
    "multipart": _multipart,
    "ignored": _ignored,
}
