# SPDX-License-Identifier: Apache-2.0
"""The registry itself: /v2/ over the store, as the profile's switches say."""
import json
import re
from urllib.parse import urlencode

from emulator.ranges import blob_reply
from emulator.reply import Reply, TooLarge, as_json, error, text
from emulator.store import BytesContent, digest_of
from emulator.uploads import Uploads
from emulator.vendors import children

NAME = r"(?P<name>[a-z0-9._/-]+)"
ROUTES = [(re.compile(pattern), handler) for pattern, handler in (
    (r"/v2/", "probe"),
    (r"/v2/_catalog", "catalog"),
    (r"/acr/v1/_catalog", "catalog"),
    (rf"/acr/v1/{NAME}/_tags/(?P<tag>[^/]+)", "acr_tag"),
    (rf"/v2/{NAME}/tags/list", "tags"),
    (rf"/v2/{NAME}/manifests/(?P<ref>[^/]+)", "manifest"),
    (rf"/v2/{NAME}/blobs/uploads/?", "start"),
    (rf"/v2/{NAME}/blobs/uploads?/(?P<session>[^/]+)", "upload"),
    (r"/artifacts-uploads/.*\.(?P<session>[^/.]+)", "upload"),
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
MANIFEST_MAX = 32 << 20
IMMUTABLE = {
    400: ("TAG_INVALID", "The image tag '{tag}' already exists in the '{name}' "
                         "repository and cannot be overwritten because the "
                         "repository is immutable."),
    403: ("DENIED", "tag {tag} is immutable and cannot be overwritten"),
    409: ("TAG_IMMUTABLE", "tag is immutable: {tag}"),
    412: ("PRECONDITION", "Failed to process request due to '{last}:{tag}' "
                          "configured as immutable."),
}
PULL_LIMIT = ("You have reached your pull rate limit. You may increase the limit by "
              "authenticating and upgrading: "
              "https://www.docker.com/increase-rate-limit")
PAGE = ("<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n"
        "<body>\r\n<center><h1>413 Request Entity Too Large</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")


class Engine:
    def __init__(self, store, auth, storage, profile):
        self.store = store
        self.auth = auth
        self.storage = storage
        self.profile = profile
        self.uploads = Uploads(store, profile)
        self.pulled = 0                 # manifests, of the rate limit

    def answer(self, request):
        limit = request.limit = self.profile.body_limit
        if limit and int(request.length or 0) > limit:
            return _front_page()
        try:
            reply = self._route(request)
        except TooLarge:
            return _front_page()
        if self.profile.api_version:
            reply.set("Docker-Distribution-Api-Version", "registry/2.0")
        if reply.status >= 400 and self.profile.error_style == "artifactory":
            _without_codes(reply)
        return reply

    def _route(self, request):
        if request.path == "/v2":
            return text(301, '<a href="/v2/">Moved Permanently</a>.\n\n',
                        "text/html; charset=utf-8", [("Location", "/v2/")])
        for pattern, handler in ROUTES:
            m = pattern.fullmatch(request.path)
            if m:
                return self._handle(request, handler, m.groupdict())
        return _no_page()

    def _handle(self, request, handler, parts):
        if handler == "upload" and "name" not in parts:
            parts["name"] = self.store.session_repos.get(parts["session"], "")
        refusal = self.auth.check(request, _needs(request, handler, parts))
        if not refusal and self.profile.manifests_at and \
                handler in ("manifest", "tags") and request.method in ("GET", "HEAD"):
            return Reply(307, [("Location", self.profile.manifests_at
                                + request.target.removeprefix("/v2"))])
        if not refusal and handler != "upload":
            refusal = self._check_name(request, parts.get("name"))
        return refusal or getattr(self, "do_" + handler)(request, **parts)

    def _check_name(self, request, name):
        """Whether this registry has, or could make, such a repository."""
        profile = self.profile
        if name is None:
            return None
        if not profile.name_min <= name.count("/") + 1 <= profile.name_max:
            return self._odd_name(request, name)
        if profile.must_exist == "repository" and name not in self.store.repos:
            return _unknown_repository(profile.missing_repo, (
                f"The repository with name '{name}' does not exist in the "
                "registry with id '111122223333'"))
        project = name.partition("/")[0]
        if request.method in ("POST", "PUT") and profile.must_exist == "project" and \
                not any(r == project or r.startswith(project + "/")
                        for r in list(self.store.repos)):
            return _unknown_repository(profile.missing_repo,
                                       f"project {project} not found")
        return None

    def _odd_name(self, request, name):
        """Too short or too long for a repository here."""
        reads = request.method in ("GET", "HEAD")
        if reads and self.profile.child_lists and request.path.endswith("/tags/list"):
            return None
        if reads and self.profile.odd_name == 404:
            return error(404, "NAME_UNKNOWN", "repository name not known to registry",
                         {"name": name})
        return error(400, "NAME_INVALID", "invalid repository name: "
                     "Pushes should be of the form HOST/PROJECT/IMAGE")

    # -- lists -----------------------------------------------------------------
    def do_probe(self, request):
        return text(200, "{}", "application/json; charset=utf-8")

    def do_catalog(self, request):
        if request.path.startswith("/acr/") and not self.profile.catalog_acr:
            return _no_page()
        if self.profile.catalog_none:
            return as_json(200, {"repositories": []})
        if self.profile.catalog_status != 200:
            return error(self.profile.catalog_status, "UNSUPPORTED",
                         "The operation is unsupported.")
        n = _count(request, self.profile.catalog_default)
        if n is None and not self.profile.tags_paged:
            n = self.profile.catalog_default        # 2.8 takes it for absent
        if n is None or n > self.profile.catalog_max:
            return _bad_count(request, self.profile.catalog_over)
        names, more = self.store.catalog(self._last(request), n)
        return as_json(200, {"repositories": names},
                       self._link(request, names, n, more))

    def do_tags(self, request, name):
        n = _count(request, self.profile.tags_max)
        if not self.profile.tags_paged:
            found = self.store.tags(name)
        elif n is None:
            return _bad_count(request)
        elif self.profile.catalog_over and n > self.profile.tags_max:
            return _bad_count(request, self.profile.catalog_over)
        else:
            n = min(n, self.profile.tags_max)
            found = self.store.tags(name, self._last(request), n)
        if self.profile.child_lists:
            return self._children(name, *(found or ([], False)))
        if found is None:
            return error(404, "NAME_UNKNOWN",
                         "repository name not known to registry", {"name": name})
        tags, more = found
        link = self._link(request, tags, n, more)
        if self.profile.list_odd:
            tags = [None, *tags, *self.store.repos[name].manifests]
        reply = as_json(200, {"name": name, "tags": tags or None}, link)
        if self.profile.list_type:
            reply.set("Content-Type", self.profile.list_type)
        return reply

    def _children(self, name, tags, _more):
        """As Google has it: folders have lists, too."""
        below = children(self.store.repos, name)
        if not below and name not in self.store.repos:
            return error(404, "NAME_UNKNOWN", f'Repository "{name}" not found')
        repo = self.store.repos.get(name)
        shown = {d: {"imageSizeBytes": "16875924", "layerId": "", "mediaType": kind,
                     "tag": [t for t, to in repo.tags.items() if to == d],
                     "timeCreatedMs": "0", "timeUploadedMs": "1700000001000"}
                 for d, kind in (repo.manifests if repo else {}).items()}
        return as_json(200, {"child": below, "manifest": shown, "name": name,
                             "tags": tags})

    def _last(self, request):
        last = request.arg("last")
        return bytes.fromhex(last).decode() if last and self.profile.last_opaque \
            else last

    def _link(self, request, names, n, more):
        if not more or not names:
            return []
        last = names[-1].encode().hex() if self.profile.last_opaque else names[-1]
        url = f"{request.path}?{urlencode({'last': last, 'n': n})}" \
              f"{self.profile.link_more}"
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
        if request.method in ("GET", "HEAD") and self.profile.rate_limit:
            return self._counted(request, name, ref)
        if request.method in ("GET", "HEAD"):
            return self._get_manifest(request, name, ref)
        if request.method == "PUT":
            return self._put_manifest(request, name, ref)
        if request.method == "DELETE":
            return self._delete_manifest(name, ref)
        return _unsupported()

    def _counted(self, request, name, ref):
        """As Docker Hub: a GET counts, and HEAD works whatever is left."""
        limit = self.profile.rate_limit
        if request.method == "GET" and self.pulled >= limit:
            reply = error(429, "TOOMANYREQUESTS", PULL_LIMIT)
        else:
            reply = self._get_manifest(request, name, ref)
            self.pulled += request.method == "GET" and reply.status == 200
        reply.headers += [("ratelimit-limit", f"{limit};w=21600"),
                          ("ratelimit-remaining", f"{limit - self.pulled};w=21600"),
                          ("docker-ratelimit-source", "203.0.113.7")]
        return reply

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
                said = self.profile.accept_text or \
                    NOT_ACCEPTED.get(kind, "manifest unknown")
                return error(404, "MANIFEST_UNKNOWN", said.format(
                    tag=ref, kind=kind, accept=request.headers.get("Accept")))
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
        body = request.body_bytes(MANIFEST_MAX)
        if len(body) > self.profile.manifest_limit:
            return error(self.profile.manifest_too_large, "MANIFEST_INVALID",
                         "Manifest exceeds maximum size")
        try:
            doc = json.loads(body)
        except ValueError:
            doc = None
        if not isinstance(doc, dict):
            return error(400, "MANIFEST_INVALID", "manifest invalid")
        kind = doc.get("mediaType") or request.headers.get("Content-Type") or ""
        if "vnd.docker" in kind and not self.profile.docker_types:
            return error(415, "MANIFEST_INVALID", "manifest invalid")
        refusal = self._refuse_missing(name, doc) or \
            self._check_digest(ref, body) or \
            self._check_tag(request, name, ref, body)
        if refusal:
            return refusal
        return self._commit_manifest(request, name, ref, body, kind, doc)

    def _refuse_missing(self, name, doc):
        missing = self._missing(name, doc)
        if not missing:
            return None
        return as_json(self.profile.missing_blob, {"errors": [
            {"code": self.profile.missing_blob_code,
             "message": "blob unknown to registry", "detail": d}
            for d in missing]})

    def _missing(self, name, doc):
        def named(items):
            return [i["digest"] for i in items if isinstance(i, dict)
                    and "digest" in i and not i.get("urls")]
        missing = []
        if self.profile.check_blobs:
            missing = [d for d in named([doc.get("config"), *doc.get("layers", [])])
                       if self.store.blob(name, d) is None]
        if self.profile.check_children:
            missing += [d for d in named(doc.get("manifests", []))
                        if self.store.resolve(name, d) is None]
        return missing

    def _check_digest(self, ref, body):
        algorithm, _, value = ref.partition(":")
        if not value:
            return None
        known = DIGEST.fullmatch(ref) and \
            (algorithm == "sha256" or self.profile.sha512)
        if not known or digest_of(BytesContent(body), algorithm) != ref:
            return error(400, "DIGEST_INVALID",
                         "provided digest did not match uploaded content")
        return None

    def _check_tag(self, request, name, ref, body):
        """What is under this tag already may stand in the way."""
        found = self.store.resolve(name, ref) if ":" not in ref else None
        old = found[0] if found else None
        if self.profile.if_match:
            wanted = request.headers.get("If-Match")
            unwanted = request.headers.get("If-None-Match")
            if (wanted and wanted not in ("*" if old else "", f'"{old}"')) or \
                    (unwanted == "*" and old):
                return error(412, "PRECONDITION_FAILED", "the tag has changed")
        status = self.profile.immutable
        if not status or old in (None, digest_of(BytesContent(body))) or \
                not re.fullmatch(self.profile.immutable_tags, ref):
            return None
        code, message = IMMUTABLE.get(status, ("DENIED", "tag is immutable"))
        return error(status, code, message.format(
            tag=ref, name=name, last=name.rpartition("/")[2]))

    def _commit_manifest(self, request, name, ref, body, kind, doc):
        by_digest = ref if ":" in ref else None
        digest = by_digest or digest_of(BytesContent(body))
        if not request.fault.get("not_stored"):
            self.store.add_manifest(name, body, kind, None if by_digest else ref,
                                    digest)
        headers = [("Location", f"/v2/{name}/manifests/{digest}"),
                   ("Docker-Content-Digest", digest)]
        if self.profile.if_match:
            headers.append(("ETag", f'"{digest}"'))
        if self.profile.oci_subject and "subject" in doc:
            headers.append(("OCI-Subject", doc["subject"]["digest"]))
        return Reply(201, headers)

    def _delete_manifest(self, name, ref):
        if not self.profile.delete or self.profile.read_only:
            return _unsupported()
        found = self.store.resolve(name, ref)
        if ":" not in ref and self.profile.delete_tag == 405:
            return _unsupported()
        if ":" not in ref and self.profile.delete_tag != 202:
            return error(self.profile.delete_tag, "DIGEST_INVALID",
                         "provided digest did not match uploaded content")
        if ":" in ref and found and self.profile.delete_tagged != 202 and \
                ref in self.store.repos[name].tags.values():
            return error(self.profile.delete_tagged, "GOOGLE_MANIFEST_DANGLING_TAG",
                         f"Manifest is still referenced by tag: {ref}")
        if not self.store.delete_manifest(name, ref):
            return _unknown_manifest(name, ref)
        return Reply(202)

    def do_acr_tag(self, request, name, tag):
        if not self.profile.catalog_acr or request.method != "DELETE":
            return _no_page()
        if self.profile.acr_locked:
            return error(405, "UNSUPPORTED", "The operation is disallowed on this "
                         "registry, repository or image.")
        if not self.store.delete_manifest(name, tag):
            return error(404, "TAG_UNKNOWN", f"the specified tag {tag} does not exist")
        return Reply(202)

    def do_referrers(self, request, name, digest):
        if self.profile.referrers == "off":
            return _no_page()
        if self.profile.referrers == "303":
            return Reply(303, [("Location", self.storage.origin + "/page")])
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
        if digest.startswith("sha512:") and not self.profile.sha512:
            return error(400, "DIGEST_INVALID", "unsupported digest algorithm")
        if request.method == "DELETE":
            if not self.profile.delete or self.profile.read_only or \
                    self.profile.delete_blob != 202:
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
            reply = self.storage.redirect(request, digest)
            reply.headers += headers
            return reply
        return blob_reply(request, content, self.profile.ranges, headers,
                          self.profile.lying_416)

    def do_start(self, request, name):
        return self.uploads.start(request, name)

    def do_upload(self, request, name, session):
        return self.uploads.go_on(request, session, name)


def _front_page():
    return text(413, PAGE, "text/html", [("Connection", "close")])


def _without_codes(reply):
    """The errors as Artifactory puts them: {"status": 404, "message": "…"}."""
    try:
        body = json.loads(b"".join(reply.content.slices(0, reply.content.size)))
        errors = [{"status": reply.status, "message": e["message"]}
                  for e in body["errors"]]
    except (ValueError, KeyError, TypeError):
        return
    reply.set_body(json.dumps({"errors": errors}).encode())


def _unknown_repository(status, message):
    code = {401: "UNAUTHORIZED", 403: "DENIED"}.get(status, "NAME_UNKNOWN")
    return error(status, code, message)


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


def _bad_count(request, status=0):
    if status:
        return error(status, "UNSUPPORTED", "Invalid parameter at 'maxResults' failed "
                     "to satisfy constraint: 'Member must have value less than or "
                     "equal to 1000'")
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
