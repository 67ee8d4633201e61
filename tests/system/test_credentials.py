# SPDX-License-Identifier: Apache-2.0
"""The credentials that users of each vendor have, and what becomes of them."""
import base64
import json
import os
from urllib.parse import parse_qs

import pytest

from logins import auth_file, basic
from tools import errno_of, read_file, run

KEY = json.dumps({"type": "service_account", "project_id": "proj",
                  "private_key": "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END\n",
                  "client_email": "sa@proj.iam.gserviceaccount.com"}, indent=2) + "\n"
NOBODY = "00000000-0000-0000-0000-000000000000"


def digest_of(path):
    return os.getxattr(path, "user.oci.digest").decode()


@pytest.fixture
def site(world, images):
    """site("gcr.io", "switch=…", repo="proj/app") -> emulator holding REPO:1.4"""
    def go(name, *settings, repo="grp/proj", **more):
        emu = world.add(name, *settings, **more)
        images.single.fill(emu, repo)
        emu.tag = f"{name}/{repo}/_tags/1.4"
        return emu
    return go


@pytest.fixture
def enter(world, mount, tmp_path):
    """enter(emu, {"host": (user, word)}, env={…}) -> a mount of all hosts"""
    def go(auths=None, env=None, **options):
        path = auth_file(tmp_path / "auth.json", auths or {})
        return mount(env={**world.env, **(env or {})}, cert_dir=world.cert_dir,
                     **{"authfile": path, "timeout": 3, **options})
    return go


def users_seen(emu, path=None):
    """Who asked with a password, in all."""
    return {basic(e["headers"]) for e in emu.log(path=path)} - {None}


# -- what is said to who has none ----------------------------------------------------

@pytest.mark.parametrize("profile", ["bearer", "basic"])
def test_reason_of_having_none(mount, emulator, images, profile):
    emu = emulator(profile)
    images.single.fill(emu, "a")
    m = mount(emu, timeout=3)
    assert errno_of(os.stat, m / "a/_tags/1.4") == "EACCES"
    line = m.status("errors").splitlines()[-1]
    assert "EACCES 401" in line and "a/_tags/1.4: " in line
    assert line.split("1.4: ")[1].strip()


def test_new_password_is_found_at_once(mount, emulator, images, tmp_path):
    """The refused one is not: no second attempt until the file changes."""
    emu = emulator("basic")
    images.single.fill(emu, "a")
    path = auth_file(tmp_path / "auth.json", {emu.address: ("jo", "old")})
    m = mount(emu, authfile=path, timeout=3)
    assert errno_of(os.stat, m / "a/_tags/1.4") == "EACCES"
    auth_file(path, {emu.address: ("jo", "secret")})
    assert digest_of(m / "a/_tags/1.4") == images.single.digest


# -- Google --------------------------------------------------------------------------

@pytest.mark.parametrize("user, word", [
    ("_json_key", KEY), ("_json_key_base64", base64.b64encode(KEY.encode()).decode()),
    ("oauth2accesstoken", "ya29.a0-_x")])
def test_google_users(site, enter, images, user, word):
    """Also with a password of many lines; the token server takes no POST."""
    emu = site("gcr.io", repo="proj/app", profile=None)
    emu.set(users={user: word}, anonymous_pull=False, challenge_resources=False)
    m = enter({"gcr.io": (user, word)})
    assert digest_of(m / emu.tag) == images.single.digest
    assert users_seen(emu, "/v2/token") == {(user, word)}
    assert not emu.log(method="POST")


@pytest.mark.parametrize("name", ["gcr.io", "europe-docker.pkg.dev"])
def test_google_key_file(site, enter, images, tmp_path, name):
    """$GOOGLE_APPLICATION_CREDENTIALS, at Google's hosts only."""
    emu = site(name, repo="proj/repo/app")
    other = site("registry.example.com", repo="a")
    emu.set(users={"_json_key": KEY}, anonymous_pull=False)
    path = tmp_path / "key.json"
    path.write_text(KEY)
    m = enter(env={"GOOGLE_APPLICATION_CREDENTIALS": str(path)})
    assert digest_of(m / emu.tag) == images.single.digest
    assert users_seen(emu) == {("_json_key", KEY)}
    assert errno_of(os.stat, m / other.tag) == "EACCES"
    assert not users_seen(other)
    # Who has logged in means that.
    emu.set(users={"_json_key": "new"})
    path.write_text(KEY.replace("sa@", "other@"))
    emu.set(users={"_json_key": path.read_text()})
    emu.call("expire", what=["tokens"])
    assert read_file(m / emu.tag / "config.json")


