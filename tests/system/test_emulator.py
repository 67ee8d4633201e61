# SPDX-License-Identifier: Apache-2.0
"""The emulator against curl and skopeo: the tool must be right before it judges."""
import json
import os
import socket
import time

import pytest

from images import skopeo_env
from registry import make_certificate
from tools import need, run, sha256, wait_until

BLOB = os.urandom(100_000)


def curl(emu, path, *options, port="registry", check=True):
    """curl's verdict: (rc, status, headers and body as bytes)."""
    done = run("curl", "-sS", "-i", "--max-time", "10", *options,
               f"http://127.0.0.1:{emu.ports[port]}{path}", check=check, text=False)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    status = int(head.split()[1]) if head else 0
    return done.returncode, status, head.decode("latin-1"), body


@pytest.fixture
def blob(emu):
    return emu.add_blob("a/b", BLOB)


def test_profiles_take_skopeo(emulator, images, tmp_path):
    """A push and a pull by skopeo, digests unchanged, for each profile."""
    need("skopeo")
    for profile, more in (("distribution", []), ("distribution3", []),
                          ("bearer", ["--dest-creds=jo:secret"]),
                          ("basic", ["--dest-creds=jo:secret"]), ("redirect", [])):
        emu = emulator(profile)
        images.multi.push(emu.address, "x/y", "t", *more)
        creds = [o.replace("dest", "src") for o in more]
        run("skopeo", "copy", "--insecure-policy", "--all", "--src-tls-verify=false",
            *creds, f"docker://{emu.address}/x/y:t", f"oci:{tmp_path / profile}:t",
            env=skopeo_env(tmp_path))
        index = json.loads((tmp_path / profile / "index.json").read_text())
        assert index["manifests"][0]["digest"] == images.multi.digest, profile


def test_schema2_push(emu, images, tmp_path):
    images.single.push(emu.address, "x/y", "t", "--format", "v2s2")
    raw = run("skopeo", "inspect", "--raw", "--tls-verify=false",
              f"docker://{emu.address}/x/y:t", env=skopeo_env(tmp_path)).stdout
    assert json.loads(raw)["mediaType"].endswith("manifest.v2+json")


def test_range(emu, blob):
    _, status, head, body = curl(emu, f"/v2/a/b/blobs/{blob}", "-r", "10-19")
    assert (status, body) == (206, BLOB[10:20])
    assert "Content-Range: bytes 10-19/100000" in head


@pytest.mark.parametrize("lying, rc", [(True, 18), (False, 0)])
def test_range_past_end(emu, blob, lying, rc):
    """2.8 forgets the Content-Length of the whole in its 416; curl sees a cut."""
    emu.set(lying_416=lying)
    got = curl(emu, f"/v2/a/b/blobs/{blob}", "-r", "100000-", check=False)
    assert got[:2] == (rc, 416) and "bytes */100000" in got[2]


def test_several_ranges(emu, blob):
    _, status, head, body = curl(emu, f"/v2/a/b/blobs/{blob}", "-r", "0-1,5-6")
    assert status == 206 and "multipart/byteranges" in head and BLOB[5:7] in body


def test_keep_alive(emu, blob):
    url = f"http://{emu.address}/v2/a/b/blobs/{blob}"
    run("curl", "-sS", "-o", "/dev/null", url, "-o", "/dev/null", url)
    assert emu.call("state")["connections"] == 1


def test_accept_is_checked(emu, images):
    images.single.fill(emu, "a/b")
    _, status, _, body = curl(emu, "/v2/a/b/manifests/1.4")
    assert status == 404 and b"accept header does not support OCI manifests" in body


def test_paging(emulator):
    emu = emulator("distribution3")
    emu.call("many_tags", repo="a", digest="sha256:" + "0" * 64, count=25)
    seen, path = [], "/v2/a/tags/list?n=10"
    while path:
        _, _, head, body = curl(emu, path)
        seen += json.loads(body)["tags"]
        link = [line for line in head.split("\r\n") if line.startswith("Link: <")]
        path = link[0][7:].split(">")[0] if link else None
    assert seen == [f"t{i:06d}" for i in range(25)]


def test_many(emu):
    emu.call("many_repos", count=10_000)
    emu.call("many_tags", repo="a", digest="sha256:" + "0" * 64, count=100_000)
    assert len(json.loads(curl(emu, "/v2/a/tags/list")[3])["tags"]) == 100_000
    assert len(json.loads(curl(emu, "/v2/_catalog?n=1000")[3])["repositories"]) == 1000


