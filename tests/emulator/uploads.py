# SPDX-License-Identifier: Apache-2.0
"""Upload sessions: POST, PATCH, PUT, state, cancel, mount."""
import base64
import json
import re

from emulator.reply import Reply, error
from emulator.store import BytesContent, digest_of

CHUNK = re.compile(r"^(\d+)-(\d+)$")


class Uploads:
    def __init__(self, store, profile):
        self.store = store
        self.profile = profile

    def start(self, request, name):
        if request.method != "POST" or self.profile.read_only:
            return error(405, "UNSUPPORTED", "The operation is unsupported.")
        mount, source = request.arg("mount"), request.arg("from")
        if mount and source and self.store.mount(name, mount, source):
            return self._created(request, name, mount)
        session = self.store.open_session(name)
        digest = request.arg("digest")
        if digest and self.profile.single_post:
            self._receive(request, session, name)
            return self._commit(request, session, name, digest)
        return self._accepted(request, session, name)

    def go_on(self, request, name, session):
        state = self.store.session(session, name)
        if _serial(request.arg("_state", "")) < 0 and self.profile.stale_state == 404:
            return error(404, "BLOB_UPLOAD_INVALID", "blob upload invalid")
        if state is None:
            return error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        with state.lock:
            stale = self._check_state(request, session, state)
            if stale:
                return stale
            if request.method == "PATCH":
                return self._patch(request, name, session, state)
            if request.method == "PUT":
                return self._put(request, name, session)
            if request.method == "DELETE":
                self.store.drop_session(session)
                return Reply(204)
            return self._accepted(request, session, name, 204)

    def _check_state(self, request, session, state):
        """A state that is not the latest: 2.8 drops the session whatever the
        method, 3.x keeps it and lets GET recover."""
        if _serial(request.arg("_state", "")) == state.serial:
            return None
        if self.profile.stale_state == 404:
            self.store.drop_session(session)
            return error(404, "BLOB_UPLOAD_INVALID", "blob upload invalid")
        if request.method in ("GET", "HEAD", "DELETE"):
            return None
        return error(416, "RANGE_INVALID", "invalid content range")

    def _patch(self, request, name, session, state):
        kind = request.headers.get("Content-Type") or "application/octet-stream"
        if kind != "application/octet-stream":
            return error(500, "UNKNOWN", "unknown error")
        chunk = request.headers.get("Content-Range")
        if chunk and self.profile.check_chunk:
            m = CHUNK.match(chunk)
            if not m or int(m[1]) != len(state.data):
                return error(416, "RANGE_INVALID", "invalid content range")
            length = request.headers.get("Content-Length")
            if length and int(length) != int(m[2]) - int(m[1]) + 1:
                return error(400, "SIZE_INVALID",
                             "provided length did not match content length")
        self._receive(request, session, name)
        return self._accepted(request, session, name)

    def _receive(self, request, session, name):
        state = self.store.session(session, name)
        for piece in request.body():
            state.data += piece
            state.serial += 1

    def _put(self, request, name, session):
        digest = request.arg("digest")
        if not digest:
            return error(400, "DIGEST_INVALID", "digest missing", "digest missing")
        self._receive(request, session, name)
        return self._commit(request, session, name, digest)

    def _commit(self, request, session, name, digest):
        content = BytesContent(self.store.session(session, name).data)
        self.store.drop_session(session)
        algorithm = digest.partition(":")[0]
        if algorithm not in ("sha256", "sha512") or \
                digest_of(content, algorithm) != digest:
            return error(400, "DIGEST_INVALID",
                         "provided digest did not match uploaded content")
        self.store.add_blob(name, content, digest)
        return self._created(request, name, digest)

    def _accepted(self, request, session, name, status=202):
        state = self.store.session(session, name)
        token = base64.urlsafe_b64encode(json.dumps(
            {"Name": name, "UUID": session, "Serial": state.serial}).encode())
        path = f"/v2/{name}/blobs/uploads/{session}?_state={token.decode()}"
        return Reply(status, [("Location", self._place(request, path)),
                              ("Docker-Upload-Uuid", session),
                              ("Range", f"0-{max(0, len(state.data) - 1)}")])

    def _created(self, request, name, digest):
        place = self._place(request, f"/v2/{name}/blobs/{digest}")
        return Reply(201, [("Location", place), ("Docker-Content-Digest", digest)])

    def _place(self, request, path):
        return request.origin + path if self.profile.location == "absolute" else path


def _serial(text):
    try:
        return json.loads(base64.urlsafe_b64decode(text))["Serial"]
    except (ValueError, KeyError):
        return -1