@pytest.mark.parametrize("text, said", [
    ('{"type": "authorized_user", "refresh_token": "c4nary"}', "service_account"),
    ('{"type": "external_account", "x": "c4nary"}', "service_account"),
    ("c4nary", "no key file"), ("{}", '"type"'), (None, "does not exist")],
    ids=["user", "external", "rubbish", "empty", "absent"])
def test_google_other_keys(site, enter, images, tmp_path, text, said):
    """Said once, and the public stays readable."""
    emu = site("gcr.io", repo="proj/app")
    path = tmp_path / "key.json"
    if text:
        path.write_text(text)
    m = enter(env={"GOOGLE_APPLICATION_CREDENTIALS": str(path)})
    assert digest_of(m / emu.tag) == images.single.digest
    assert read_file(m / emu.tag / "config.json")
    lines = [row for row in m.log().splitlines() if str(path) in row]
    assert len(lines) == 1 and said in lines[0]
    assert "c4nary" not in m.log()


# -- Azure ---------------------------------------------------------------------------

REFRESH = "eyJh.eyJj.sig-_"


@pytest.mark.parametrize("auth", [
    ("jo", "secret"),
    {"identitytoken": REFRESH, "auth": base64.b64encode(f"{NOBODY}:".encode()).decode()},
    (NOBODY, REFRESH)])
def test_azure_forms(site, enter, images, auth):
    """A password by GET; a refresh token by POST only, under whatever name."""
    emu = site("team.azurecr.io", "token_jwt=4500")
    emu.set(identity_tokens={REFRESH: "jo"}, anonymous_pull=False)
    m = enter({"team.azurecr.io": auth})
    assert digest_of(m / emu.tag) == images.single.digest
    if auth != ("jo", "secret"):
        assert not users_seen(emu) and emu.log(method="POST", path="/oauth2/token")
    # No expires_in: the token itself says how long it is good.
    page = m.status("hosts/team.azurecr.io")
    left = [row for row in page.splitlines() if row.startswith("tokens")][0]
    assert any(f" {n} s" in left for n in range(4400, 4501)), left


def test_azure_service_principal(site, enter, images):
    """The environment of a CI job: as a password, at Azure's registries only."""
    emu = site("team.azurecr.io")
    other = site("registry.example.com", repo="a")
    emu.set(users={"app-id": "app-secret"}, anonymous_pull=False)
    m = enter(env={"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "app-id",
                   "AZURE_CLIENT_SECRET": "app-secret"})
    assert digest_of(m / emu.tag) == images.single.digest
    assert users_seen(emu) == {("app-id", "app-secret")}
    assert errno_of(os.stat, m / other.tag) == "EACCES"
    assert not users_seen(other)


@pytest.fixture
def workload(site, world, tmp_path):
    """(emulator of a registry and its log-in, environment, token file)"""
    emu = site("team.azurecr.io", "vendor=entra", "token_here=/oauth2/.*",
               hosts={"team.azurecr.io": "registry",
                      "login.microsoftonline.com": "token",
                      "weumanaged1.blob.core.windows.net": "storage"})
    world.trust("login.microsoftonline.com")
    path = tmp_path / "token"
    path.write_text("assertion-1\n")
    emu.set(entra={"tenant app-id assertion-1": "jo"}, anonymous_pull=False)
    return emu, {"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "app-id",
                 "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
                 "AZURE_FEDERATED_TOKEN_FILE": str(path)}, path