def test_bearer_flow(emulator):
    emu = emulator("bearer")
    _, status, head, _ = curl(emu, "/v2/a/tags/list")
    assert status == 401 and 'scope="repository:a:pull"' in head
    url = "/token?service=emulator&scope=repository:a:pull"
    assert curl(emu, url, port="token")[1] == 401
    token = json.loads(curl(emu, url, "-u", "jo:secret", port="token")[3])["token"]
    bearer = ("-H", f"Authorization: Bearer {token}")
    assert curl(emu, "/v2/a/tags/list", *bearer)[1] == 404
    _, status, head, _ = curl(emu, "/v2/b/tags/list", *bearer)
    assert status == 401 and "insufficient_scope" in head
    emu.call("expire", what=["tokens"])
    _, status, head, _ = curl(emu, "/v2/a/tags/list", *bearer)
    assert status == 401 and "invalid_token" in head


def test_revoked_token(emulator):
    """Only the token that came with the request is worthless from then on."""
    emu = emulator("bearer")

    def token():
        path = "/token?service=emulator&scope=repository:a:pull"
        body = curl(emu, path, "-u", "jo:secret", port="token")[3]
        return "-H", f"Authorization: Bearer {json.loads(body)['token']}"

    one, other = token(), token()
    emu.fault(path="/v2/a/", revoke=True)
    statuses = [curl(emu, "/v2/a/tags/list", *t)[1] for t in (one, one, other)]
    assert statuses == [401, 401, 404]


def test_every_address(emulator):
    """One emulator at all addresses of the loopback; a rule can choose one."""
    emu = emulator(host="lo")
    emu.fault(host=r"^127\.3\.2\.1:", count=0, status=503)
    assert curl(emu, "/v2/")[1] == 200
    there = ("--connect-to", f"::127.3.2.1:{emu.ports['registry']}")
    named = ("-H", f"Host: 127.3.2.1:{emu.ports['registry']}")
    assert curl(emu, "/v2/", *there)[1] == 200
    assert curl(emu, "/v2/", *there, *named)[1] == 503


def test_load(emu):
    emu.call("load", repo="a", blobs=["QUJD"], manifests=[["{}", "x/y", "t"]])
    held = emu.call("held", repo="a")
    assert held == {"tags": {"t": sha256(b"{}")}, "manifests": [sha256(b"{}")],
                    "blobs": [sha256(b"ABC")]}


def test_token_post(emulator):
    emu = emulator("bearer", 'identity_tokens={"idt":"jo"}')
    form = ("grant_type=refresh_token&service=emulator&client_id=x"
            "&scope=repository:a:pull&refresh_token=idt")
    body = curl(emu, "/token", "-d", form, port="token")[3]
    token = json.loads(body)["access_token"]
    bearer = ("-H", f"Authorization: Bearer {token}")
    assert curl(emu, "/v2/a/tags/list", *bearer)[1] == 404


def test_redirect_urls(emulator):
    emu = emulator("redirect")
    digest = emu.add_blob("a", BLOB)
    _, status, head, _ = curl(emu, f"/v2/a/blobs/{digest}")
    assert status == 307
    url = [h for h in head.split("\r\n") if h.startswith("Location:")][0].split()[1]
    path = url.split(str(emu.ports["storage"]))[1]
    assert curl(emu, path, "-r", "5-9", port="storage")[3] == BLOB[5:10]
    assert curl(emu, path, "-H", "Authorization: x", port="storage")[1] == 400
    assert curl(emu, path, "-r", "0-1,3-4", port="storage")[1] == 400
    assert curl(emu, path, "-I", port="storage")[1] == 403
    emu.call("expire", what=["urls"])
    assert curl(emu, path, port="storage")[1] == 403


def test_referrers(emulator, images):
    emu = emulator("referrers")
    images.single.fill(emu, "a")
    subject = images.single.descriptor
    emu.add_manifest("a", {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/x-sbom", "subject": subject, "layers": [],
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
                   "digest": sha256(b"{}")}})
    body = curl(emu, f"/v2/a/referrers/{subject['digest']}")[3]
    assert json.loads(body)["manifests"][0]["artifactType"] == "application/x-sbom"
    path = f"/v2/a/referrers/{subject['digest']}?artifactType=none"
    _, _, head, body = curl(emu, path)
    assert "OCI-Filters-Applied" in head and json.loads(body)["manifests"] == []


