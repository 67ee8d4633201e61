# SPDX-License-Identifier: Apache-2.0
"""Files that hold credentials, as docker login and podman login leave them."""
import base64
import json


def entry(user, word):
    return {"auth": base64.b64encode(f"{user}:{word}".encode()).decode()}


def auth_file(path, auths, **more):
    """auths: {"HOST[/PATH]": (user, word) or an entry as it is}"""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"auths": {
        k: entry(*v) if isinstance(v, tuple) else v for k, v in auths.items()}, **more}))
    path.chmod(0o600)
    return path


def basic(headers):
    """(user, word) of a logged request, or None."""
    scheme, _, text = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    return tuple(base64.b64decode(text).decode().split(":", 1))