def test_azure_workload_identity(workload, enter, images):
    """Assertion -> Entra -> /oauth2/exchange -> refresh token, once; and again
    with a new assertion when the registry does not take it any more."""
    emu, env, path = workload
    m = enter(env=env)
    assert digest_of(m / emu.tag) == images.single.digest
    for digest in images.single.blobs():
        assert read_file(m / emu.tag / "blobs/sha256" / digest[7:])
    assert len(emu.log(path="/oauth2/exchange")) == 1
    assert len(emu.log(path="/tenant/oauth2/v2.0/token")) == 1
    path.write_text("assertion-2\n")
    emu.set(entra={"tenant app-id assertion-2": "jo"}, identity_tokens={})
    emu.call("expire", what=["tokens"])
    images.multi.fill(emu, "grp/proj", "2")
    assert digest_of(m / "team.azurecr.io/grp/proj/_tags/2") == images.multi.digest
    assert len(emu.log(path="/oauth2/exchange")) == 2
    assert "assertion" not in m.log()


def test_azure_workload_refused(workload, enter, images):
    """The reason is said; what is public can be read in nobody's name."""
    emu, env, path = workload
    path.write_text("assertion-3")
    m = enter(env=env)
    assert errno_of(os.stat, m / emu.tag) == "EACCES"
    assert "AADSTS700213" in m.log() and "assertion-3" not in m.log()
    asked = len(emu.log(path="/tenant/"))
    emu.set(anonymous_pull=True)
    assert digest_of(m / emu.tag) == images.single.digest
    assert len(emu.log(path="/tenant/")) == asked == 1
    assert errno_of(os.mkdir, m / "team.azurecr.io/grp/proj/_tags/new") is None
    assert errno_of((m / "team.azurecr.io/grp/proj/_blobs" / (
        "sha256:" + "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    ).write_bytes, b"") == "EACCES"


# -- GitLab ---------------------------------------------------------------------------

def test_gitlab_job(site, enter, images):
    """A CI job's variables, at the job's registry only and after log-ins."""
    emu = site("registry.gitlab.com")
    other = site("registry.example.com", repo="a")
    emu.set(users={"gitlab-ci-token": "job-token"}, anonymous_pull=False)
    env = {"CI_REGISTRY": "registry.gitlab.com", "CI_REGISTRY_USER": "gitlab-ci-token",
           "CI_REGISTRY_PASSWORD": "job-token"}
    m = enter(env=env)
    assert "registry.gitlab.com" in os.listdir(m.point)
    assert digest_of(m / emu.tag) == images.single.digest
    assert errno_of(os.stat, m / other.tag) == "EACCES"
    assert not users_seen(other)
    m = enter({"registry.gitlab.com": ("jo", "mine")}, env=env)
    assert errno_of(os.stat, m / emu.tag) == "EACCES"
    assert ("jo", "mine") in users_seen(emu)


def test_gitlab_forbidden(site, enter):
    """403 of jwt/auth: EACCES with GitLab's words, not asked for ever."""
    emu = site("registry.gitlab.com")
    emu.set(anonymous_pull=False)
    m = enter({"registry.gitlab.com": ("jo", "wrong")})
    assert errno_of(os.stat, m / emu.tag) == "EACCES"
    assert len(emu.log()) < 10
    assert "jwt/auth" in m.status("errors") or "gitlab.com" in m.status("errors")


@pytest.mark.parametrize("count, expected", [(1, None), (0, "EACCES")])
def test_gitlab_under_load(site, enter, count, expected):
    """404 of jwt/auth: once more, then it is an answer."""
    emu = site("registry.gitlab.com")
    emu.fault(where="token", count=count, status=404, body=json.dumps(
        {"errors": [{"code": "NAME_UNKNOWN", "message": "not found"}]}))
    m = enter({"registry.gitlab.com": ("jo", "secret")})
    assert errno_of(os.stat, m / emu.tag) == expected
    assert len(emu.log(where="token")) <= 4


def test_last_scope_only(site, enter, images):
    """A token for two repositories is not to be had: the blob is moved."""
    emu = site("registry.gitlab.com", "token_scopes=last")
    m = enter({"registry.gitlab.com": ("jo", "secret")}, timeout=10)
    target = m / "registry.gitlab.com/grp/other/_tags"
    run("mkdir", "-p", target)
    run("cp", "-r", m / emu.tag, target)
    assert digest_of(target / "1.4") == images.single.digest


@pytest.mark.parametrize("repo, said", [
    ("grp/proj/a/b/c", "two levels beneath a project"), ("proj", "GROUP/PROJECT")])
def test_gitlab_depth(site, enter, images, repo, said):
    """A name that GitLab refuses for its depth is explained."""
    emu = site("registry.gitlab.com")
    emu.set(access=[{"repo": "[^/]+(/[^/]+){1,3}", "user": "jo",
                     "actions": ["pull", "push"]}], name_min=1, name_max=9)
    m = enter({"registry.gitlab.com": ("jo", "secret")})
    layer = images.single.document()["layers"][0]["digest"]
    target = m / "registry.gitlab.com" / repo / "_blobs"
    run("mkdir", "-p", target)
    assert errno_of((target / layer).write_bytes, images.single.data(layer)) == "EACCES"
    assert said in m.status("errors")
    good = m / "registry.gitlab.com/grp/proj/a/b/_blobs"
    run("mkdir", "-p", good)
    (good / layer).write_bytes(images.single.data(layer))
    assert said not in m.status("errors").splitlines()[-1] or repo in \
        m.status("errors").splitlines()[-1]


# -- GitHub, Amazon's public one, and the others ---------------------------------------

def test_ghcr_refused_password(site, enter, images):
    """403 without a challenge: what is public is read in nobody's name, with one
    line in the log; what changes something stays refused."""
    emu = site("ghcr.io", repo="o/app")
    m = enter({"ghcr.io": ("jo", "revoked")})
    assert digest_of(m / emu.tag) == images.single.digest
    assert read_file(m / emu.tag / "config.json")
    assert m.log().count("refuses the stored credential, trying without") == 1
    config = images.single.document()["config"]["digest"]
    other = m / "ghcr.io/o/new/_blobs"
    run("mkdir", "-p", other)
    assert errno_of((other / config).write_bytes, images.single.data(config)) == "EACCES"
    assert not [e for e in emu.log(where="registry") if e["method"] in ("POST", "PUT")
                and e["status"] < 300]


def test_registry_token(site, enter, images):
    """`registrytoken`: sent as it is, and no token server is asked."""
    emu = site("ghcr.io", 'registry_tokens={"Z2hwX3g=": "jo"}', repo="o/app")
    m = enter({"ghcr.io": {"registrytoken": "Z2hwX3g="}})
    assert digest_of(m / emu.tag) == images.single.digest
    assert {e["headers"].get("authorization") for e in emu.log(path="/v2/o/")} == \
        {"Bearer Z2hwX3g="}
    assert not emu.log(path="/token")


def test_expired_without_challenge(site, enter, images):
    """A token that has ended is 400 at public.ecr.aws, and renewed all the same."""
    emu = site("public.ecr.aws", repo="alias/app")
    m = enter({"public.ecr.aws": ("AWS", "secret")}, tag_ttl=0)
    assert digest_of(m / emu.tag) == images.single.digest
    emu.call("expire", what=["tokens"])
    assert digest_of(m / emu.tag) == images.single.digest
    assert read_file(m / emu.tag / "config.json")
    assert len(emu.log(path="/token/")) == 2


ROBOTS = {
    "harbor.example.com": ("robot$proj+ci", "r0bot/+=", "proj/app"),
    "quay.io": ("ns+robot", "ROBOT", "ns/app"),
    "git.example.com": ("jo", "gitea-token", "jo/app"),
    "nexus.example.com": ("deploy", "pä:ss", "app"),
    "acme.jfrog.io": ("jo@example.com", "identity-token", "docker-local/app"),
    "zot.example.com": ("jo", "secret", "app"),
}


@pytest.mark.parametrize("name", ROBOTS)
def test_robots(site, enter, images, name):
    """Names with $, + and @ as they are; BASIC, and a Basic without a realm."""
    user, word, repo = ROBOTS[name]
    emu = site(name, repo=repo)
    emu.set(users={user: word}, anonymous_pull=False)
    m = enter({name: (user, word)})
    assert digest_of(m / emu.tag) == images.single.digest
    assert users_seen(emu) == {(user, word)}
    asked = [parse_qs(e["target"].partition("?")[2]) for e in emu.log()
             if "account=" in e["target"]]
    assert all(q["account"] == [user] for q in asked)
    assert not emu.log(method="POST")
