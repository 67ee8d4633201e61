# SPDX-License-Identifier: Apache-2.0
"""Challenges, tokens, credentials and where they are found."""
import base64
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from registry import make_certificate
from tools import errno_of, read_file, run, wait_until

USER, WORD = "jo", "secret"


def auth_file(path, address, user=USER, word=WORD, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = {"auth": base64.b64encode(f"{user}:{word}".encode()).decode()}
    path.write_text(json.dumps({"auths": {address: entry}, **more}))
    path.chmod(0o600)
    return path


def tag(m, repo="a"):
    return m / repo / "_tags/1.4"


def digest_of(path):
    return os.getxattr(path, "user.oci.digest").decode()


@pytest.fixture
def start(emulator, images):
    """start("bearer", "switch=value") -> emulator holding a:1.4 and b:1.4"""
    def go(*args):
        emu = emulator(*args)
        images.single.fill(emu, "a")
        images.single.fill(emu, "b")
        return emu
    return go


@pytest.fixture
def login(mount, tmp_path):
    """login(emu, …) -> a mount with the right password at hand"""
    def go(emu, **options):
        path = auth_file(tmp_path / "auth.json", emu.address)
        options.setdefault("authfile", path)
        options.setdefault("timeout", 3)
        return mount(emu, **options)
    return go


@pytest.mark.parametrize("profile", ["bearer", "basic"])
def test_no_credentials(mount, start, profile):
    emu = start(profile)
    m = mount(emu, timeout=3)
    assert errno_of(os.stat, tag(m)) == "EACCES"
    assert len(emu.log()) < 10


@pytest.mark.parametrize("profile", ["bearer", "basic"])
def test_password(login, start, images, profile):
    emu = start(profile)
    m = login(emu)
    assert digest_of(tag(m)) == images.single.digest
    for digest in images.single.blobs():
        assert read_file(tag(m) / "blobs/sha256" / digest[7:])
    assert WORD not in m.log() + m.status("errors") + m.status("status")


def test_wrong_password(mount, start, tmp_path):
    """EACCES; the right one, once there, is found without a new mount."""
    emu = start("bearer")
    path = auth_file(tmp_path / "auth.json", emu.address, word="wrong")
    m = mount(emu, authfile=path, timeout=3)
    assert errno_of(os.stat, tag(m)) == "EACCES"
    auth_file(path, emu.address)
    wait_until(lambda: errno_of(os.stat, tag(m)) is None, 35, "the new password")


def test_anonymous_token(mount, start, images):
    emu = start("bearer", "anonymous_pull=true")
    m = mount(emu)
    assert digest_of(tag(m)) == images.single.digest
    assert all("authorization" not in e["headers"] for e in emu.log(where="token"))


def test_tokens_are_kept(login, start, images):
    """One token per scope, however many requests and readers."""
    emu = start("bearer")
    m = login(emu)
    readers = [subprocess.Popen(["sha256sum", tag(m) / "blobs/sha256" / d[7:]],
                                stdout=subprocess.DEVNULL)
               for d in images.single.blobs() for _ in range(3)]
    assert {r.wait(30) for r in readers} == {0}
    assert len(emu.log(where="token")) <= 2
    os.stat(tag(m, "b"))
    scopes = [e["target"] for e in emu.log(where="token")]
    assert len(scopes) <= 3 and any("repository%3Ab%3Apull" in s or
                                    "repository:b:pull" in s for s in scopes)


@pytest.mark.parametrize("setting", [
    'token_fields=["token"]', 'token_fields=["access_token"]', "expires_in=null",
    "expires_in=1", "token_post=404", "token_padding=8000", "challenge_scope=false",
    "challenge_resources=false", "realm_text=x, y=\\\"z"])
def test_token_variants(login, start, images, setting):
    emu = start("bearer", setting)
    m = login(emu)
    assert digest_of(tag(m)) == images.single.digest
    assert digest_of(tag(m, "b")) == images.single.digest


CHALLENGES = {
    "lower case": ['bearer REALM="{r}",SERVICE="emulator"'],
    "spaces": ['Bearer   realm="{r}" ,  service="emulator"'],
    "two headers": ['Basic realm="x"', 'Bearer realm="{r}",service="emulator"'],
    "two in one": ['Basic realm="a, b", Bearer realm="{r}",service="emulator"'],
    "others first": ['Negotiate, NTLM abc==, Digest realm="d", nonce="n", '
                     'Bearer realm="{r}",service="emulator"'],
    "query in realm": ['Bearer realm="{r}?x=1",service="emulator"'],
    "no service": ['Bearer realm="{r}"'],
}


@pytest.mark.parametrize("name", CHALLENGES)
def test_challenges(login, start, images, name):
    emu = start("bearer")
    realm = f"http://127.0.0.1:{emu.ports['token']}/token"
    emu.set(challenge=[c.format(r=realm) for c in CHALLENGES[name]])
    assert digest_of(tag(login(emu))) == images.single.digest


@pytest.mark.parametrize("realm", [
    "file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/", "", "::",
    "http://169.254.169.254/token", "http://" + "x" * 70_000, "http://a\tb/"])
def test_bad_realms(login, start, realm):
    """Realms that are not to be followed: an error, and no hanging."""
    emu = start("bearer")
    emu.set(challenge=[f'Bearer realm="{realm}",service="emulator"'])
    m = login(emu, timeout=2)
    started = time.monotonic()
    assert errno_of(os.stat, tag(m)) in ("EACCES", "EIO")
    assert time.monotonic() - started < 4


@pytest.mark.parametrize("status, expected", [
    (400, {"EACCES"}), (401, {"EACCES"}), (403, {"EACCES"}), (404, {"EACCES", "EIO"})])
def test_token_server_denies(mount, start, tmp_path, status, expected):
    emu = start("bearer", f"denied_status={status}")
    path = auth_file(tmp_path / "auth.json", emu.address, word="wrong")
    m = mount(emu, authfile=path, timeout=3)
    assert errno_of(os.stat, tag(m)) in expected
    assert len(emu.log()) < 16


@pytest.mark.parametrize("spec, expected", [
    ({"status": 503}, "EIO"), ({"delay": 60}, "ETIMEDOUT"), ({"html": True}, "EIO"),
    ({"body": '{"token":7}'}, "EIO"), ({"drop": "rst"}, "EIO"),
    ({"body": "{}"}, "EIO")])
def test_token_server_broken(login, start, spec, expected):
    """A token server that is broken is no refusal."""
    emu = start("bearer")
    emu.fault(where="token", count=0, **spec)
    m = login(emu, timeout=1)
    result = errno_of(os.stat, tag(m))
    assert result == expected
    emu.clear_faults()
    wait_until(lambda: errno_of(os.stat, tag(m)) is None, 30, "recovery")


def test_insufficient_scope(login, start):
    """A token server that grants less than asked, silently."""
    emu = start("bearer", "token_scopes=none")
    m = login(emu)
    assert errno_of(os.stat, tag(m)) == "EACCES"
    assert len(emu.log()) < 12


def test_scope_denied(login, start, images):
    emu = start("bearer")
    emu.set(access=[{"repo": "a", "user": "jo", "actions": ["pull"]}])
    m = login(emu)
    assert digest_of(tag(m)) == images.single.digest
    assert errno_of(os.stat, tag(m, "b")) == "EACCES"


def test_token_expires_early(login, start, images):
    """A token that dies before its time is renewed."""
    emu = start("bearer")
    m = login(emu, tag_ttl=0)
    assert digest_of(tag(m)) == images.single.digest
    emu.call("expire", what=["tokens"])
    for digest in images.single.blobs():
        assert read_file(tag(m) / "blobs/sha256" / digest[7:])


@pytest.mark.parametrize("expired_status", [401])
def test_token_expires_in_mid_transfer(login, start, images, expired_status):
    emu = start("bearer", f"expired_status={expired_status}")
    images.large.fill(emu, "a")
    layer = images.large.document()["layers"][0]["digest"]
    m = login(emu)
    emu.fault(path="/blobs/", method="GET", nth=2, expire=["tokens"],
              cut={"at": 1000})
    assert read_file(m / f"a/_blobs/{layer}") == images.large.data(layer)


def test_expiry_is_foreseen(login, start, images):
    """expires_in is believed: a token used after it is renewed beforehand."""
    emu = start("bearer", "expires_in=61", "token_lifetime=2")
    m = login(emu, tag_ttl=0)
    assert digest_of(tag(m)) == images.single.digest
    time.sleep(2.5)
    assert digest_of(tag(m)) == images.single.digest


# -- where credentials are found ---------------------------------------------------

PLACES = {
    "docker": lambda m: (m / "h/.docker/config.json", {}),
    "docker config": lambda m: (m / "d/config.json", {"DOCKER_CONFIG": str(m / "d")}),
    "env file": lambda m: (m / "x.json", {"REGISTRY_AUTH_FILE": str(m / "x.json")}),
    "runtime": lambda m: (m / "r/containers/auth.json",
                          {"XDG_RUNTIME_DIR": str(m / "r")}),
    "config": lambda m: (m / "h/.config/containers/auth.json", {}),
}


@pytest.mark.parametrize("place", PLACES)
def test_places(mount, start, images, tmp_path, place):
    emu = start("bearer")
    path, env = PLACES[place](tmp_path)
    auth_file(path, emu.address)
    m = mount(emu, home=tmp_path / "h", env=env)
    assert digest_of(tag(m)) == images.single.digest


def test_longest_path_wins(mount, start, images, tmp_path):
    emu = start("bearer")
    host, word = emu.address, base64.b64encode(b"jo:secret").decode()
    bad = base64.b64encode(b"jo:bad").decode()
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"auths": {host: {"auth": bad},
                                          f"{host}/a": {"auth": word}}}))
    path.chmod(0o600)
    m = mount(emu, authfile=path)
    assert digest_of(tag(m)) == images.single.digest
    assert errno_of(os.stat, tag(m, "b")) == "EACCES"


