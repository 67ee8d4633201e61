# SPDX-License-Identifier: Apache-2.0
"""The emulator's push side: every switch refuses, and allows, what it says."""
import hashlib
import http.client
import json
import os
from urllib.parse import urljoin, urlsplit

import pytest

from emulator.profiles import PROFILES
from images import skopeo_env
from tools import need, run, sha256

DATA = os.urandom(300_000)
STREAM = {"Content-Type": "application/octet-stream"}
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
VENDORS = ["hub", "gar", "gcr", "ecr", "acr", "gitlab", "ghcr", "quay", "harbor",
           "zot", "gitea", "nexus", "artifactory"]
REPO = "p/r/app"


class Answer:
    def __init__(self, answer, body):
        self.status = answer.status
        self.headers = answer.headers
        self.body = body

    @property
    def code(self):
        return json.loads(self.body)["errors"][0]["code"]

    @property
    def span(self):
        return self.headers["Range"]


class Client:
    """One push client; `where` is the upload's location, resolved as it comes."""

    def __init__(self, emu, repo=REPO):
        self.emu, self.repo, self.where = emu, repo, None
        self.base = f"http://{emu.address}"

    def ask(self, method, url, body=None, headers=()):
        parts = urlsplit(urljoin(self.base, url))
        target = parts.path + ("?" + parts.query if "?" in url else "")
        connection = http.client.HTTPConnection(self.emu.address, timeout=10)
        try:
            connection.request(method, target, body, dict(headers),
                               encode_chunked=hasattr(body, "__next__"))
            answer = connection.getresponse()
            found = Answer(answer, answer.read())
        finally:
            connection.close()
        if "/upload" in (found.headers["Location"] or ""):
            self.where = found.headers["Location"]
        return found

    def start(self, query=""):
        return self.ask("POST", f"/v2/{self.repo}/blobs/uploads/{query}")

    def patch(self, data, first=None):
        headers = dict(STREAM)
        if first is not None:
            headers["Content-Range"] = f"{first}-{first + len(data) - 1}"
        return self.ask("PATCH", self.where, data, headers)

    def state(self):
        return self.ask("GET", self.where)

    def put(self, digest, data=None):
        mark = "" if self.where.endswith("&") else "&" if "?" in self.where else "?"
        return self.ask("PUT", f"{self.where}{mark}digest={digest}", data, STREAM)

    def blob(self, data):
        """A streamed push; the last answer."""
        self.start()
        self.patch(data)
        return self.put(sha256(data))

    def has(self, digest):
        return self.ask("HEAD", f"/v2/{self.repo}/blobs/{digest}").status == 200

    def manifest(self, document, ref="t", **headers):
        body = json.dumps(document).encode()
        kind = document.get("mediaType", MANIFEST)
        return self.ask("PUT", f"/v2/{self.repo}/manifests/{ref}", body,
                        {"Content-Type": kind, **headers})


@pytest.fixture
def client(emulator):
    """client("ghcr", "quota=10") -> Client"""
    return lambda *args: Client(emulator(*args))


def image(client, **more):
    """A small manifest whose blobs are there."""
    client.blob(b"{}")
    client.blob(b"layer")
    return {"schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                       "digest": sha256(b"{}"), "size": 2},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar",
                        "digest": sha256(b"layer"), "size": 5}], **more}


# -- whole pushes ---------------------------------------------------------------

@pytest.mark.parametrize("profile", VENDORS)
def test_vendors_take_skopeo(emulator, images, tmp_path, profile):
    need("skopeo")
    emu = emulator(profile)
    emu.call("raw_names", repos=[REPO])
    images.multi.push(emu.address, REPO, "t")
    raw = run("skopeo", "inspect", "--raw", "--tls-verify=false",
              f"docker://{emu.address}/{REPO}:t", env=skopeo_env(tmp_path)).stdout
    assert sha256(raw.encode()) == images.multi.digest


def test_every_row_is_a_profile():
    assert set(VENDORS) < set(PROFILES)


def test_large_upload_is_spooled(client):
    """Three ways to send 20 MiB; little of it is ever in memory."""
    c = client("distribution3")
    data = DATA * 70
    assert c.blob(data).status == 201
    c.start()
    assert c.patch(iter([DATA] * 70)).span == f"0-{len(data) - 1}"
    assert c.put(sha256(data)).status == 201
    c.start()
    assert c.put(sha256(data), data).status == 201
    assert c.ask("GET", f"/v2/{REPO}/blobs/{sha256(data)}").body == data
    status = open(f"/proc/{c.emu.process.pid}/status", encoding="ascii").read()
    peak = int(status.split("VmHWM:")[1].split()[0])
    assert peak < 60_000
    sent = [e["received"] for e in c.emu.log(method="PATCH")]
    assert sent == [len(data)] * 2


