# SPDX-License-Identifier: Apache-2.0
"""Real docker-registry processes on loopback ports."""
import http.client
import json
import os
import socket
import ssl
import subprocess

from tools import run, wait_until

CONF = """version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: {delete}}}
http:
  addr: 127.0.0.1:{port}
{more}"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def make_certificate(folder, names=("127.0.0.1", "localhost"), days=2, stem="tls",
                     start=None):
    """A self-signed certificate by openssl: (cert, key)."""
    cert, key = folder / f"{stem}.crt", folder / f"{stem}.key"
    alt = ",".join(("IP:" if n[0].isdigit() else "DNS:") + n for n in names)
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert,
        "-days", days, "-subj", f"/CN={names[0]}", "-addext", f"subjectAltName={alt}")
    return cert, key


class DockerRegistry:
    """One docker-registry.  tls: (cert, key); users: {name: password}."""

    def __init__(self, folder, tls=None, users=None, delete=False, port=None):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.tls = tls
        self.port = port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        conf = folder / "conf.yml"
        conf.write_text(CONF.format(root=folder / "data", port=self.port,
                                    delete=str(delete).lower(),
                                    more=self._more(users)))
        self.log = open(folder / "log", "ab")
        self.process = subprocess.Popen(
            ["docker-registry", "serve", str(conf)], stdout=self.log,
            stderr=self.log, cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder)})
        try:
            wait_until(self._answers, 15, "docker-registry answers")
        except BaseException:
            self.stop()
            raise

    def _more(self, users):
        text = ""
        if self.tls:
            text += f"  tls: {{certificate: {self.tls[0]}, key: {self.tls[1]}}}\n"
        if users:
            lines = [run("htpasswd", "-Bbn", "-C", "4", n, p).stdout.strip()
                     for n, p in users.items()]
            (self.folder / "htpasswd").write_text("\n".join(lines) + "\n")
            text += (f"auth: {{htpasswd: {{realm: test, "
                     f"path: {self.folder / 'htpasswd'}}}}}\n")
        return text

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError((self.folder / "log").read_text())
        try:
            return self.get("/v2/")[0] in (200, 401)
        except OSError:
            return False

    def get(self, path, method="GET", headers=()):
        """(status, headers, body), without any client's cleverness."""
        if self.tls:
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=10,
                context=ssl._create_unverified_context())
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    @property
    def root(self):
        """Where its storage is."""
        return self.folder / "data"

    def status(self, path, accept=None):
        """Of a HEAD request."""
        return self.get(path, "HEAD", {"Accept": accept} if accept else {})[0]

    def tags(self, repo):
        return json.loads(self.get(f"/v2/{repo}/tags/list")[2])["tags"]

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        self.log.close()