def test_key_with_scheme(mount, start, images, tmp_path):
    emu = start("bearer")
    path = auth_file(tmp_path / "auth.json", f"https://{emu.address}/v1/")
    assert digest_of(tag(mount(emu, authfile=path))) == images.single.digest


@pytest.mark.parametrize("entry", [
    {"username": "jo", "password": "secret"}, {"identitytoken": "idt", "auth": ""},
    {"identitytoken": "idt", "auth": "PHRva2VuPjo="}, {"registrytoken": "rt"}])
def test_kinds_of_entries(mount, start, images, tmp_path, entry):
    emu = start("bearer", 'identity_tokens={"idt":"jo"}', 'registry_tokens={"rt":"jo"}')
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"auths": {emu.address: entry}}))
    path.chmod(0o600)
    assert digest_of(tag(mount(emu, authfile=path))) == images.single.digest


HELPER = """#!/bin/sh
read server
echo "$1 $server" >> {log}
{action}
"""
SECRET = '{"ServerURL":"x","Username":"%s","Secret":"%s"}'


@pytest.fixture
def helper(mount, tmp_path):
    """helper(emu, action) -> (mount, file of the calls): credentials come from a
    docker-credential-… that does the action.  A daemon of root takes helpers
    only from the system's own folders, so it is put into one for the while."""
    folder = Path("/usr/local/bin") if os.geteuid() == 0 else tmp_path
    name = f"rfs-test-{os.getpid()}"
    script, log = folder / f"docker-credential-{name}", tmp_path / "calls"

    def go(emu, action, **options):
        script.write_text(HELPER.format(log=log, action=action))
        script.chmod(0o755)
        path = tmp_path / "home/.docker/config.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"credHelpers": {emu.address: name}}))
        path.chmod(0o600)
        m = mount(emu, home=tmp_path / "home",
                  env={"PATH": f"{folder}:{os.environ['PATH']}"}, **options)
        return m, log

    yield go
    script.unlink(missing_ok=True)