def test_bytes_need_not_be_kept(client):
    c = client("distribution3", "keep_bytes=false")
    assert c.blob(DATA).status == 201 and c.has(sha256(DATA))
    c.start()
    assert c.put(sha256(b"other"), DATA).code == "DIGEST_INVALID"


# -- Location -------------------------------------------------------------------

@pytest.mark.parametrize("settings, start", [
    (["location=absolute"], "http://127.0.0.1:"),
    (["location=relative"], "/v2/p/r/app/blobs/uploads/"),
    (["location=elsewhere"], "http://elsewhere.invalid/v2/"),
    (["location=relative", "upload_path=upload"], "/v2/p/r/app/blobs/upload/"),
    (["location=relative", "upload_path=outside"], "/artifacts-uploads/"),
])
@pytest.mark.parametrize("query", ["state", "none", "empty"])
def test_location(client, settings, start, query):
    c = client("distribution3", *settings, f"location_query={query}")
    c.start()
    first = c.where
    assert first.startswith(start)
    assert ("?" in first) == (query != "none")
    assert first.endswith("?&") == (query == "empty")
    c.patch(DATA)
    assert (c.where != first) == (query == "state")
    if "outside" in str(settings):
        assert len(first) > 1024
    assert c.put(sha256(DATA)).status == 201 and c.has(sha256(DATA))


def test_location_scheme(emulator, tmp_path):
    from registry import make_certificate
    cert = make_certificate(tmp_path)
    emu = emulator("nexus", tls=cert)
    out = run("curl", "-sS", "-i", "--cacert", cert[0], "-X", "POST",
              f"https://{emu.address}/v2/{REPO}/blobs/uploads/").stdout
    assert f"Location: http://{emu.address}/v2/" in out


@pytest.mark.parametrize("stale, get, patch", [(404, 404, 404), (416, 204, 416)])
def test_stale_location(client, stale, get, patch):
    c = client("distribution3", f"stale_state={stale}")
    c.start()
    old = c.where
    c.patch(DATA)
    assert c.ask("PATCH", old, b"x", STREAM).status == patch
    assert c.ask("GET", old).status == get
    assert c.emu.call("state")["sessions"] == (stale == 416)


# -- chunks -----------------------------------------------------------------------

@pytest.mark.parametrize("style, spans", [
    ("plain", ["0-0", "0-4", "0-4"]), ("none", [None] * 3),
    ("bytes", ["bytes=0--1", "bytes=0-4", "bytes=0-4"]),
    ("quay", ["bytes=0--1", "0-4", "bytes=0-4"])])
def test_range_style(client, style, spans):
    c = client("distribution3", f"range_style={style}")
    assert [c.start().span, c.patch(b"01234").span, c.state().span] == spans


@pytest.mark.parametrize("profile, status", [
    ("distribution3", 416), ("quay", 416), ("ghcr", 404), ("gitea", 416),
    ("distribution", 202)])
def test_order_of_chunks(client, profile, status):
    c = client(profile)
    c.start()
    assert c.patch(DATA, 0).status == 202
    refused = c.patch(DATA, len(DATA) + 1)
    assert refused.status == status
    if profile == "quay":
        assert refused.span.endswith(f"0-{len(DATA) - 1}")
    if status != 202:
        assert c.patch(DATA, len(DATA)).status == 202
        assert c.put(sha256(DATA + DATA)).status == 201


def test_length_of_chunk(client):
    c = client("distribution3")
    c.start()
    lie = c.ask("PATCH", c.where, b"12345", {**STREAM, "Content-Range": "0-9"})
    assert (lie.status, lie.code) == (400, "SIZE_INVALID")


def test_smallest_chunk(client):
    c = client("distribution3", "chunk_min=1000")
    assert c.start().headers["OCI-Chunk-Min-Length"] == "1000"
    assert c.patch(bytes(1000), 0).status == 202
    assert c.patch(bytes(999), 1000).status == 202
    assert c.patch(bytes(999), 1999).code == "SIZE_INVALID"
    assert c.put(sha256(bytes(1999))).status == 201
    assert client("ecr", "must_exist=").start().headers["OCI-Chunk-Min-Length"] is None


