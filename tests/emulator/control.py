# SPDX-License-Identifier: Apache-2.0
"""The control port: POST /_emu/CALL with a JSON object of arguments.

Kept off the registry's ports, so that nothing a client does can meet it.
Large contents come as the body of POST /_emu/blob?repo=R instead.
"""
import base64
import json

from emulator.reply import as_json
from emulator.store import BytesContent, FileContent, PatternContent


class Control:
    """Each public method without an underscore is a call."""

    def __init__(self, emu):
        self._emu = emu

    def _answer(self, request):
        call = request.path.removeprefix("/_emu/")
        method = None if call.startswith("_") else getattr(self, call, None)
        if method is None:
            return as_json(404, {"error": "no such call"})
        try:
            if call == "blob":
                return as_json(200, self.blob(request.arg("repo"),
                                              request.body_bytes(1 << 30)))
            arguments = json.loads(request.body_bytes(64 << 20) or b"{}")
            return as_json(200, method(**arguments))
        except (KeyError, TypeError, ValueError, OSError) as e:
            return as_json(400, {"error": repr(e)})

    # -- contents ----------------------------------------------------------------
    def blob(self, repo, data):
        return self._emu.store.add_blob(repo, BytesContent(data))

    def blob_file(self, repo, path, digest=None):
        return self._emu.store.add_blob(repo, FileContent(path), digest)

    def blob_pattern(self, repo, size, seed=0, digest=None):
        return self._emu.store.add_blob(repo, PatternContent(size, seed), digest)

    def link_blob(self, repo, digest):
        """Makes a content known elsewhere visible in a repository too."""
        self._emu.store.repo(repo).blobs.add(digest)

    def manifest(self, repo, body, media_type, tag=None, digest=None):
        return self._emu.store.add_manifest(repo, body.encode(), media_type, tag,
                                            digest)

    def load(self, repo, blobs=(), manifests=()):
        """Many at once.  blobs: in base64; manifests: [body, media type, tag]."""
        for text in blobs:
            self.blob(repo, base64.b64decode(text))
        for body, kind, tag in manifests:
            self.manifest(repo, body, kind, tag)

    def held(self, repo):
        """What a repository names."""
        entry = self._emu.store.repo(repo)
        return {"tags": dict(entry.tags), "manifests": list(entry.manifests),
                "blobs": list(entry.blobs)}

    def tag(self, repo, tag, digest):
        self._emu.store.set_tag(repo, tag, digest)

    def many_tags(self, repo, digest, count, pattern="t{:06d}"):
        for i in range(count):
            self._emu.store.set_tag(repo, pattern.format(i), digest)

    def many_repos(self, count, pattern="many/r{:05d}"):
        for i in range(count):
            self._emu.store.repo(pattern.format(i))

    def raw_names(self, repos=(), repo=None, tags=(), digest=None):
        """Names as they are, valid or not."""
        for name in repos:
            self._emu.store.repo(name)
        for tag in tags:
            self._emu.store.set_tag(repo, tag, digest)

    def delete(self, repo, ref):
        return self._emu.store.delete_manifest(repo, ref)

    def delete_blob(self, repo, digest):
        return self._emu.store.delete_blob(repo, digest)

    def commits(self):
        return self._emu.store.commits

    # -- behaviour ---------------------------------------------------------------
    def fault(self, spec):
        return self._emu.faults.add(spec)

    def clear_faults(self, number=None):
        """How often they had hit."""
        return self._emu.faults.clear(number)

    def rules(self, number=None):
        return self._emu.faults.report(number)

    def set(self, values):
        self._emu.profile.update(values)

    def expire(self, what):
        self._emu.expire(what)

    def listen(self, on):
        """Closes the registry's port, or opens it again."""
        self._emu.listen(on)

    # -- observation -------------------------------------------------------------
    def log(self, since=0):
        return self._emu.log.since(since)

    def clear_log(self):
        self._emu.log.clear()

    def state(self):
        store = self._emu.store
        return {"ports": self._emu.ports(),
                "connections": self._emu.log.connections,
                "sessions": len(store.sessions),
                "repos": len(store.repos)}