def test_helper(helper, start, images):
    emu = start("bearer")
    m, log = helper(emu, f"echo '{SECRET % (USER, WORD)}'")
    assert digest_of(tag(m)) == images.single.digest
    assert log.read_text().split("\n")[0] == f"get {emu.address}"


def test_helper_identity_token(helper, start, images):
    emu = start("bearer", 'identity_tokens={"idt":"jo"}')
    m, _ = helper(emu, f"echo '{SECRET % ('<token>', 'idt')}'")
    assert digest_of(tag(m)) == images.single.digest


@pytest.mark.parametrize("action", [
    "echo 'credentials not found in native keychain'; exit 1", "exit 3", "kill -9 $$",
    "echo '{'", "sleep 60", "head -c 10000000 /dev/zero", "head -c 9000 /dev/urandom",
    "head -c 3000000 /dev/zero >&2; exit 1", "echo canary >&2; exit 1"])
@pytest.mark.limit(40)
def test_bad_helpers(helper, start, action):
    """A helper that fails or hangs: EACCES in bounded time, others unharmed."""
    emu = start("bearer")
    m, _ = helper(emu, action, timeout=3)
    started = time.monotonic()
    assert errno_of(os.stat, tag(m)) in ("EACCES", "ETIMEDOUT")
    assert time.monotonic() - started < 13
    assert "canary" not in m.log() and "docker-credential" not in m.status("errors")
    if "native" not in action and not action.startswith("sleep"):
        assert "credential helper rfs-test" in m.log()
        assert "see the log" in m.status("errors")


