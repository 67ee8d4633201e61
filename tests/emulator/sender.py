# SPDX-License-Identifier: Apache-2.0
"""Puts a reply on the wire, spoiling it on the way if a rule says so."""
import os
import select
import socket
import struct
import time
from email.utils import formatdate
from http import HTTPStatus


class Gone(Exception):
    """The connection is over: by the rule, or because the client left."""


def reason(status):
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class Sender:
    """Sends on one connection.  entry is the log entry, rule may be None."""

    def __init__(self, handler, entry, rule):
        self.handler = handler
        self.sock = handler.connection
        self.entry = entry
        self.rule = rule
        self.spec = rule.spec if rule else {}

    # -- whole answers -----------------------------------------------------------
    def send(self, reply, method):
        """True if the connection can be used again."""
        self.entry["status"] = reply.status
        head = self._head(reply, method)
        if method == "HEAD" or reply.status in (204, 304):
            self._write_head(head)
        else:
            self._send_body(head, reply)
        told = reply.header("Content-Length", reply.length)
        return "length" not in self.spec and int(told) == reply.length

    def _head(self, reply, method):
        lines = [f"HTTP/1.1 {reply.status} {reason(reply.status)}",
                 f"Date: {formatdate(usegmt=True)}"]
        lines += [f"{k}: {v}" for k, v in reply.headers]
        length = self.spec.get("length", str(reply.length))
        given = any(k.lower() == "content-length" for k, _ in reply.headers)
        if length is None:
            lines.append("Connection: close")
        elif reply.status not in (204, 304) and not given:
            lines += [f"Content-Length: {n}" for n in str(length).split("|")]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _write_head(self, head):
        slow = self.spec.get("trickle_head")
        if slow:
            self._trickle(memoryview(head), slow)
        else:
            self.sock.sendall(head)

    def _send_body(self, head, reply):
        pieces = reply.content.slices(reply.off, reply.length)
        if "trickle_head" in self.spec:
            self._write_head(head)
            head = b""
        first = next(pieces, b"")
        small = len(first) <= 64 * 1024 and not self._body_faults()
        if head:
            self.sock.sendall(head + bytes(first) if small else head)
        if small:
            self.entry["sent"] += len(first)
        else:
            self._write(memoryview(first))
        for piece in pieces:
            self._write(piece)
        self._stops(after=0)

    def _body_faults(self):
        return any(k in self.spec for k in ("cut", "stall", "trickle"))

    # -- pieces --------------------------------------------------------------
    def _write(self, view):
        while view:
            n = self._stops(len(view))
            self._write_now(view[:n])
            self.entry["sent"] += n
            view = view[n:]

    def _write_now(self, view):
        slow = self.spec.get("trickle")
        if slow:
            self._trickle(view, slow)
        else:
            self.sock.sendall(view)

    def _stops(self, after):
        """How much may be sent before the next cut or stall; acts on those
        that are due now."""
        for kind in ("stall", "cut"):
            stop = self.spec.get(kind)
            if stop is None:
                continue
            left = stop["at"] - self.entry["sent"]
            if left <= 0 and (kind == "cut" or not self.entry.get("stalled")):
                self._stop(kind, stop)
            elif left > 0:
                after = min(after, left)
        return after

    def _stop(self, kind, stop):
        if kind == "cut":
            self.end(stop.get("how", "fin"))
        self.entry["stalled"] = True
        self.nap(stop.get("seconds", 3600))

    def _trickle(self, view, slow):
        for at in range(0, len(view), slow["bytes"]):
            self.sock.sendall(view[at:at + slow["bytes"]])
            self.nap(slow["every"])

    # -- time and ends ---------------------------------------------------------
    def nap(self, seconds):
        """Sleeps, but not longer than client, rule and server live."""
        until = time.monotonic() + min(seconds, 3600)
        while (left := until - time.monotonic()) > 0:
            if not self.rule.active or self.handler.server.stopping:
                return
            if self._client_left(min(left, 0.05)):
                self.entry["problem"] = "client left"
                raise Gone
        return

    def _client_left(self, seconds):
        ready = select.select([self.sock], [], [], seconds)[0]
        if not ready:
            return False
        if hasattr(self.sock, "cipher"):         # TLS: cannot peek
            time.sleep(seconds)
            return False
        try:
            left = self.sock.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return True
        if not left:
            time.sleep(seconds)
        return left

    def end(self, how="fin"):
        """Ends the connection: in order, or by a reset."""
        if how == "rst":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack("ii", 1, 0))
            os.close(self.sock.detach())
        else:
            self.sock.shutdown(socket.SHUT_RDWR)
        raise Gone
