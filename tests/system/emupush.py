# SPDX-License-Identifier: Apache-2.0
"""What the emulator holds after a push: every byte by GET, as a client would."""
import base64
import json
import os
import time
import urllib.request

from images import MANIFEST, INDEX
from pushing import errors, pending, spool_bytes
from tools import sha256, wait_until

DOCKER = "application/vnd.docker.distribution."
EVERY = ", ".join((MANIFEST, INDEX, DOCKER + "manifest.v2+json",
                   DOCKER + "manifest.list.v2+json"))
REPO = "p/r/app"
USERS = {"jo": "secret"}


def get(emu, path):
    """The body of a GET; redirects are followed."""
    request = urllib.request.Request(f"http://{emu.address}{path}",
                                     headers={"Accept": EVERY})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


def tags(emu, repo):
    return json.loads(get(emu, f"/v2/{repo}/tags/list"))["tags"] or []


def has_blob(emu, repo, digest):
    """By what was accepted, whatever the emulator says now."""
    return any(kind in ("blob", "mount") and (r, d) == (repo, digest)
               for kind, r, d in emu.call("commits"))


def check_held(emu, repo, ref, image):
    """The emulator has exactly this image under this name, all of it."""
    assert sha256(get(emu, f"/v2/{repo}/manifests/{ref}")) == image.digest
    for digest in image.blobs():
        kind = "manifests" if digest in image.manifests() else "blobs"
        assert sha256(get(emu, f"/v2/{repo}/{kind}/{digest}")) == digest


def sent(entries):
    """Those requests that move bytes of blobs to the registry."""
    return [e for e in entries if "/manifests/" not in e["target"]
            and e["method"] in ("PATCH", "PUT") and e["received"]]


def finished(m):
    """Nothing is left behind, and nobody complained."""
    assert pending(m) == []
    wait_until(lambda: spool_bytes(m) == 0, 3, "the spool is empty")
    assert errors(m) == ""


def left(m, repo, tag):
    """After a copy that failed: no layer is kept; what its other files left can
    be removed, and then there is nothing.  For a tag that was never there."""
    assert spool_bytes(m) < 100_000
    if (m / repo / "_tags" / tag).exists():
        os.rmdir(m / repo / "_tags" / tag)
    assert pending(m) == []
    wait_until(lambda: spool_bytes(m) == 0, 3, "the spool is empty")


def account(folder, *emulators, user="jo", word="secret"):
    """An auth file for these registries."""
    text = base64.b64encode(f"{user}:{word}".encode()).decode()
    path = folder / "auth.json"
    path.write_text(json.dumps({"auths": {e.address: {"auth": text}
                                          for e in emulators}}))
    path.chmod(0o600)
    return path


def plain(*servers):
    return " ".join(s.address for s in servers)


def write(path, data):
    """Writes a file in pieces of a mebibyte; an error of close is not lost."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        for at in range(0, len(data), 1 << 20):
            os.write(fd, data[at:at + (1 << 20)])
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)


def stream(emu, path, data):
    """Writes a file whose last bytes come when the first are on their way: it is
    streamed, whatever is quicker."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    mark, until = emu.mark(), time.monotonic() + 2
    try:
        os.write(fd, data[:-1000])
        while not emu.log(method="PATCH", since=mark) and not any(emu.hits()) and \
                time.monotonic() < until:
            time.sleep(0.01)
        os.write(fd, data[-1000:])
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
