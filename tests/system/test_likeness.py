# SPDX-License-Identifier: Apache-2.0
"""The "distribution" profile against a real docker-registry: the same answers."""
import http.client
import json
import re

import pytest

from emulator.client import EmulatorProcess
from images import INDEX, MANIFEST
from registry import DockerRegistry
from tools import need, sha256

NONE = "sha256:" + "0" * 64
HEADERS = ("content-type", "content-range", "docker-content-digest", "etag",
           "accept-ranges", "range", "www-authenticate", "link", "location",
           "content-length", "docker-distribution-api-version", "cache-control")


def ask(address, method, path, body=None, headers=()):
    """(status, headers of interest, body or error code)"""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        try:
            data = answer.read()
        except http.client.IncompleteRead as e:     # 416 of 2.8: a lying length
            data = e.partial
        kept = {k: answer.getheader(k) for k in HEADERS if answer.getheader(k)}
    finally:
        connection.close()
    return answer.status, kept, data


def plain(answer, address):
    """What two registries must agree on: no ports, session names or wording."""
    status, headers, data = answer
    if headers.get("content-type", "").startswith("application/json"):
        try:
            document = json.loads(data)
            if "errors" in document:
                data = [e["code"] for e in document["errors"]]
                headers = {k: v for k, v in headers.items() if k != "content-length"}
            else:
                data = document
                headers = {k: v for k, v in headers.items() if k != "content-length"}
        except ValueError:
            pass
    if "location" in headers:
        text = headers["location"].replace(address, "HOST")
        text = re.sub(r"uploads/[0-9a-f-]{36}\?.*", "uploads/SESSION", text)
        headers = {**headers, "location": text}
    if status == 206 and "multipart" in headers.get("content-type", ""):
        headers, data = {"content-type": "multipart"}, None
    return status, headers, data


@pytest.fixture(scope="module")
def both(memory, images):
    need("docker-registry", "skopeo")
    real = DockerRegistry(memory / "likeness")
    with EmulatorProcess("distribution") as emu:
        for server in (real, emu):
            images.multi.push(server.address, "team/app")
            images.single.push(server.address, "team/app")
        yield real.address, emu.address
    real.stop()


def same(both, method, path, body=None, headers=()):
    one, two = (plain(ask(a, method, path, body, headers), a) for a in both)
    assert two == one
    return one


def test_probe(both):
    assert same(both, "GET", "/v2/")[0] == 200
    assert same(both, "GET", "/v2")[0] == 301


@pytest.mark.parametrize("path", [
    "/v2/nosuch/tags/list", f"/v2/nosuch/manifests/{NONE}", "/v2/nosuch/manifests/x",
    f"/v2/team/app/blobs/{NONE}", "/v2/team/app/manifests/nosuch",
    "/v2/team/app/tags/list", "/v2/team/app/tags/list?n=1", "/v2/_catalog",
    "/v2/_catalog?n=1", "/v2/_catalog?n=x", f"/v2/team/app/referrers/{NONE}",
    f"/v2/team/app/blobs/uploads/{'0' * 8}-0000-4000-8000-000000000000"])
def test_get(both, path):
    same(both, "GET", path)


@pytest.mark.parametrize("accept", [INDEX, MANIFEST, "*/*", "application/json", None])
@pytest.mark.parametrize("tag", ["multi", "1.4"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_manifests(both, accept, tag, method):
    headers = {"Accept": accept} if accept else {}
    same(both, method, f"/v2/team/app/manifests/{tag}", None, headers)


def test_not_modified(both, images):
    same(both, "GET", "/v2/team/app/manifests/1.4", None,
         {"Accept": MANIFEST, "If-None-Match": f'"{images.single.digest}"'})


@pytest.mark.parametrize("wanted", [
    None, "bytes=0-9", "bytes=10-", "bytes=-5", "bytes=99999999-", "bytes=5-1", "x=1-2",
    "bytes=0-1,4-5", "bytes=0-99999999"])
def test_ranges(both, images, wanted):
    digest = images.single.document()["config"]["digest"]
    headers = {"Range": wanted} if wanted else {}
    same(both, "GET", f"/v2/team/app/blobs/{digest}", None, headers)


def test_head_blob(both, images):
    digest = images.single.document()["config"]["digest"]
    same(both, "HEAD", f"/v2/team/app/blobs/{digest}")


def test_no_delete(both, images):
    same(both, "DELETE", f"/v2/team/app/manifests/{images.single.digest}")
    same(both, "DELETE", f"/v2/team/app/blobs/{images.single.blobs().popitem()[0]}")


def test_upload(both):
    """POST, PATCH, PUT; and the ways in which they are refused."""
    data = b"hello world"
    for address in both:
        start = ask(address, "POST", "/v2/new/blobs/uploads/")
        assert (start[0], start[1]["range"]) == (202, "0-0")
        where = start[1]["location"].split(address)[1]
        sent = ask(address, "PATCH", where, data,
                   {"Content-Type": "application/octet-stream"})
        assert (sent[0], sent[1]["range"]) == (202, "0-10")
        after = sent[1]["location"].split(address)[1]
        done = ask(address, "PUT", f"{after}&digest={sha256(data)}")
        assert done[0] == 201
        assert done[1]["docker-content-digest"] == sha256(data)
        assert ask(address, "GET", f"/v2/new/blobs/{sha256(data)}")[2] == data


@pytest.mark.parametrize("query", ["", f"&digest={NONE}", "&digest=nonsense"])
def test_bad_put(both, query):
    answers = []
    for address in both:
        where = ask(address, "POST", "/v2/new/blobs/uploads/")[1]["location"]
        path = where.split(address)[1] + query
        answers.append(plain(ask(address, "PUT", path, b"x"), address))
    assert answers[0] == answers[1]


def test_stale_state(both):
    answers = []
    for address in both:
        where = ask(address, "POST", "/v2/new/blobs/uploads/")[1]["location"]
        path = where.split(address)[1]
        ask(address, "PATCH", path, b"abc",
            {"Content-Type": "application/octet-stream"})
        answers.append([plain(ask(address, m, path), address)[0]
                        for m in ("GET", "GET")])
    assert answers[0] == answers[1] == [404, 404]


def test_mount(both, images):
    digest = images.single.document()["config"]["digest"]
    query = f"mount={digest}&from=team/app"
    assert same(both, "POST", f"/v2/third/blobs/uploads/?{query}")[0] == 201
    query = f"mount={NONE}&from=team/app"
    assert same(both, "POST", f"/v2/third/blobs/uploads/?{query}")[0] == 202


@pytest.mark.parametrize("body, kind", [
    (b"{", MANIFEST), (b"[]", MANIFEST),
    (json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "config": {
        "mediaType": "x/y", "size": 2, "digest": NONE}}).encode(), MANIFEST)])
def test_bad_manifests(both, body, kind):
    same(both, "PUT", "/v2/team/app/manifests/bad", body, {"Content-Type": kind})
