# SPDX-License-Identifier: Apache-2.0
"""Requests and replies as plain values, independent of the HTTP server."""
import json
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from emulator.store import BytesContent

EMPTY = BytesContent(b"")


class TooLarge(Exception):
    """The body goes past the request's limit."""


class Request:
    """One request: method, decoded path, query, headers and a body reader."""

    def __init__(self, method, target, headers, reader=None, origin=""):
        self.method = method
        self.target = target
        parts = urlsplit(target)
        self.path = unquote(parts.path)
        self.query = parse_qs(parts.query, keep_blank_values=True)
        self.headers = headers
        self.origin = origin            # scheme://host:port as the client said
        self.fault = {}                 # the rule that spoils it
        self.limit = 0                  # bytes of the body, if it has one
        self._reader = reader
        self.length = headers.get("Content-Length")
        self.has_body = self.length not in (None, "0") or \
            "Transfer-Encoding" in headers

    def arg(self, name, default=None):
        return self.query.get(name, [default])[0]

    def near(self, origin):
        """The same port as origin's, at the address that this was sent to."""
        scheme, _, where = origin.partition("://")
        host = self.headers.get("Host", where).rpartition(":")[0]
        return f"{scheme}://{host}:{where.rpartition(':')[2]}"

    def body(self):
        """Yields the pieces of the request body, once."""
        reader, self._reader = self._reader, None
        got = 0
        for piece in reader() if reader is not None else ():
            got += len(piece)
            if self.limit and got > self.limit:
                raise TooLarge
            yield piece

    def body_bytes(self, limit=16 << 20):
        data = bytearray()
        for piece in self.body():
            data += piece
            if len(data) > limit:
                raise ValueError("request body too large")
        return bytes(data)


@dataclass
class Reply:
    """An answer: headers without Content-Length, and a slice of a content."""
    status: int = 200
    headers: list = field(default_factory=list)
    content: object = EMPTY
    off: int = 0
    length: int = None                  # None: to the end

    def __post_init__(self):
        if self.length is None:
            self.length = self.content.size - self.off

    def header(self, name, default=None):
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return default

    def set(self, name, value):
        """Replaces a header; None removes it."""
        self.headers = [(k, v) for k, v in self.headers
                        if k.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, str(value)))

    def set_body(self, data):
        self.content = BytesContent(data)
        self.off, self.length = 0, len(data)


def text(status, body, kind="application/json", headers=()):
    data = body.encode() if isinstance(body, str) else body
    return Reply(status, [("Content-Type", kind), *headers], BytesContent(data))


def as_json(status, value, headers=()):
    return text(status, json.dumps(value, separators=(",", ":")) + "\n",
                "application/json; charset=utf-8", headers)


def error(status, code, message, detail=None, headers=()):
    item = {"code": code, "message": message}
    if detail is not None:
        item["detail"] = detail
    return as_json(status, {"errors": [item]}, headers)
