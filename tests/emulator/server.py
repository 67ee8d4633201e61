# SPDX-License-Identifier: Apache-2.0
"""Puts the parts together: one Emulator is a registry on four ports."""
import argparse
import json
import os
import re
import signal
import sys
import threading

import emulator.sites  # noqa: F401  (rows of PROFILES)
from emulator.auth import Auth
from emulator.control import Control
from emulator.engine import Engine
from emulator.faults import Faults
from emulator.log import Log
from emulator.profiles import PROFILES, make_profile
from emulator.storage import Storage
from emulator.store import Store
from emulator.vendors import Vendors
from emulator.wire import LOOPBACK, Server, tls_context


class Emulator:
    """Registry, token, storage and control ports over one store."""

    def __init__(self, profile, host="127.0.0.1", port=0, tls=None):
        self.profile = profile
        self.log = Log()
        self.faults = Faults()
        self.store = Store()
        self.auth = Auth(profile)
        self.auth.exists = lambda repo: repo in self.store.repos
        self.storage = Storage(self.store, profile)
        self.engine = Engine(self.store, self.auth, self.storage, profile)
        self.vendors = Vendors(self.store, self.auth, profile)
        self.tls = tls
        self.host = host
        self.servers = {}
        self._open("registry", self._front, port, tls)
        self._open("token", self.vendors.answer, 0, tls)
        self._open("storage", self.storage.answer, 0, tls)
        self._open("control", Control(self)._answer, 0, None)
        self._know_origins()

    def _know_origins(self):
        scheme, ports = ("https" if self.tls else "http"), self.ports()
        name = f"[{self.host}]" if ":" in self.host else self.host
        if name == LOOPBACK:
            name = "127.0.0.1"
        self.auth.token_origin = f"{scheme}://{name}:{ports['token']}"
        self.storage.origin = self.profile.storage_origin or (
            f"{scheme}://{self.profile.redirect_host}:{ports['storage']}")

    def _open(self, where, app, port, tls):
        emu = self if where != "control" else _Quiet
        server = Server(where, (self.host, port), app, emu, tls)
        self.servers[where] = server
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True,
                         name=where).start()

    def _front(self, request):
        """Some vendors have everything at the registry's own address."""
        if re.fullmatch(self.profile.token_here or "-", request.path):
            return self.vendors.answer(request)
        if self.profile.storage_here and \
                request.path.startswith(self.profile.storage_path):
            return self.storage.answer(request)
        return self.engine.answer(request)

    def ports(self):
        return {name: s.server_port for name, s in self.servers.items()}

    def expire(self, what):
        if "tokens" in what:
            self.auth.expire_tokens()
        if "urls" in what:
            self.storage.expire_urls()

    def revoke(self, authorization):
        self.auth.revoke(authorization.partition(" ")[2])

    def listen(self, on):
        server = self.servers["registry"]
        if on and server.stopping:
            self._open("registry", self._front, server.server_port, self.tls)
        elif not on and not server.stopping:
            server.close_all()

    def stop(self):
        self.faults.clear()
        for server in self.servers.values():
            if not server.stopping:
                server.close_all()


class _Quiet:
    """The control port keeps no log and knows no faults."""
    log = Log()
    faults = Faults()

    @staticmethod
    def expire(what):
        pass

    revoke = expire


def _options():
    parser = argparse.ArgumentParser(description="container registry for tests")
    parser.add_argument("--profile", default="distribution", choices=PROFILES)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=JSON",
                        help="change a switch of the profile")
    parser.add_argument("--host", default="127.0.0.1",
                        help=f"an address, or {LOOPBACK}: every one of the loopback")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cert", help="PEM file; with it all ports speak TLS")
    parser.add_argument("--key")
    parser.add_argument("--client-ca", help="ask for client certificates")
    return parser.parse_args()


def main():
    options = _options()
    tls = None
    if options.cert:
        tls = tls_context(options.cert, options.key, options.client_ca)
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    emu = Emulator(make_profile(options.profile, options.set), options.host,
                   options.port, tls)
    print(json.dumps({"pid": os.getpid(), **emu.ports()}), flush=True)
    parent = os.getppid()
    while not done.wait(1.0):
        if os.getppid() != parent:      # whoever started us is gone
            break
    emu.stop()
    sys.stdout.flush()
    return 0
