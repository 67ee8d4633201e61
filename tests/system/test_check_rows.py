# SPDX-License-Identifier: Apache-2.0
"""registryfs check: what its rows say of reading and writing."""

import pytest

from checking import app, check, env, home, SECRET, writes
from registry import free_port

# -- reading ---------------------------------------------------------------------------

@pytest.mark.parametrize("profile,works,says", [
    ("distribution", "yes", "1 repositories, by /v2/_catalog"),
    ("hub", "no", "does not list"), ("hub-list", "yes", "1 repositories in team, by its"),
    ("gitlab-list", "yes", "1 repositories in team, by its"),
    ("ghcr", "no", "does not list")])
def test_catalogue(app, check, profile, works, says):
    emu = app(profile)
    got = check(emu.app, "--no-push")
    assert got.status == 0, got.text
    assert got.works("catalogue") == works and says in got.seen("catalogue")


def test_tags_in_pages(app, check, images):
    emu = app("distribution3", "tags_max=2")
    for n in range(4):
        images.single.fill(emu, "team/app", f"t{n}")
    got = check(emu.app)
    assert "2 on the first page" in got.seen("tags") and got.works("tags") == "yes"
    assert "one page" in check(app().app).seen("tags")


@pytest.mark.parametrize("settings,works,says", [
    ((), "yes", "without a GET"), (("digest_header=false",), "no", "gives no digest"),
    (("head_manifest=405",), "no", "405")])
def test_head(app, check, images, settings, works, says):
    got = check(app("distribution", *settings).app)
    assert got.status == 0 and got.works("head") == works
    assert says in got.seen("head") and got.works("manifest") == "yes"


def test_absent_tag(app, check):
    got = check(app().app + ":nope")
    assert got.status == 4 and got.works("manifest") == "no"
    assert "there is no nope" in got.seen("head")
    assert got.works("tags") == "yes" and got.works("blob") == "unknown"


def test_lying_manifest(app, check, images):
    emu = app()
    emu.fault(path="/manifests/sha256", method="GET", count=0, flip=9)
    got = check(f"{emu.app}@{images.single.digest}")
    assert got.status == 4 and got.works("manifest") == "no"


def test_lying_blob(app, check):
    emu = app()
    emu.fault(path="/blobs/sha256", method="GET", count=0, flip=3)
    got = check(emu.app)
    assert got.status == 4 and got.works("blob") == "no"
    assert "other bytes" in got.seen("blob")


def test_blob_is_checked(app, check, images):
    got = check(app().app)
    config = images.single.document()["config"]
    assert f"{config['digest'][:19]}, {config['size']} bytes, checked" in got.seen("blob")


@pytest.mark.parametrize("settings,works,says", [
    ((), "yes", "512 bytes at"), (("ranges=false",), "no", "read whole")])
def test_ranges(app, check, settings, works, says):
    emu = app("distribution", *settings)
    got = check(emu.app)
    assert got.status == 0 and got.works("ranges") == works
    assert says in got.seen("ranges")


def test_lying_range(app, check):
    emu = app()
    emu.fault(range="bytes=", count=0, headers={"Content-Range": "bytes 0-511/9999"})
    got = check(emu.app)
    assert got.status == 4 and got.works("ranges") == "no"
    assert "Content-Range" in got.seen("ranges")


def test_redirect(app, check):
    emu = app("redirect")
    got = check(emu.app)
    assert got.status == 0 and got.works("redirect") == "yes"
    assert got.seen("redirect").endswith(f"http://localhost:{emu.ports['storage']}")
    assert check(app().app).works("redirect") == "no"


def test_redirect_to_nowhere(app, check):
    emu = app()
    port = free_port()
    emu.fault(path="/blobs/", count=0, redirect={
        "status": 307, "url": f"http://127.0.0.1:{port}/x?X-Amz-Signature={SECRET}"})
    got = check(emu.app, "--timeout=2", "--retries=1")
    assert got.status == 4 and got.works("redirect") == "no"
    assert f"http://127.0.0.1:{port}" in got.seen("redirect")
    assert "reachable" in got.advice("redirect")