def test_largest_chunk(client):
    c = client("ghcr")
    c.start()
    big = bytes((4 << 20) + 1)
    refused = c.patch(big, 0)
    assert (refused.status, refused.code) == (416, "REQUESTED_RANGE_NOT_SATISFIABLE")
    assert c.patch(big[1:], 0).status == 202
    c.start()
    assert c.patch(big).status == 202           # a stream is not capped


def test_no_chunks(client):
    c = client("gar")
    c.start()
    assert c.patch(DATA, 0).status == 400
    assert c.blob(DATA).status == 201           # one streamed PATCH
    c.start()
    assert c.put(sha256(b"mono"), b"mono").status == 201


def test_second_stream(client):
    c = client("gitea")
    c.start()
    assert c.patch(DATA).status == 202
    assert c.patch(DATA).code == "BLOB_UPLOAD_INVALID"
    assert c.patch(DATA, len(DATA)).status == 202


@pytest.mark.parametrize("switch, empty, full", [
    ("empty_put=500", 500, 201), ("put_body=400", 201, 400)])
def test_last_bytes(client, switch, empty, full):
    c = client("distribution3", switch)
    c.start()
    c.patch(b"first")
    assert c.put(sha256(b"firstlast"), b"last").status == full
    c.start()
    c.patch(b"all")
    assert c.put(sha256(b"all")).status == empty


def test_single_post(client):
    for profile, status in (("gitea", 201), ("distribution3", 202)):
        c = client(profile)
        answer = c.ask("POST", f"/v2/{REPO}/blobs/uploads/?digest={sha256(DATA)}",
                       DATA, STREAM)
        assert answer.status == status and c.has(sha256(DATA)) == (status == 201)


def test_sha512(client):
    digest = "sha512:" + hashlib.sha512(DATA).hexdigest()
    for switch, status in (("sha512=true", 201), ("sha512=false", 400)):
        c = client("distribution3", switch)
        c.start()
        c.patch(DATA)
        assert c.put(digest).status == status
        body = json.dumps(image(c)).encode()
        ref = "sha512:" + hashlib.sha512(body).hexdigest()
        put = c.ask("PUT", f"/v2/{REPO}/manifests/{ref}", body,
                    {"Content-Type": MANIFEST})
        assert put.status == status


# -- faults on the way ---------------------------------------------------------------

@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("kept", ["kept", "lost"])
def test_cut_request(client, how, kept):
    c = client("distribution3", f"partial_patch={kept}")
    c.start()
    c.patch(b"before")
    c.emu.fault(method="PATCH", cut_request={"at": 100_000, "how": how})
    with pytest.raises((http.client.HTTPException, OSError)):
        c.patch(DATA)
    end = 100_005 if kept == "kept" else 5
    assert c.state().span == f"0-{end}"
    rest = DATA[100_000:] if kept == "kept" else DATA
    assert c.patch(rest, end + 1).status == 202
    assert c.put(sha256(b"before" + DATA)).status == 201
    assert c.emu.log(method="PATCH")[1]["received"] == 100_000


def test_taken_in_part(client):
    c = client("distribution3")
    c.emu.fault(method="PATCH", take=1000)
    c.start()
    assert c.patch(DATA).span == "0-999"
    assert c.patch(DATA[1000:], 1000).span == f"0-{len(DATA) - 1}"
    assert c.put(sha256(DATA)).status == 201


@pytest.mark.parametrize("profile", ["distribution3", "gar"])
def test_lost_session(client, profile):
    c = client(profile)
    c.emu.fault(method="PATCH", nth=2, lose_session=True)
    c.start()
    assert c.patch(DATA).status == 202
    refused = c.patch(DATA)
    assert (refused.status, refused.code) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert c.state().status == 404


def test_digest_refused_once(client):
    c = client("distribution3")
    c.emu.fault(method="PUT", digest_invalid=True)
    assert c.blob(DATA).code == "DIGEST_INVALID"
    assert c.state().status == 404 and not c.has(sha256(DATA))
    assert c.blob(DATA).status == 201


def test_error_after_commit(client):
    c = client("distribution3")
    c.emu.fault(method="PUT", status=500, after=True)
    assert c.blob(DATA).status == 500 and c.has(sha256(DATA))
    c.emu.fault(method="PUT", path="/manifests/", status=502, after=True)
    assert c.manifest(image(c)).status == 502
    assert c.ask("GET", f"/v2/{REPO}/manifests/t", headers={"Accept": MANIFEST}
                 ).status == 200


