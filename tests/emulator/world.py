# SPDX-License-Identifier: Apache-2.0
"""The internet as a test wants it: registries under their real names.

    world.add("docker.io")              # a row of sites.py; an EmulatorProcess
    world.add("ghcr.io", "immutable=403")        # with other switches
    world.route("registry.example.com:5000", port)   # any other server, by port
    m = mount(**world.options)          # a mount of all hosts: m / "ghcr.io/…"
    run("skopeo", …, env={**skopeo_env(folder), **world.env})

What is mounted goes through a proxy (https_proxy, http_proxy) that knows a table
"host:port" -> loopback port.  Whatever is not in it is answered with 403, and
is in world.refused: the fixture `world` fails a test that leaves something there
(take what was meant out: world.refused.clear()).  world.contacts counts
connections by "host:port".  No name is ever resolved.

TLS ends at the servers.  Each has a certificate for just its names, by a CA made
on the spot: world.ca; world.certificate("host", …) makes more.  The mount
trusts it through cert_dir, where each name has a directory.
"""
import collections
import http
import os
import re
import socket
import subprocess
import threading
from pathlib import Path

from emulator.client import EmulatorProcess
from emulator.sites import SITES

HEAD_MAX = 64 * 1024
PIECE = 256 * 1024
LINE = re.compile(rb"([A-Z]+) (\S+) (HTTP/1\.[01])\r\n")
TARGET = re.compile(r"http://([^/?#]+)([/?].*)?")


class Proxy:
    """CONNECT, and http:// requests one to a connection."""

    def __init__(self):
        self.table = {}                 # "host:port" -> port on loopback
        self.contacts = collections.Counter()
        self.refused = []               # "host:port", in order
        self.lock = threading.Lock()    # protects contacts and refused
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True, name="proxy").start()

    def stop(self):
        # close() alone would leave accept() waiting.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client:
            try:
                client.settimeout(60)
                head, rest = _read_head(client)
                m = LINE.match(head)
                if m:
                    self._answer(client, m, head, rest)
            except OSError:
                pass                    # whoever asked is gone, or who was asked

    def _answer(self, client, line, head, rest):
        method, target = line[1].decode(), line[2].decode()
        absolute = TARGET.fullmatch(target)
        if method != "CONNECT" and not absolute:
            client.sendall(_refusal(400, "no proxy request"))
            return
        place = target if method == "CONNECT" else absolute[1]
        if not re.search(r":\d+$", place):
            place += ":80"
        place = place.lower()
        with self.lock:
            self.contacts[place] += 1
            port = self.table.get(place)
            if port is None:
                self.refused.append(place)
        if port is None:
            client.sendall(_refusal(403, f"{place} is not part of this world"))
            return
        with socket.create_connection(("127.0.0.1", port), 10) as server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                server.sendall(_as_origin(line, head, absolute[2] or "/"))
            server.sendall(rest)
            _splice(client, server, None if method == "CONNECT" else
                    b"Connection: close\r\n")


def _read_head(sock):
    """(head with its empty line, what came behind it)"""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(PIECE)
        if not piece or len(data) > HEAD_MAX:
            raise OSError("no head")
        data += piece
    head, mark, rest = data.partition(b"\r\n\r\n")
    return head + mark, rest


def _as_origin(line, head, path):
    """The request as its server expects it, and as the only one."""
    lines = [row for row in head[line.end():-4].split(b"\r\n")
             if not row.lower().startswith((b"proxy-", b"connection:"))]
    first = b" ".join((line[1], path.encode(), line[3]))
    return b"\r\n".join([first, *lines, b"Connection: close", b"", b""])