@pytest.mark.parametrize("profile,works,says", [
    ("referrers", "yes", "by the API, 0"), ("distribution", "no", "no API; kept under a tag"),
    ("ghcr", "no", "no API")])
def test_referrers(app, check, profile, works, says):
    got = check(app(profile).app, "--no-push")
    assert got.works("referrers") == works and says in got.seen("referrers")


@pytest.mark.parametrize("left,works", [(57, "yes"), (0, "no"), (None, "unknown")])
def test_rate(app, check, left, works):
    emu = app()
    if left is not None:
        emu.fault(path="/manifests/", count=0, headers={
            "ratelimit-limit": "100;w=21600", "ratelimit-remaining": f"{left};w=21600"})
    got = check(emu.app)
    assert got.works("rate limit") == works
    if left is not None:
        assert f"{left} of 100 manifests left in a window of 21600 s" in \
            got.seen("rate limit")
    if left == 0:
        assert "docker login" in got.advice("rate limit")


def test_throttled(app, check):
    emu = app()
    emu.fault(path="/manifests/", count=0, status=429, headers={"Retry-After": "3000"})
    got = check(emu.app, "--timeout=2")
    assert got.status == 4 and got.works("manifest") == "no"
    assert "429" in got.seen("head") and "wait" in got.advice("head")


# -- writing ---------------------------------------------------------------------------

@pytest.mark.parametrize("fault,works,says,advice", [
    (None, "yes", "opened and cancelled", ""),
    (dict(status=405), "no", "405", "takes no uploads"),
    (dict(status=403), "no", "403", "log in"),
    (dict(status=404), "no", "404", "has to be made first"),
    (dict(status=429), "no", "429", "too often"),
    (dict(status=500), "no", "500", "the registry's trouble"),
    (dict(status=202), "no", "where to upload", "")])
def test_push(app, check, fault, works, says, advice):
    emu = app()
    if fault:
        emu.fault(method="POST", count=0, **fault)
    got = check(emu.app, "--timeout=3", "--retries=1")
    assert got.status == 0, got.text
    assert got.works("push") == works and says in got.seen("push")
    assert advice in got.advice("push")


def test_push_not_cancelled(app, check):
    emu = app()
    emu.fault(method="DELETE", path="/uploads/", count=0, status=405)
    got = check(emu.app)
    assert got.works("push") == "yes" and "could not be cancelled" in got.seen("push")
    assert "forgets it by itself" in got.advice("push")


def test_push_to_a_stranger(app, check):
    """Where a registry may not send us, it is not even asked to cancel."""
    emu = app("distribution", "location=elsewhere")
    got = check(emu.app)
    assert got.works("push") == "no" and "upload location" in got.seen("push")
    assert [m for m, _ in writes(emu)].count("DELETE") == 1


@pytest.mark.parametrize("profile", ["gar", "ghcr", "ecr", "acr", "quay", "zot", "nexus"])
def test_push_by_vendor(emulator, check, images, profile):
    emu = emulator(profile)
    images.single.fill(emu, "team/app/web")
    got = check(f"{emu.address}/team/app/web")
    assert got.status == 0, got.text
    assert got.works("push") == "yes" and "cancelled" in got.seen("push"), got.text


@pytest.mark.parametrize("profile,settings,works,says", [
    ("distribution", (), "no", "switched off"),
    ("distribution3", ("delete=true",), "yes", "404"),
    ("bearer", ("anonymous_pull=true",), "no", "401")])
def test_delete(app, check, profile, settings, works, says):
    got = check(app(profile, *settings).app)
    assert got.status == 0 and got.works("delete") == works
    assert says in got.seen("delete")
