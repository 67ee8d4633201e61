# SPDX-License-Identifier: Apache-2.0
"""Certificates that are no good, each for its own reason, and a server of them."""
import datetime
import ssl
import subprocess

from hostile import Scripted

BAD = ("expired", "not-yet", "other-name", "self-signed", "other-ca", "weak-key",
       "weak-sum", "leaf-as-ca", "for-clients", "wild.card", "old-tls")
DAY = datetime.timedelta(days=1)


def openssl(*words):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True,
                          timeout=30, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {words[0]}: {done.stderr}")


class Certificates:
    """A CA, and what it, or somebody else, signed: pair("expired")."""

    def __init__(self, folder):
        self.folder = folder
        self.ca = self.new_ca("ca")
        self.new_ca("stranger")

    def file(self, stem, suffix):
        return self.folder / f"{stem}.{suffix}"

    def key(self, stem, bits):
        kind = ["-newkey", f"rsa:{bits}"] if bits else [
            "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        return [*kind, "-nodes", "-keyout", self.file(stem, "key")]

    def new_ca(self, stem):
        openssl("req", "-x509", *self.key(stem, 0), "-out", self.file(stem, "crt"),
                "-days", "2", "-subj", f"/CN={stem}")
        for name, text in (("db", ""), ("srl", "01"), ("cnf", f"""
[ca]
default_ca = d
[d]
database = {self.file(stem, 'db')}
serial = {self.file(stem, 'srl')}
new_certs_dir = {self.folder}
certificate = {self.file(stem, 'crt')}
private_key = {self.file(stem, 'key')}
default_md = sha256
policy = p
unique_subject = no
[p]
commonName = supplied
""")):
            self.file(stem, name).write_text(text)
        return self.file(stem, "crt")

    def pair(self, name):
        """(certificate with its chain, key) of NAME.test."""
        made = self.file(name, "pem")
        if not made.exists():
            self._make(name, made)
        return made, self.file(name, "key")

    def _make(self, name, made):
        host = {"other-name": "example.org", "wild.card": "*.test"}.get(
            name, f"{name}.test")
        if name == "self-signed":
            openssl("req", "-x509", *self.key(name, 0), "-out", made, "-days", "2",
                    "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}")
            return
        request = self.file(name, "csr")
        openssl("req", *self.key(name, 512 if name == "weak-key" else 0), "-out", request,
                "-subj", f"/CN={host}")
        lines = [f"subjectAltName=DNS:{host}"]
        if name == "for-clients":
            lines.append("extendedKeyUsage=clientAuth")
        self.file(name, "ext").write_text("\n".join(lines) + "\n")
        ca = {"other-ca": "stranger"}.get(name, "ca")
        chain = b""
        if name == "leaf-as-ca":            # signed by one who may not sign
            ca, chain = "good-leaf", self._leaf_that_signs()
        self._sign(ca, name, request, made)
        made.write_bytes(made.read_bytes() + chain)

    def _leaf_that_signs(self):
        cert, key = self.pair("good")
        self.new_ca("good-leaf")
        self.file("good-leaf", "crt").write_bytes(cert.read_bytes())
        self.file("good-leaf", "key").write_bytes(key.read_bytes())
        return cert.read_bytes()

    def _sign(self, ca, name, request, made):
        now = datetime.datetime.now(datetime.timezone.utc)
        begin, end = {"expired": (now - 3 * DAY, now - DAY),
                      "not-yet": (now + DAY, now + 2 * DAY)}.get(
                          name, (now - DAY, now + DAY))
        openssl("ca", "-batch", "-notext", "-config", self.file(ca, "cnf"), "-in", request,
                "-out", made, "-extfile", self.file(name, "ext"),
                "-md", "sha1" if name == "weak-sum" else "sha256",
                "-startdate", begin.strftime("%Y%m%d%H%M%SZ"),
                "-enddate", end.strftime("%Y%m%d%H%M%SZ"))


def context(made, name):
    one = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    one.set_ciphers("ALL:@SECLEVEL=0")
    if name == "old-tls":
        one.maximum_version = ssl.TLSVersion.TLSv1_1
    one.load_cert_chain(*made.pair(name))
    return one


def serve(made, answer):
    """{name: server}: one port for all, where the name that the client says
    chooses the certificate, and one that knows old TLS only."""
    contexts = {f"{name}.test": context(made, name) for name in (*BAD, "good")}

    def choose(sock, name, _):
        sock.context = contexts.get(name, contexts["good.test"])

    first = context(made, "good")
    first.sni_callback = choose
    most, old = Scripted(answer, tls=first), Scripted(answer, tls=contexts["old-tls.test"])
    return {name: old if name == "old-tls" else most for name in (*BAD, "good")}