# -- real servers --------------------------------------------------------------------

def test_tls_and_htpasswd(docker_registry, images, mount, tmp_path):
    """docker-registry with TLS and htpasswd; CA and password as docker has them."""
    server = docker_registry(tls=True, users={USER: WORD})
    images.single.push(server.address, "a", None, "--dest-creds", f"{USER}:{WORD}")
    certs = tmp_path / "certs.d" / server.address
    certs.mkdir(parents=True)
    (certs / "ca.crt").write_bytes(server.tls[0].read_bytes())
    path = auth_file(tmp_path / "auth.json", server.address)
    m = mount(server, authfile=path, cert_dir=tmp_path / "certs.d")
    assert digest_of(tag(m)) == images.single.digest
    for digest in images.single.blobs():
        data = read_file(tag(m) / "blobs/sha256" / digest[7:])
        assert data == images.single.data(digest)


def test_client_certificate(emulator, mount, images, tmp_path):
    """A server that asks for a client certificate, found in certs.d."""
    pair = make_certificate(tmp_path)
    emu = emulator(tls=pair, client_ca=pair[0])
    images.single.fill(emu, "a")
    certs = tmp_path / "certs.d" / emu.address
    certs.mkdir(parents=True)
    (certs / "ca.crt").write_bytes(pair[0].read_bytes())
    without = mount(emu, cert_dir=tmp_path / "certs.d", timeout=2)
    assert errno_of(os.stat, tag(without)) in ("EIO", "EACCES")
    assert emu.log() == []
    (certs / "me.cert").write_bytes(pair[0].read_bytes())
    (certs / "me.key").write_bytes(pair[1].read_bytes())
    m = mount(emu, cert_dir=tmp_path / "certs.d")
    assert digest_of(tag(m)) == images.single.digest


def test_no_secret_on_disk(login, start, images):
    """Nothing the daemon writes holds the password, plain or encoded."""
    emu = start("bearer")
    m = login(emu)
    assert read_file(tag(m) / "manifest.json")
    m.unmount()
    code = base64.b64encode(b"jo:secret").decode()
    found = run("grep", "-rlaE", f"secret|{code}", m.folder / "cache", m.log_path,
                check=False)
    assert found.stdout == ""