def test_not_stored(client):
    c = client("distribution3")
    c.emu.fault(method="PUT", not_stored=True)
    assert c.blob(DATA).status == 201 and not c.has(sha256(DATA))
    document = image(c)
    c.emu.fault(method="PUT", path="/manifests/", not_stored=True)
    assert c.manifest(document).status == 201
    assert c.ask("GET", f"/v2/{REPO}/manifests/t", headers={"Accept": MANIFEST}
                 ).status == 404


def test_error_once(client):
    c = client("distribution3")
    c.emu.fault(method="POST", status=503)
    assert [c.start().status, c.start().status] == [503, 202]


@pytest.mark.parametrize("size", [10_000, 30_000_000])
def test_refused_early(client, size):
    """The answer can be read although most of the body was not taken."""
    c = client("distribution3")
    c.emu.fault(method="PATCH", status=401)
    c.start()
    out = run("curl", "-sS", "-i", "--max-time", "10", "-X", "PATCH", "-H",
              "Expect:", "--data-binary", "@-", "-H",
              "Content-Type: application/octet-stream", c.where,
              input="x" * size).stdout
    assert out.startswith("HTTP/1.1 401 ")
    assert c.emu.log(method="PATCH")[0]["received"] in (0, size)


@pytest.mark.parametrize("chunked", [False, True])
def test_front_server(client, chunked):
    c = client("distribution3", "body_limit=100000")
    c.start()
    where = c.where
    refused = c.patch(iter([DATA] * 2) if chunked else DATA)
    assert refused.status == 413 and b"nginx" in refused.body
    assert refused.headers["Content-Type"] == "text/html"
    c.where = where
    if not chunked:
        assert c.patch(DATA[:100_000]).status == 202


# -- policy ----------------------------------------------------------------------

@pytest.mark.parametrize("settings, status, stored", [
    ([], 201, True), (["mount=202"], 202, False), (["mount=401"], 401, False),
    (["mount=404"], 404, False), (["mount=500"], 500, False)])
def test_mount(client, settings, status, stored):
    c = client("distribution3", *settings)
    digest = c.emu.add_blob("other", DATA)
    assert c.start(f"?mount={digest}&from=other").status == status
    assert c.has(digest) == stored
    if status == 202:
        assert c.patch(DATA).status == 202 and c.put(digest).status == 201


@pytest.mark.parametrize("any_source", [False, True])
def test_mount_without_from(client, any_source):
    c = client("distribution3", f"mount_any={json.dumps(any_source)}")
    digest = c.emu.add_blob("other", DATA)
    assert c.start(f"?mount={digest}").status == (201 if any_source else 202)
    assert c.start(f"?mount={sha256(b'no')}").status == 202


@pytest.mark.parametrize("profile, other", [("ecr", "p/r"), ("harbor", "q/r")])
def test_repository_must_exist(client, profile, other):
    c = client(profile)
    c.emu.call("raw_names", repos=[other])
    refused = c.start()
    assert (refused.status, refused.code) == (404, "NAME_UNKNOWN")
    assert c.manifest({}).status == 404
    blob = c.ask("GET", f"/v2/{REPO}/blobs/{sha256(b'')}")
    assert blob.code == ("NAME_UNKNOWN" if profile == "ecr" else "BLOB_UNKNOWN")
    c.emu.call("raw_names", repos=[REPO])
    assert c.start().status == 202


def test_name_depth(client):
    c = client("gar")
    c.repo = "p/r"
    assert c.start().code == "NAME_INVALID"


@pytest.mark.parametrize("status, code", [
    (400, "TAG_INVALID"), (403, "DENIED"), (409, "TAG_IMMUTABLE"),
    (412, "PRECONDITION")])
def test_immutable_tag(client, status, code):
    c = client("distribution3", f"immutable={status}")
    document = image(c)
    assert c.manifest(document).status == 201
    assert c.manifest(document).status == 201           # the same again
    refused = c.manifest({**document, "annotations": {"a": "b"}})
    assert (refused.status, refused.code) == (status, code)
    assert c.manifest({**document, "annotations": {"a": "b"}}, "u").status == 201


def test_quota(client):
    c = client("harbor", "quota=400000")
    c.emu.call("raw_names", repos=[REPO])
    assert c.blob(DATA).status == 201
    refused = c.blob(DATA[1:])
    assert (refused.status, refused.code) == (403, "DENIED")
    assert b"exceed the configured upper limit" in refused.body
    assert c.blob(DATA[:100_000]).status == 201


