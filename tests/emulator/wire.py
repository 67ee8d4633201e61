# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 on the standard library's threading server, with optional TLS."""
import socket
import ssl
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from emulator import faults
from emulator.reply import Request, error
from emulator.sender import Gone, Sender

PIECE = 256 * 1024
LOOPBACK = "lo"         # all of 127.0.0.0/8: each address is another registry


class Handler(BaseHTTPRequestHandler):
    """Turns the wire into Request values and Reply values into the wire."""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 300

    def serve(self):
        self.unread = self._body_length() != 0
        self.begun = False
        self.fault = {}
        request = Request(self.command, self.path, self.headers, self._read_body,
                          self._origin())
        self.entry = self.server.log.start(
            self.server.where, self.server.server_port, self.client_address[1],
            request)
        try:
            self._answer(request)
            self._drain()
        except (Gone, ConnectionError, TimeoutError, ssl.SSLError) as e:
            self.close_connection = True
            self.entry["problem"] = self.entry["problem"] or repr(e)
        finally:
            self.entry["end"] = time.time()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = serve

    def _answer(self, request):
        rule = self.server.faults.find(self.server.where, request)
        sender = self.sender = Sender(self, self.entry, rule)
        if rule is not None:
            self.fault = request.fault = rule.spec
        if rule is None:
            reply = self._work(request)
        else:
            self.entry["rule"] = rule.number
            reply = self._spoilt(request, sender, rule.spec)
        if not sender.send(reply, request.method):
            sender.end()

    def _spoilt(self, request, sender, spec):
        self._before(sender, spec)
        if faults.replaces(spec):
            reply = faults.fresh_reply(spec)
        else:
            reply = self._work(request)
        return faults.apply(spec, reply)

    def _before(self, sender, spec):
        """What a rule does before there is an answer."""
        self.server.expire(spec.get("expire", ()))
        if spec.get("revoke"):
            self.server.revoke(self.headers.get("Authorization") or "")
        if "delay" in spec:
            sender.nap(spec["delay"])
        if "drop" in spec:
            sender.end(spec["drop"])
        if "raw" in spec:
            self.connection.sendall(spec["raw"].encode("latin-1"))
            sender.end()

    def _work(self, request):
        try:
            return self.server.app(request)
        except (ValueError, KeyError, TypeError) as e:
            return error(500, "UNKNOWN", f"emulator: {e!r}")

    def _origin(self):
        scheme = "https" if self.server.tls else "http"
        return f"{scheme}://{self.headers.get('Host', 'localhost')}"

    # -- request bodies --------------------------------------------------------
    def _body_length(self):
        """Bytes of the body; None: chunked."""
        if "chunked" in (self.headers.get("Transfer-Encoding") or "").lower():
            return None
        return int(self.headers.get("Content-Length") or 0)

    def _read_body(self):
        """The pieces of the body, counted, and cut where a rule says so."""
        cut, self.begun = self.fault.get("cut_request"), True
        for piece in self._read_pieces():
            left = cut["at"] - self.entry["received"] if cut else len(piece) + 1
            self.entry["received"] += min(left, len(piece))
            self._note_form(piece)
            yield piece[:left]
            if left <= len(piece):
                self.sender.end(cut.get("how", "fin"))
        self.unread = False

    def _note_form(self, piece):
        """Forms are kept in the log: they hold secrets."""
        kind = self.headers.get("Content-Type") or ""
        if kind.startswith("application/x-www-form-urlencoded"):
            self.entry["form"] = self.entry.get("form", "") + piece.decode("latin-1")

    def _read_pieces(self):
        length = self._body_length()
        if length is None:
            yield from self._read_chunks()
            return
        while length > 0:
            piece = self.rfile.read1(min(PIECE, length))
            if not piece:
                raise ConnectionError("body cut")
            length -= len(piece)
            yield piece

    def _read_chunks(self):
        while True:
            size = int(self.rfile.readline(100).split(b";")[0], 16)
            piece = self.rfile.read(size)
            if len(piece) < size:
                raise ConnectionError("body cut")
            self.rfile.readline(100)
            if size == 0:
                return
            yield piece

    def _drain(self):
        """Reads what the engine left of a body, or gives the connection up:
        with a reset, or only after the client could read the answer."""
        small = (self._body_length() or 0) <= 1 << 20
        if self.unread and self.fault.get("refuse"):
            self.close_connection = True
        elif self.unread and small and not self.begun:
            for _ in self._read_body():
                pass
        elif self.unread:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(2)
            while self.connection.recv(PIECE):
                pass

    def log_message(self, format, *args):
        pass


class Server(ThreadingHTTPServer):
    """One port.  app: Request -> Reply; where names it in rules and log."""
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 512

    def __init__(self, where, address, app, emu, tls=None):
        self.where = where
        self.app = app
        self.log = emu.log
        self.faults = emu.faults
        self.expire = emu.expire
        self.revoke = emu.revoke
        self.tls = tls
        self.stopping = False
        self.open = set()               # sockets of live connections
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, Handler)

    def server_bind(self):
        # Not HTTPServer's: that one asks the resolver for our name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.server_address[0] == LOOPBACK:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
            self.server_address = ("", self.server_address[1])
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]

    def finish_request(self, request, client_address):
        self.log.connected()
        if self.tls is not None:
            try:
                request.settimeout(30)
                request = self.tls.wrap_socket(request, server_side=True)
            except OSError:
                return
        self.open.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            self.open.discard(request)
            if self.tls is not None:
                request.close()

    def close_all(self):
        """Stops listening and ends every connection."""
        self.stopping = True
        self.shutdown()
        self.socket.close()
        for sock in list(self.open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def handle_error(self, request, client_address):
        """Clients that leave are daily business here."""


def tls_context(cert, key, client_ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
