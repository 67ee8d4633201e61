# SPDX-License-Identifier: Apache-2.0
"""What the emulator holds after a push: every byte by GET, as a client would."""
import base64
import json
import urllib.request

from images import MANIFEST, INDEX
from pushing import errors, pending, spool_bytes
from tools import sha256

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
    assert spool_bytes(m) == 0
    assert errors(m) == ""


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