def test_read_only(client):
    c = client("distribution3", "read_only=true", "delete=true")
    digest = c.emu.add_blob(REPO, DATA)
    assert c.start().status == 405 and c.manifest({}).status == 405
    for kind in ("manifests", "blobs"):
        assert c.ask("DELETE", f"/v2/{REPO}/{kind}/{digest}").status == 405


@pytest.mark.parametrize("settings, by_tag, by_digest", [
    (["delete=false"], 405, 405), (["delete=true"], 202, 202),
    (["delete=true", "delete_tag=400"], 400, 202),
    (["delete=true", "delete_tag=405"], 405, 202),
    (["delete=true", "delete_tag=405", "delete_tagged=400"], 405, 400)])
def test_delete(client, settings, by_tag, by_digest):
    c = client("distribution3", *settings)
    body = image(c)
    digest = c.manifest(body).headers["Docker-Content-Digest"]
    c.manifest(body, "u")
    assert c.ask("DELETE", f"/v2/{REPO}/manifests/t").status == by_tag
    assert c.ask("DELETE", f"/v2/{REPO}/manifests/{digest}").status == by_digest


def test_delete_blob(client):
    for profile, status in (("quay", 405), ("zot", 202)):
        c = client(profile)
        digest = c.emu.add_blob(REPO, DATA)
        assert c.ask("DELETE", f"/v2/{REPO}/blobs/{digest}").status == status


@pytest.mark.parametrize("profile, status, code", [
    ("distribution3", 400, "MANIFEST_BLOB_UNKNOWN"), ("gitea", 404, "BLOB_UNKNOWN")])
def test_missing_parts(client, profile, status, code):
    c = client(profile)
    whole = image(c)
    child = {"mediaType": MANIFEST, "digest": sha256(b"{}"), "size": 2}
    layer = {"mediaType": "a/b", "digest": sha256(b"none"), "size": 4}
    for document in (
            {**whole, "layers": [layer]}, {**whole, "config": layer},
            {"schemaVersion": 2, "mediaType": INDEX, "manifests": [child]}):
        refused = c.manifest(document)
        assert (refused.status, refused.code) == (status, code)
    foreign = {**layer, "urls": ["https://example.com/x"]}
    assert c.manifest({**whole, "layers": [foreign]}).status == 201
    c.emu.set(check_children=False)
    assert c.manifest({"schemaVersion": 2, "mediaType": INDEX,
                       "manifests": [child]}).status == 201


def test_large_manifest(client):
    for profile, limit, status in (("distribution3", 4, 400), ("gitea", 10, 413)):
        c = client(profile)
        document = image(c, annotations={"a": "b" * (limit << 20)})
        refused = c.manifest(document)
        assert (refused.status, refused.code) == (status, "MANIFEST_INVALID")


def test_docker_types(client):
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    for profile, status in (("zot", 415), ("quay", 201)):
        c = client(profile)
        assert c.manifest(image(c, mediaType=kind)).status == status


def test_if_match(client):
    c = client("distribution3", "if_match=true")
    document = image(c)
    assert c.manifest(document, **{"If-Match": '"x"'}).status == 412
    tag = c.manifest(document, **{"If-None-Match": "*"}).headers["ETag"]
    other = {**document, "annotations": {"a": "b"}}
    assert c.manifest(other, **{"If-None-Match": "*"}).status == 412
    assert c.manifest(other, **{"If-Match": '"x"'}).status == 412
    assert c.manifest(other, **{"If-Match": tag}).status == 201
    assert c.manifest(document, **{"If-Match": tag}).status == 412
    c.emu.set(if_match=False)
    assert c.manifest(document, **{"If-Match": tag}).status == 201


def test_subject(client):
    for profile, told in (("zot", True), ("hub", False), ("ghcr", False)):
        c = client(profile)
        document = image(c)
        digest = c.manifest(document).headers["Docker-Content-Digest"]
        subject = {"mediaType": MANIFEST, "digest": digest, "size": 1}
        answer = c.manifest({**document, "subject": subject}, "s")
        assert (answer.headers["OCI-Subject"] == digest) == told
        found = c.ask("GET", f"/v2/{REPO}/referrers/{digest}").status
        assert found == {"zot": 200, "hub": 404, "ghcr": 303}[profile]


def test_errors_without_codes(client):
    c = client("artifactory")
    c.emu.call("raw_names", repos=[REPO])
    c.start()
    error = json.loads(c.put(sha256(b"x"), b"y").body)["errors"][0]
    assert error["status"] == 400 and "code" not in error