def _refusal(status, text):
    body = text.encode() + b"\n"
    reason = http.HTTPStatus(status).phrase
    return (f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def _splice(client, server, told):
    """Both directions to their ends; `told` is added to the answer's head."""
    for sock in (client, server):
        sock.settimeout(None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    up = threading.Thread(target=_pump, args=(client, server), daemon=True)
    up.start()
    try:
        if told:
            head, rest = _read_head(server)
            client.sendall(head[:-2] + told + b"\r\n" + rest)
        _pump(server, client)
    finally:
        if told:
            client.shutdown(socket.SHUT_RDWR)
        up.join()


def _pump(source, sink):
    try:
        while data := source.recv(PIECE):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:                     # a reset of one is the end of both
        for sock in (source, sink):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Authority:
    """A CA made on the spot, and its certificates."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.ca, self.key = self._new("ca", "/CN=CA of this test", "req", "-x509",
                                      "-days", "2")
        self.made = 0

    def _new(self, stem, subject, *command):
        cert, key = self.folder / f"{stem}.crt", self.folder / f"{stem}.key"
        _openssl(*command, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                 "-nodes", "-keyout", key, "-out", cert, "-subj", subject)
        return cert, key

    def certificate(self, *names):
        """(cert, key) for these names and no others."""
        self.made += 1
        request, key = self._new(f"leaf{self.made}", "/CN=test", "req")
        cert = request.with_suffix(".pem")
        more = request.with_suffix(".ext")
        more.write_text("subjectAltName=" + ",".join(f"DNS:{n}" for n in names))
        _openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key,
                 "-set_serial", self.made, "-days", "2", "-extfile", more,
                 "-out", cert)
        return cert, key


def _openssl(*words):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True,
                          text=True, timeout=30, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {words[0]}: {done.stderr}")


class World:
    """folder: an empty place for certificates."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.authority = Authority(self.folder / "ca")
        self.ca = self.authority.ca
        self.cert_dir = self.folder / "certs.d"
        self.cert_dir.mkdir()
        self.proxy = Proxy()
        self.sites = {}                 # name -> EmulatorProcess

    @property
    def contacts(self):
        return self.proxy.contacts

    @property
    def refused(self):
        return self.proxy.refused

    @property
    def env(self):
        """For whoever is to be in this world: the daemon, skopeo, curl."""
        url = f"http://{self.proxy.address}"
        return {"https_proxy": url, "http_proxy": url, "HTTPS_PROXY": url,
                "SSL_CERT_FILE": str(self.ca)}

    @property
    def options(self):
        """mount(source, **world.options)"""
        return {"env": self.env, "cert_dir": self.cert_dir}

    def certificate(self, *names):
        return self.authority.certificate(*names)

    def trust(self, host):
        """Puts the CA where the mount looks for this host's ("h" or "h:5000")."""
        folder = self.cert_dir / host
        folder.mkdir(exist_ok=True)
        if not (folder / "ca.crt").exists():
            os.link(self.ca, folder / "ca.crt")      # one file is one bundle

    def route(self, place, port):
        """place: "host" (443), or "host:port"."""
        host, _, number = place.partition(":")
        self.trust(place if number not in ("", "443", "80") else host)
        self.proxy.table[f"{host}:{number or 443}".lower()] = port

    def add(self, name, *settings, profile=None, hosts=None):
        """Starts a site of SITES, or one of another profile and hosts:
        {"registry.example.com": "registry"}: its ports by name."""
        site = SITES.get(name)
        hosts = hosts or site.hosts
        emu = EmulatorProcess(profile or name, *settings,
                              tls=self.certificate(*(h.partition(":")[0]
                                                     for h in hosts)))
        emu.name = name
        self.sites[name] = emu
        self.trust(name)
        for host, port in hosts.items():
            self.route(host, emu.ports[port])
        for other in site.beside if site else ():
            if other not in self.sites:
                self.add(other)
        return emu

    def check(self):
        """Nothing was asked for that is not here; the next test begins anew."""
        refused = sorted(set(self.refused))
        self.refused.clear()
        assert refused == [], f"asked for: {refused}"

    def stop(self):
        self.proxy.stop()
        for emu in self.sites.values():
            emu.ask_to_stop()
        for emu in self.sites.values():
            emu.stop()
