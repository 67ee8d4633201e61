# SPDX-License-Identifier: Apache-2.0
"""The registry itself: /v2/ over the store, as the profile's switches say."""
import json
import re
from urllib.parse import urlencode

from emulator.ranges import blob_reply
from emulator.reply import Reply, as_json, error, text
from emulator.uploads import Uploads

NAME = r"(?P<name>[a-z0-9._/-]+)"
ROUTES = [(re.compile(pattern), handler) for pattern, handler in (
    (r"/v2/", "probe"),
    (r"/v2/_catalog", "catalog"),
    (rf"/v2/{NAME}/tags/list", "tags"),
    (rf"/v2/{NAME}/manifests/(?P<ref>[^/]+)", "manifest"),
    (rf"/v2/{NAME}/blobs/uploads/?", "start"),
    (rf"/v2/{NAME}/blobs/uploads/(?P<session>[^/]+)", "upload"),
    (rf"/v2/{NAME}/blobs/(?P<digest>[^/]+)", "blob"),
    (rf"/v2/{NAME}/referrers/(?P<digest>[^/]+)", "referrers"),
)]
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
NOT_ACCEPTED = {
    OCI_MANIFEST: "OCI manifest found, but accept header does not support "
                  "OCI manifests",
    OCI_INDEX: "OCI index found, but accept header does not support OCI indexes",
}
MANIFEST_LIMIT = 4 << 20


class Engine:
    def __init__(self, store, auth, storage, profile):
        self.store = store
        self.auth = auth
        self.storage = storage
        self.profile = profile
        self.uploads = Uploads(store, profile)

    def answer(self, request):
        reply = self._route(request)
        if self.profile.api_version:
            reply.set("Docker-Distribution-Api-Version", "registry/2.0")
        return reply

    def _route(self, request):
        if request.path == "/v2":
            return text(301, '<a href="/v2/">Moved Permanently</a>.\n\n',
                        "text/html; charset=utf-8", [("Location", "/v2/")])
        for pattern, handler in ROUTES:
            m = pattern.fullmatch(request.path)
            if m:
                refusal = self.auth.check(request, _needs(request, handler, m))
                if refusal:
                    return refusal
                return getattr(self, "do_" + handler)(request, **m.groupdict())
        return _no_page()

    # -- lists -----------------------------------------------------------------
    def do_probe(self, request):
        return text(200, "{}", "application/json; charset=utf-8")

    def do_catalog(self, request):
        if self.profile.catalog_status != 200:
            return error(self.profile.catalog_status, "UNSUPPORTED",
                         "The operation is unsupported.")
        n = _count(request, self.profile.catalog_default)
        if n is None and not self.profile.tags_paged:
            n = self.profile.catalog_default        # 2.8 takes it for absent
        if n is None or n > self.profile.catalog_max:
            return _bad_count(request)
        names, more = self.store.catalog(request.arg("last"), n)
        return as_json(200, {"repositories": names},
                       self._link(request, names, n, more))

    def do_tags(self, request, name):
        n = _count(request, self.profile.tags_max)
        if not self.profile.tags_paged:
            found = self.store.tags(name)
        elif n is None:
            return _bad_count(request)
        else:
            n = min(n, self.profile.tags_max)
            found = self.store.tags(name, request.arg("last"), n)
        if found is None:
            return error(404, "NAME_UNKNOWN",
                         "repository name not known to registry", {"name": name})
        tags, more = found
        return as_json(200, {"name": name, "tags": tags or None},
                       self._link(request, tags, n, more))

    def _link(self, request, names, n, more):
        if not more or not names:
            return []
        url = f"{request.path}?{urlencode({'last': names[-1], 'n': n})}"
        forms = {
            "relative": f'<{url}>; rel="next"',
            "absolute": f'<{request.origin}{url}>; rel="next"',
            "http": f'<http://{request.origin.split("//")[-1]}{url}>; rel="next"',
            "unquoted": f"<{url}>; rel=next",
            "extra": f'</v2/?a=1,2>; rel="first", <{url}>; title="a,b"; rel="next"',
        }
        return [("Link", forms[self.profile.link_style])]

    # -- manifests -----------------------------------------------------------
    def do_manifest(self, request, name, ref):
        if request.method in ("GET", "HEAD"):
            return self._get_manifest(request, name, ref)
        if request.method == "PUT":
            return self._put_manifest(request, name, ref)
        if request.method == "DELETE":
            return self._delete_manifest(name, ref)
        return _unsupported()

    def _get_manifest(self, request, name, ref):
        if request.method == "HEAD" and self.profile.head_manifest != 200:
            return _unsupported(self.profile.head_manifest)
        found = self.store.resolve(name, ref)
        if found is None:
            return _unknown_manifest(name, ref)
        digest, kind, body = found
        if not self._accepts(request, kind):
            child = self._amd64_child(name, body) if kind == DOCKER_LIST else None
            if child is None:
                return error(404, "MANIFEST_UNKNOWN",
                             NOT_ACCEPTED.get(kind, "manifest unknown"))
            digest, kind, body = child
        if request.headers.get("If-None-Match") in (digest, f'"{digest}"'):
            return Reply(304)
        headers = [("ETag", f'"{digest}"')]
        if self.profile.digest_header:
            headers.append(("Docker-Content-Digest", digest))
        return text(200, body, self.profile.manifest_type or kind, headers)

    def _accepts(self, request, kind):
        if not self.profile.check_accept:
            return True
        lines = request.headers.get_all("Accept") or []
        kinds = {item.split(";")[0].strip()
                 for line in lines for item in line.split(",")}
        return kind in kinds

    def _amd64_child(self, name, body):
        if not self.profile.list_child:
            return None
        for item in json.loads(body).get("manifests", []):
            platform = item.get("platform", {})
            if (platform.get("os"), platform.get("architecture")) == ("linux", "amd64"):
                return self.store.resolve(name, item["digest"])
        return None

    def _put_manifest(self, request, name, ref):
        if self.profile.read_only:
            return _unsupported()
        body = request.body_bytes(MANIFEST_LIMIT * 2)
        try:
            doc = json.loads(body)
        except ValueError:
            doc = None
        if len(body) > MANIFEST_LIMIT or not isinstance(doc, dict):
            return error(400, "MANIFEST_INVALID", "manifest invalid")
        missing = self._missing(name, doc) if self.profile.check_blobs else []
        if missing:
            return as_json(400, {"errors": [
                {"code": "MANIFEST_BLOB_UNKNOWN",
                 "message": "blob unknown to registry", "detail": d}
                for d in missing]})
        kind = doc.get("mediaType") or request.headers.get("Content-Type") or ""
        return self._commit_manifest(name, ref, body, kind, doc)

    def _missing(self, name, doc):
        items = [doc.get("config"), *doc.get("layers", []), *doc.get("manifests", [])]
        digests = [i["digest"] for i in items
                   if isinstance(i, dict) and "digest" in i and not i.get("urls")]
        return [d for d in digests if self.store.blob(name, d) is None]

    def _commit_manifest(self, name, ref, body, kind, doc):
        by_digest = ref if ":" in ref else None
        digest = self.store.add_manifest(name, body, kind,
                                         None if by_digest else ref)
        if by_digest and by_digest != digest:
            self.store.delete_manifest(name, digest)
            return error(400, "DIGEST_INVALID",
                         "provided digest did not match uploaded content")
        headers = [("Location", f"/v2/{name}/manifests/{digest}"),
                   ("Docker-Content-Digest", digest)]
        if self.profile.oci_subject and "subject" in doc:
            headers.append(("OCI-Subject", doc["subject"]["digest"]))
        return Reply(201, headers)

    def _delete_manifest(self, name, ref):
        if not self.profile.delete:
            return _unsupported()
        if ":" not in ref and self.profile.delete_tag != 202:
            return error(self.profile.delete_tag, "DIGEST_INVALID",
                         "provided digest did not match uploaded content")
        if not self.store.delete_manifest(name, ref):
            return _unknown_manifest(name, ref)
        return Reply(202)

    def do_referrers(self, request, name, digest):
        if self.profile.referrers == "off":
            return _no_page()
        repo = self.store.repos.get(name)
        items = list(repo.referrers.get(digest, [])) if repo else []
        wanted, headers = request.arg("artifactType"), []
        if wanted and self.profile.referrers == "on":
            items = [i for i in items if i.get("artifactType") == wanted]
            headers = [("OCI-Filters-Applied", "artifactType")]
        body = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": items}
        reply = as_json(200, body, headers)
        reply.set("Content-Type", OCI_INDEX)
        return reply

    # -- blobs -----------------------------------------------------------------
    def do_blob(self, request, name, digest):
        if not DIGEST.fullmatch(digest):
            return error(404 if ":" not in digest else 400, "DIGEST_INVALID",
                         "provided digest did not match uploaded content")
        if request.method == "DELETE":
            if not self.profile.delete:
                return _unsupported()
            gone = self.store.delete_blob(name, digest)
            return Reply(202) if gone else _unknown_blob(digest)
        if request.method not in ("GET", "HEAD"):
            return _unsupported()
        content = self.store.blob(name, digest)
        if content is None:
            return _unknown_blob(digest)
        headers = [("Docker-Content-Digest", digest), ("ETag", f'"{digest}"'),
                   ("Cache-Control", "max-age=31536000")]
        if self.profile.redirect and (request.method == "GET"
                                      or self.profile.redirect_head):
            reply = self.storage.redirect(request.method, digest)
            reply.headers += headers
            return reply
        return blob_reply(request, content, self.profile.ranges, headers,
                          self.profile.lying_416)

    def do_start(self, request, name):
        return self.uploads.start(request, name)

    def do_upload(self, request, name, session):
        return self.uploads.go_on(request, name, session)


