# SPDX-License-Identifier: Apache-2.0
"""Upload sessions: POST, PATCH, PUT, state, cancel, mount."""
import base64
import json
import re

from emulator.reply import Reply, error

CHUNK = re.compile(r"^(\d+)-(\d+)$")
TOO_LARGE = ("the request body is too large and exceeds the maximum permissible "
             "limit of {:.2f}MiB")


class Uploads:
    def __init__(self, store, profile):
        self.store = store
        self.profile = profile

    def start(self, request, name):
        if request.method != "POST" or self.profile.read_only:
            return error(405, "UNSUPPORTED", "The operation is unsupported.")
        mounted = self._mount(request, name)
        if mounted:
            return mounted
        digest = request.arg("digest")
        if digest and self._unknown_algorithm(digest):
            return _bad_digest()
        session = self.store.open_session(name, self.profile.keep_bytes)
        if digest and self.profile.single_post:
            self._receive(request, self.store.session(session))
            return self._commit(request, session, name, digest)
        reply = self._accepted(request, session)
        if self.profile.chunk_min and self.profile.chunk_min_told:
            reply.set("OCI-Chunk-Min-Length", self.profile.chunk_min)
        return reply

    def _mount(self, request, name):
        """The answer if this is a mount that ends here."""
        digest, source = request.arg("mount"), request.arg("from")
        status = self.profile.mount
        if not digest or not (source or self.profile.mount_any) or status == 202:
            return None
        if status != 201:
            code = {401: "UNAUTHORIZED", 404: "NAME_UNKNOWN"}.get(status, "UNKNOWN")
            return error(status, code, "mount refused")
        if self.store.mount(name, digest, source or None):
            return self._created(request, name, digest)
        return None

    def go_on(self, request, session, name=None):
        state = self.store.session(session, name)
        if state is not None and request.fault.get("lose_session"):
            self.store.drop_session(session)
            state = None
        if _serial(request.arg("_state", "")) < 0 and \
                self.profile.location_query == "state" and \
                self.profile.stale_state == 404:
            return error(404, "BLOB_UPLOAD_INVALID", "blob upload invalid")
        if state is None:
            return error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        with state.lock:
            stale = self._check_state(request, session, state)
            if stale:
                return stale
            if request.method == "PATCH":
                return self._patch(request, session, state)
            if request.method == "PUT":
                return self._put(request, session, state)
            if request.method == "DELETE":
                self.store.drop_session(session)
                return Reply(204)
            return self._accepted(request, session, 204)

    def _check_state(self, request, session, state):
        """A state that is not the latest: 2.8 drops the session whatever the
        method, 3.x keeps it and lets GET recover."""
        if self.profile.location_query != "state" or \
                _serial(request.arg("_state", "")) == state.serial:
            return None
        if self.profile.stale_state == 404:
            self.store.drop_session(session)
            return error(404, "BLOB_UPLOAD_INVALID", "blob upload invalid")
        if request.method in ("GET", "HEAD", "DELETE"):
            return None
        return self._wrong_range(request, session)

    def _wrong_range(self, request, session):
        status = self.profile.wrong_chunk
        code = "RANGE_INVALID" if status == 416 else "BLOB_UPLOAD_INVALID"
        refusal = error(status, code, "invalid content range")
        if self.profile.told_416:
            refusal.headers += self._accepted(request, session).headers
        return refusal

    # -- PATCH -----------------------------------------------------------------
    def _patch(self, request, session, state):
        kind = request.headers.get("Content-Type") or "application/octet-stream"
        if kind != "application/octet-stream":
            return error(500, "UNKNOWN", "unknown error")
        chunk = request.headers.get("Content-Range")
        if chunk:
            refusal = self._check_chunk(request, session, state, chunk)
        else:
            refusal = self._check_stream(state)
        if refusal:
            return refusal
        before = state.spool.size
        self._receive(request, state)
        state.patches += 1
        state.short_chunk = bool(chunk) and \
            state.spool.size - before < self.profile.chunk_min
        return self._accepted(request, session)

    def _check_stream(self, state):
        if state.patches and not self.profile.second_stream:
            return error(400, "BLOB_UPLOAD_INVALID",
                         "Stream uploads after first write are not allowed")
        return None

    def _check_chunk(self, request, session, state, chunk):
        profile, m = self.profile, CHUNK.match(chunk)
        if not profile.chunks:
            return error(400, "UNSUPPORTED", "chunked uploads are not supported")
        if profile.check_chunk and (not m or int(m[1]) != state.spool.size):
            return self._wrong_range(request, session)
        if not m:
            return None
        size = int(m[2]) - int(m[1]) + 1
        length = request.headers.get("Content-Length")
        if profile.check_chunk and length and int(length) != size:
            return error(400, "SIZE_INVALID",
                         "provided length did not match content length")
        if profile.chunk_max and size > profile.chunk_max:
            return error(416, "REQUESTED_RANGE_NOT_SATISFIABLE",
                         TOO_LARGE.format(profile.chunk_max / (1 << 20)))
        if state.short_chunk:
            return error(400, "SIZE_INVALID", "a chunk that is not the last is "
                         f"shorter than {profile.chunk_min} bytes")
        return None

    def _receive(self, request, state):
        """Takes a body in.  What a cut leaves of it is kept or not, as with
        any registry; the state the client knows is stale in both cases."""
        before, left = state.spool.size, request.fault.get("take", 1 << 62)
        try:
            for piece in request.body():
                state.serial += 1
                state.spool.append(piece[:left])
                left -= min(left, len(piece))
        except Exception:
            if self.profile.partial_patch == "lost":
                state.spool.truncate(before)
            raise

    # -- PUT -------------------------------------------------------------------
    def _put(self, request, session, state):
        digest = request.arg("digest")
        if not digest:
            return error(400, "DIGEST_INVALID", "digest missing", "digest missing")
        before = state.spool.size
        chunk = request.headers.get("Content-Range")
        if chunk and self.profile.check_chunk and request.has_body and \
                not chunk.startswith(f"{before}-"):
            return self._wrong_range(request, session)
        self._receive(request, state)
        with_body = state.spool.size > before
        wanted = self.profile.put_body if with_body else self.profile.empty_put
        if wanted != 201 and (with_body or before):
            if with_body:
                state.spool.truncate(before)
            return error(wanted, "UNKNOWN" if wanted >= 500 else "SIZE_INVALID",
                         "the last bytes are expected elsewhere")
        return self._commit(request, session, state.repo, digest)

    def _unknown_algorithm(self, digest):
        algorithm = digest.partition(":")[0]
        return algorithm != "sha256" and not (algorithm == "sha512"
                                              and self.profile.sha512)

    def _commit(self, request, session, name, digest):
        spool = self.store.session(session).spool
        self.store.drop_session(session)
        if self._unknown_algorithm(digest) or \
                request.fault.get("digest_invalid") or \
                spool.digest(digest.partition(":")[0]) != digest:
            return _bad_digest()
        quota, used = self.profile.quota, 0
        if quota >= 0:
            used = self.store.used()
        if quota >= 0 and used + spool.size > quota:
            return error(403, "DENIED", self.profile.quota_text.format(
                size=spool.size, used=used, quota=quota))
        if not request.fault.get("not_stored"):
            self.store.add_blob(name, spool.content(), digest)
        return self._created(request, name, digest)

    # -- answers ---------------------------------------------------------------
    def _accepted(self, request, session, status=202):
        state = self.store.session(session)
        headers = [("Location", self._place(request, self._path(session, state))),
                   (self.profile.upload_header, session)]
        span = self._range(request, state.spool.size)
        if span:
            headers.append(("Range", span))
        return Reply(status, headers)

    def _range(self, request, size):
        style = self.profile.range_style
        plain = f"0-{max(0, size - 1)}"
        if style == "quay":
            style = "plain" if request.method == "PATCH" else "bytes"
        return {"plain": plain, "bytes": f"bytes=0-{size - 1}", "none": None}[style]

    def _path(self, session, state):
        name = state.repo
        path = {
            "uploads": f"/v2/{name}/blobs/uploads/{session}",
            "upload": f"/v2/{name}/blobs/upload/{session}",
            "outside": "/artifacts-uploads/namespaces/p/repositories/r/uploads/"
                       f"{'A-_a' * 300}.{session}",
        }[self.profile.upload_path]
        if self.profile.location_query == "empty":
            return path + "?&"
        if self.profile.location_query == "none":
            return path
        token = base64.urlsafe_b64encode(json.dumps(
            {"Name": name, "UUID": session, "Serial": state.serial}).encode())
        return f"{path}?_state={token.decode()}"

    def _created(self, request, name, digest):
        place = self._place(request, f"/v2/{name}/blobs/{digest}")
        return Reply(201, [("Location", place), ("Docker-Content-Digest", digest)])

    def _place(self, request, path):
        origin = {
            "absolute": request.origin,
            "relative": "",
            "http": f"http://{request.origin.split('//')[-1]}",
            "elsewhere": "http://elsewhere.invalid",
        }[self.profile.location]
        return origin + path


def _bad_digest():
    return error(400, "DIGEST_INVALID",
                 "provided digest did not match uploaded content")


def _serial(text):
    try:
        return json.loads(base64.urlsafe_b64decode(text))["Serial"]
    except (ValueError, KeyError):
        return -1