@pytest.mark.parametrize("spec, rc, status", [
    ({"status": 503, "headers": {"Retry-After": "7"}}, 0, 503),
    ({"drop": "fin"}, 52, 0),
    ({"drop": "rst"}, 56, 0),
    ({"cut": {"at": 1000, "how": "fin"}}, 18, 206),
    ({"cut": {"at": 1000, "how": "rst"}}, 56, 206),
    ({"range_lie": "ignored"}, 0, 200),
    ({"html": True}, 0, 206),
    ({"length": "9999999"}, 18, 206),
    ({"truncate": 10}, 0, 206),
    ({"redirect": {"status": 308, "url": "/elsewhere"}}, 0, 308),
    ({"raw": "SMTP ready\r\n"}, 1, 0),
])
def test_faults(emu, blob, spec, rc, status):
    """curl sees each fault, once, and a good answer after it."""
    emu.fault(path="/blobs/", **spec)
    args = (emu, f"/v2/a/b/blobs/{blob}", "-r", "0-49999")
    got = curl(*args, check=False)
    if "raw" not in spec:
        assert got[1] == status
    assert got[0] == rc
    assert curl(*args)[3] == BLOB[:50000]
    assert emu.hits() == [1]


def test_flip_and_gzip(emu, blob):
    emu.fault(path="/blobs/", flip=50_001)
    emu.fault(path="/blobs/", gzip=True)
    path = f"/v2/a/b/blobs/{blob}"
    body = curl(emu, path, "-r", "50000-50009")[3]
    assert body[0] == BLOB[50_000] and body[1] == BLOB[50_001] ^ 1
    _, _, head, body = curl(emu, path, "-r", "0-9")
    assert "Content-Encoding: gzip" in head and body[:2] == b"\x1f\x8b"


@pytest.mark.parametrize("lie, expect", [
    ("start", "bytes 11-19/100000"), ("end", "bytes 10-20/100000"),
    ("total", "bytes 10-19/100001"), ("unit", "octets 10-19/100000"),
    ("another", "bytes 9-18/100000"), ("short", "bytes 10-14/100000"),
])
def test_range_lies(emu, blob, lie, expect):
    emu.fault(path="/blobs/", range_lie=lie)
    _, status, head, _ = curl(emu, f"/v2/a/b/blobs/{blob}", "-r", "10-19")
    assert status == 206 and f"Content-Range: {expect}" in head


def test_nth_and_count(emu, blob):
    emu.fault(path="/blobs/", nth=2, count=2, status=500)
    codes = [curl(emu, f"/v2/a/b/blobs/{blob}", "-r", "0-0")[1] for _ in range(4)]
    assert codes == [206, 500, 500, 206]


def test_stall_ends_with_client(emu, blob):
    """A stalled answer ends when its client leaves."""
    emu.fault(path="/blobs/", stall={"at": 1000})
    with socket.create_connection(("127.0.0.1", emu.ports["registry"])) as s:
        s.sendall(f"GET /v2/a/b/blobs/{blob} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        emu.wait_log(lambda log: log and log[0]["sent"] == 1000)
        assert emu.log()[0]["end"] is None
    wait_until(lambda: emu.log()[0]["end"] is not None, what="the end")


def test_trickle_and_delay(emu, blob):
    emu.fault(path="/blobs/", trickle={"bytes": 10, "every": 0.05}, delay=0.2)
    start = time.monotonic()
    assert curl(emu, f"/v2/a/b/blobs/{blob}", "-r", "0-49")[3] == BLOB[:50]
    assert time.monotonic() - start > 0.4


def test_listen(emu):
    emu.call("listen", on=False)
    assert curl(emu, "/v2/", check=False)[0] == 7
    emu.call("listen", on=True)
    assert curl(emu, "/v2/")[1] == 200


def test_tls(emulator, tmp_path):
    cert = make_certificate(tmp_path)
    emu = emulator(tls=cert)
    url = f"https://{emu.address}/v2/"
    run("curl", "-sS", "--cacert", cert[0], url)
    assert run("curl", "-sS", url, check=False).returncode == 60
    assert len(emu.log()) == 1


def test_stops_clean(emulator):
    emu = emulator()
    emu.stop()
    assert emu.process.returncode == 0