def _needs(request, handler, match):
    """What a request needs to be allowed: set of (type, name, action)."""
    if handler == "probe":
        return set()
    if handler == "catalog":
        return {("registry", "catalog", "*")}
    name = match["name"]
    if request.method in ("GET", "HEAD"):
        actions = {"pull"}
    elif request.method == "DELETE":
        actions = {"delete"}
    else:
        actions = {"pull", "push"}
    needs = {("repository", name, a) for a in actions}
    if handler == "start" and request.arg("from"):
        needs.add(("repository", request.arg("from"), "pull"))
    return needs


def _count(request, default):
    value = request.arg("n")
    if value is None:
        return default
    return int(value) if value.isdigit() else None


def _bad_count(request):
    return error(400, "PAGINATION_NUMBER_INVALID",
                 "invalid number of results requested", {"n": request.arg("n")})


def _no_page():
    return text(404, "404 page not found\n", "text/plain; charset=utf-8")


def _unsupported(status=405):
    return error(status, "UNSUPPORTED", "The operation is unsupported.")


def _unknown_blob(digest):
    return error(404, "BLOB_UNKNOWN", "blob unknown to registry", digest)


def _unknown_manifest(name, ref):
    detail = {"Tag": ref}
    if ":" in ref:
        detail = f"unknown manifest name={name} revision={ref}"
    return error(404, "MANIFEST_UNKNOWN", "manifest unknown", detail)
