# SPDX-License-Identifier: Apache-2.0
"""Whom the daemon talks to, what it says there, and what it keeps to itself."""
import base64
import json
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from emulator.world import World
from logins import auth_file
from tools import errno_of, read_file, run

OWN = "registry3.example.com:5000"
OWN_PLACES = {OWN, "auth.example.com:443", "s3.example.com:443"}
OFF = "ghcr.io"


def digest_of(path):
    return os.getxattr(path, "user.oci.digest").decode()


@pytest.fixture(scope="module")
def stage(tmp_path_factory, images):
    """A world of a registry that is listed and one that is not, for all tests."""
    world = World(tmp_path_factory.mktemp("stage") / "world")
    try:
        world.own, world.off = world.add(OWN), world.add(OFF)
        images.single.fill(world.own, "team/app")
        images.single.fill(world.off, "o/app")
        yield world
    finally:
        world.stop()


@pytest.fixture
def net(stage):
    """The same, as it was in the beginning."""
    for emu in (stage.own, stage.off):
        emu.clear_faults()
        emu.call("clear_log")
        emu.call("expire", what=["tokens"])
        emu.set(users={"jo": "secret"}, auth="bearer", challenge=None,
                registry_tokens={})
    stage.own.set(realm="https://auth.example.com/token", redirect=307, access=[
        {"repo": ".*", "user": "jo", "actions": ["pull", "push", "delete"]}])
    stage.contacts.clear()
    yield stage
    stage.check()


@pytest.fixture
def two(net, mount, tmp_path):
    """two(option=…) -> (listed registry, one off the list, mount of all hosts)"""
    def go(auths=None, **options):
        path = auth_file(tmp_path / "auth.json", auths or {OWN: ("jo", "secret")})
        options.setdefault("allow", OWN)
        options.setdefault("timeout", 3)
        m = mount(authfile=path, env=net.env, cert_dir=net.cert_dir, **options)
        return net.own, net.off, m
    return go


# -- the allow list ------------------------------------------------------------------

def test_nobody_off_the_list(two, net, tmp_path):
    """Whatever users do, no connection goes to a host off the list."""
    own, off, m = two(allow_delete=True)
    there, here = m / f"{OFF}/o/app", m / f"{OWN}/team/app"
    for path in (there.parent.parent, there, there / "_tags/1.4", there / "_manifests",
                 m / f"{OFF}/o/app:1.4", m / "docker.io/library/alpine:3"):
        assert errno_of(os.stat, path) == "EPERM"
        assert errno_of(os.listdir, path) == "EPERM"
    assert errno_of(os.mkdir, there / "_tags/new") == "EPERM"
    assert errno_of(os.symlink, "1.4", there / "_tags/x") == "EPERM"
    assert errno_of(os.rmdir, there / "_tags/1.4") == "EPERM"
    for source, target in ((here / "_tags/1.4", there / "_tags/"),
                           (there / "_tags/1.4", here / "_tags/"),
                           (there / "_tags/1.4", tmp_path / "out")):
        assert run("cp", "-r", source, target, check=False).returncode
    assert errno_of(os.symlink, f"../../../../{OFF}/o/app/_tags/1.4",
                    here / "_tags/y") in ("EPERM", "EXDEV")
    run("cp", "-r", here / "_tags/1.4", tmp_path / "image")
    for directory, _, files in os.walk(m / OWN):
        if "_rootfs" in directory or "_layers" in directory:
            continue
        for name in files:
            read_file(os.path.join(directory, name))
    os.listdir(m.point)
    assert off.log() == []
    assert set(net.contacts) <= OWN_PLACES
    assert net.refused == []


def lead_away(own, images, how):
    """Makes the listed registry name the one that is not."""
    away = f"https://{OFF}/v2/o/app"
    layer = images.single.document()["layers"][0]["digest"]
    if how == "urls":
        document = images.single.document()
        document["layers"][0].update(digest="sha256:" + "7" * 64,
                                     urls=[f"{away}/blobs/{layer}"])
        own.add_manifest("team/app", document, tag="x")
    elif how == "referrer urls":
        document = images.single.document()
        document["subject"] = {
            "mediaType": document["mediaType"], "digest": images.single.digest,
            "size": 1, "urls": [f"{away}/manifests/1.4"]}
        own.add_manifest("team/app", document, tag="x")
    elif how == "link":
        own.fault(path="/tags/list|/_catalog", count=0, headers={
            "Link": f'<{away}/tags/list?last=a>; rel="next"'})
    elif how == "location":
        own.fault(method="POST", path="/uploads/", count=0,
                  headers={"Location": f"{away}/blobs/uploads/1"})
    else:
        own.set(challenge=[f'Bearer realm="https://{OFF}/token",service="{OFF}"'])


@pytest.mark.parametrize("how", ["urls", "referrer urls", "link", "location", "realm"])
def test_led_away(two, net, images, how):
    """A listed registry cannot make us ask another for it, but by a redirect."""
    own, off, m = two()
    lead_away(own, images, how)
    repo = m / f"{OWN}/team/app"
    for tag in ("1.4", "x"):
        for path in ("blobs/sha256/" + "7" * 64, "referrers", "index.json"):
            errno_of(os.listdir if path == "referrers" else read_file,
                     repo / "_tags" / tag / path)
    errno_of(os.listdir, repo / "_tags")
    errno_of(os.listdir, m / OWN)
    run("mkdir", "-p", repo / "_blobs", check=False)
    config = "sha256:" + "8" * 64
    errno_of((repo / "_blobs" / config).write_bytes, b"x")
    document = images.multi.document()["manifests"][0]["digest"]
    errno_of((repo / "_blobs" / document).write_bytes, images.multi.data(document))
    assert off.log() == []
    assert set(net.contacts) <= OWN_PLACES and net.refused == []


def test_redirect_takes_nothing_along(two, net):
    """A redirect of a listed one is followed, without anything of ours."""
    own, off, m = two(auths={OWN: ("jo", "secret"), OFF: ("jo", "other")})
    layer = json.loads(read_file(m / f"{OWN}/team/app/_tags/1.4/manifest.json"))
    digest = layer["layers"][0]["digest"]
    own.fault(path=f"/blobs/{digest}", count=0, redirect={
        "status": 307, "url": f"https://{OFF}/v2/o/app/blobs/{digest}"})
    off.set(auth="none")
    assert len(read_file(m / f"{OWN}/team/app/_blobs/{digest}")) == \
        layer["layers"][0]["size"]
    assert off.log() and all("authorization" not in e["headers"] for e in off.log())


def test_reason(two):
    """EPERM has a line in errors, of the host and of the repository."""
    own, off, m = two(allow=f"{OWN}/team/*")
    assert errno_of(os.stat, m / f"{OFF}/o/app/_tags/1.4") == "EPERM"
    assert errno_of(os.stat, m / f"{OWN}/other/app/_tags/1.4") == "EPERM"
    assert errno_of(os.stat, m / f"{OWN}/team/_tags/1.4") == "EPERM"
    assert os.listdir(m / f"{OWN}/team")
    lines = m.status("errors").splitlines()
    assert all("is not on the allow list" in row and " EPERM 0 " in row for row in lines)
    assert [row.split()[3] for row in lines] == [
        f"{OFF}/:", f"{OWN}/other:", f"{OWN}/team/_tags/1.4:"]


def test_others_see_what_has_credentials(two, net):
    """allow_other without a list: registries with a stored credential."""
    own, off, m = two(allow_other=True, allow=False)
    assert digest_of(m / f"{OWN}/team/app/_tags/1.4")
    assert errno_of(os.stat, m / f"{OFF}/o/app/_tags/1.4") == "EPERM"
    assert "with allow_other" in m.status("errors")
    assert off.log() == []


def test_crawler_pushes_nothing_out(two):
    """Our own refusals have a few lines only, and none in the log."""
    own, _, m = two()
    assert errno_of(os.stat, m / f"{OWN}/team/app/_tags/none") == "ENOENT"
    own.fault(path="/manifests/broken", status=500, count=0)
    assert errno_of(os.stat, m / f"{OWN}/team/app/_tags/broken") == "EIO"
    for i in range(300):
        assert errno_of(os.stat, m / f"r{i}.example.com") == "EPERM"
    lines = m.status("errors").splitlines()
    assert any("_tags/broken" in row for row in lines)
    refusals = [row for row in lines if " EPERM " in row]
    assert 0 < len(refusals) <= 16 and "r299.example.com" in refusals[-1]
    assert "r299" not in m.log()


def test_offline_says_so(two, net):
    """ENETDOWN has a reason, and nobody is asked."""
    own, _, m = two()
    assert read_file(m / f"{OWN}/team/app/_tags/1.4/index.json")
    m.restart(offline=True)
    net.contacts.clear()
    assert read_file(m / f"{OWN}/team/app/_tags/1.4/index.json")
    for path in (f"{OWN}/team/app/_tags/2", f"{OWN}/x/_tags/1",
                 f"{OWN}/team/app/_blobs/sha256:" + "1" * 64):
        assert errno_of(os.stat, m / path) == "ENETDOWN"
    lines = m.status("errors").splitlines()
    assert len(lines) == 3 and all("ENETDOWN" in row and "offline" in row
                                   for row in lines)
    assert f"{OWN}/team/app/_tags/2:" in lines[0]
    assert not net.contacts


# -- where answers may lead ------------------------------------------------------------

NEAR = ["http://s3.example.com/x", "https://127.0.0.1/x", "https://localhost/x",
        "https://[::1]/x", "https://169.254.169.254/latest", "https://10.0.0.1/x",
        "https://192.168.1.1:9000/x", "https://[fe80::1]/x", "https://[fd00::1]/x",
        "https://0.0.0.0/x", "https://[::ffff:127.0.0.1]/x"]


@pytest.mark.parametrize("url", NEAR)
def test_redirect_bounds(two, net, url):
    """https stays https, and nothing nearer than the registry is asked, neither
    directly nor through a proxy."""
    own, _, m = two(retries=1)
    digest = json.loads(read_file(m / f"{OWN}/team/app/_tags/1.4/manifest.json"))[
        "layers"][0]["digest"]
    own.fault(path=f"/blobs/{digest}", count=0, redirect={"status": 307, "url": url})
    assert errno_of(read_file, m / f"{OWN}/team/app/_blobs/{digest}") == "EIO"
    assert re.search("leaves https|nearer network", m.status("errors"))
    assert set(net.contacts) <= OWN_PLACES and net.refused == []


REALMS = [*(url.replace("s3", "auth") for url in NEAR), "https://ghcr.io/token",
          "https://example.com.evil.test/token", "https://auth.example.com./token",
          "https://jo@auth.example.com/token", "https://10.0.0.1:5000/token",
          "file:///etc/passwd", "unix:/run/docker.sock", "//", "https://", "token server",
          "https://auth.example.com/\\x0d\\x0aX: y"]


@pytest.mark.parametrize("realm", REALMS)
def test_realm_bounds(two, net, realm):
    """No token server that is not the registry's: EACCES, the reason, and no
    request, least of all with the password."""
    own, off, m = two(retries=1)
    own.set(challenge=[f'Bearer realm="{realm}",service="x"'])
    assert errno_of(os.stat, m / f"{OWN}/team/app/_tags/1.4") == "EACCES"
    assert m.status("errors").count("\n") == 1
    assert "secret" not in m.log()
    assert set(net.contacts) <= {OWN} and net.refused == []
    assert all("authorization" not in e["headers"] for e in own.log())


def test_realm_by_name(two, net, images):
    """A token server of another site, once the user has named its host."""
    own, off, m = two(allow=False)
    own.set(realm=f"https://{OFF}/token",
            challenge=[f'Bearer realm="https://{OFF}/token",service="registry3"'])
    assert errno_of(os.stat, m / f"{OWN}/team/app/_tags/1.4") == "EACCES"
    line = m.status("errors")
    assert f"https://{OFF}/token" in line and "allow=" in line
    assert off.log() == []
    off.set(users={"jo": "secret"})
    m.restart(allow="*")
    assert errno_of(os.stat, m / f"{OWN}/team/app/_tags/1.4") == "EACCES"
    assert off.log() == []
    own.set(registry_tokens={"tok": "jo"})
    off.fault(path="/token", count=0, body='{"token":"tok","expires_in":300}')
    m.restart(allow=f"{OWN} {OFF}")
    assert digest_of(m / f"{OWN}/team/app/_tags/1.4") == images.single.digest
    asked = off.log(path="/token")
    assert asked and asked[0]["headers"]["authorization"].startswith("Basic ")


# -- bad words -------------------------------------------------------------------------

SOUP = {
    "bare commas": [",,, ,", 'Bearer realm="{r}",service="registry3"'],
    "cut": ['Bearer realm="{r}', 'Bearer realm="{r}",service="registry3"'],
    "twice": ['Bearer realm="{r}",realm="https://evil.test/",service="registry3"'],
    "no realm first": ["Bearer", "Basic", 'Bearer realm="{r}",service="registry3"'],
    "escaped": ['Bearer realm="{r}",x="a\\\\"b, Basic c=d",service="registry3"'],
    "many": [f"X{i} y=z" for i in range(40)] + ['Bearer realm="{r}"'],
    "one line": ['Newauth a=b, c="d, e", Basic realm="x", Bearer realm="{r}",'
                 'service="registry3", Negotiate'],
    "token68": ["Negotiate YII=", 'Bearer realm="{r}",service="registry3"'],
    "blanks": ['  Bearer \t realm = "{r}" , service = registry3 '],
}


@pytest.mark.parametrize("name", SOUP)
def test_challenge_soup(two, images, name):
    """Understood, or refused: never answered with the password elsewhere."""
    own, _, m = two()
    own.set(challenge=[c.format(r="https://auth.example.com/token")
                       for c in SOUP[name]])
    result = errno_of(os.stat, m / f"{OWN}/team/app/_tags/1.4")
    assert result is None or name in ("many", "twice"), m.status("errors")
    assert result in (None, "EACCES", "EIO")


@pytest.mark.parametrize("spec", [
    {"html": True}, {"html": True, "status": 401}, {"html": True, "status": 403},
    {"body": '{"token": null}'}, {"body": '{"token": ["x"]}'}, {"body": "[]"},
    {"body": '{"token": "a b"}'}, {"body": '{"token": "a\\r\\nX: y"}'},
    {"body": '{"token": "' + "x" * 70_000 + '"}'}, {"body": "nonsense"}, {"body": ""}])
def test_bad_tokens(two, spec):
    """What is no token is not sent to anybody."""
    own, _, m = two(retries=1)
    own.fault(where="token", count=0, **spec)
    assert errno_of(os.stat, m / f"{OWN}/team/app/_tags/1.4") in ("EIO", "EACCES")
    assert "<html" not in m.status("errors") and m.status("errors").count("\n") == 1
    assert all(e["headers"].get("authorization") is None
               for e in own.log(where="registry"))


def test_lists_with_nulls(two):
    """Nulls and names that are none do not spoil a list."""
    own, _, m = two()
    own.fault(path="/tags/list", count=0, body=json.dumps(
        {"name": None, "tags": [None, "1.4", "", "a/b", "1.4", 7, {}, "x" * 200]}))
    own.fault(path="/_catalog", count=0, body=json.dumps(
        {"repositories": [None, "team/app", "", "../x", "UPPER", 3, "team/app"]}))
    assert os.listdir(m / f"{OWN}/team/app/_tags") == ["1.4"]
    assert [n for n in os.listdir(m / f"{OWN}/team") if n[0] != "_"] == ["app"]
    own.clear_faults()


# -- secrets ---------------------------------------------------------------------------

CANARY = {
    "password": "c4nary-Passw0rd/+ =%", "header": "c4nary-header",
    "identity": "c4nary.identity.token", "environment": "c4nary-environment",
    "key": "c4nary-private-key", "client": "c4nary-client-secret",
    "job": "c4nary-job-token", "stderr": "c4nary-on-stderr",
}
KEY = json.dumps({"type": "service_account", "private_key": CANARY["key"]})


def spellings(word):
    """A secret as it may be written somewhere."""
    forms = {word, quote(word, safe=""), quote(word), json.dumps(word)[1:-1]}
    for before in ("", "x", "xx", "jo:", "_json_key:", "app-id:", "gitlab-ci-token:"):
        code = base64.b64encode((before + word).encode()).decode()
        forms.add(code[4:-4].rstrip("="))
    return {f.encode() for f in forms if len(f) > 7}


def found(data, words):
    return [w for w in words if any(form in data for form in spellings(CANARY[w]))]


HELPER = """#!/bin/sh
cat > /dev/null
echo {stderr} >&2
tr '\\0' '\\n' < /proc/$$/environ > {dump}
tr '\\0' '\\n' < /proc/$$/cmdline >> {dump}
echo '{{"Username":"<token>","Secret":"{identity}"}}'
"""


@pytest.fixture
def helper(tmp_path):
    """(name, file with what it was given): a docker-credential-… helper"""
    folder = Path("/usr/local/bin") if os.geteuid() == 0 else tmp_path
    name = f"rfs-canary-{os.getpid()}"
    script, dump = folder / f"docker-credential-{name}", tmp_path / "dump"
    script.write_text(HELPER.format(dump=dump, stderr=CANARY["stderr"],
                                    identity=CANARY["identity"]))
    script.chmod(0o755)
    yield name, dump, folder
    script.unlink()


@pytest.fixture
def cage(world, mount, images, tmp_path, helper):
    """Five registries with five kinds of credentials, one mount with all."""
    name, dump, folder = helper
    emus = {host: world.add(host) for host in (
        OWN, "team.azurecr.io", "gcr.io", "registry.gitlab.com", "ghcr.io", "quay.io",
        "mirror.example.com")}
    for emu in emus.values():
        images.single.fill(emu, "team/app")
        emu.set(anonymous_pull=False, access=[])
    images.single.fill(emus["mirror.example.com"], "library/app")
    emus[OWN].set(users={"jo": CANARY["password"]})
    emus["team.azurecr.io"].set(users={"app-id": CANARY["client"]})
    emus["gcr.io"].set(users={"_json_key": KEY})
    emus["registry.gitlab.com"].set(users={"gitlab-ci-token": CANARY["job"]})
    emus["ghcr.io"].set(identity_tokens={CANARY["identity"]: "jo"})
    emus["quay.io"].set(users={"jo": CANARY["environment"]})
    authfile = auth_file(
        tmp_path / "auth.json", {OWN: ("jo", CANARY["password"])},
        credHelpers={"ghcr.io": name}, HttpHeaders={"X-Meta": CANARY["header"]})
    key = tmp_path / "key.json"
    key.write_text(KEY)
    mirrors = tmp_path / "registries.conf"
    mirrors.write_text(f'[[registry]]\nprefix = "{OWN}"\n[[registry.mirror]]\n'
                       'location = "mirror.example.com"\n')
    code = base64.b64encode(f"jo:{CANARY['environment']}".encode()).decode()
    env = {**world.env, "PATH": f"{folder}:{os.environ['PATH']}",
           "DOCKER_AUTH_CONFIG": json.dumps({"auths": {"quay.io": {"auth": code}}}),
           "GOOGLE_APPLICATION_CREDENTIALS": str(key), "AZURE_TENANT_ID": "tenant",
           "AZURE_CLIENT_ID": "app-id", "AZURE_CLIENT_SECRET": CANARY["client"],
           "CI_REGISTRY": "registry.gitlab.com", "CI_REGISTRY_USER": "gitlab-ci-token",
           "CI_REGISTRY_PASSWORD": CANARY["job"],
           "CONTAINERS_REGISTRIES_CONF": str(mirrors)}
    m = mount(authfile=authfile, env=env, cert_dir=world.cert_dir, log_level="debug",
              timeout=5)
    return emus, m, dump


OWNERS = {"password": {OWN}, "client": {"team.azurecr.io"}, "key": {"gcr.io"},
          "job": {"registry.gitlab.com"}, "identity": {"ghcr.io"},
          "environment": {"quay.io"}, "stderr": set()}


def everything_written(m):
    """(name, bytes) of all that the daemon showed or left behind."""
    about = m.point / ".registryfs"
    for folder, _, files in os.walk(about):
        for path in (os.path.join(folder, name) for name in files):
            if not os.path.basename(path).startswith("cache"):  # takes orders
                yield path, read_file(path)
    for name in ("cmdline", "comm"):
        yield name, Path(f"/proc/{m.process.pid}/{name}").read_bytes()
    for host in os.listdir(m.point):
        tag = m / host / "team/app/_tags/1.4"
        for name in os.listxattr(tag) if host[0] != "." else ():
            yield f"{tag} {name}", os.getxattr(tag, name)


def use_all(emus, m):
    """Reads, fails, pushes and lists everywhere."""
    for host, emu in emus.items():
        if host == "mirror.example.com":
            continue
        tag = m / host / "team/app/_tags/1.4"
        for name in os.listdir(tag / "blobs/sha256"):
            assert read_file(tag / "blobs/sha256" / name)
        errno_of(os.listdir, m / host)
        errno_of(os.listdir, tag.parent)
        errno_of(os.stat, m / host / "team/app/_tags/none")
        emu.call("expire", what=["tokens", "urls"])
        emu.fault(path="/blobs/|/manifests/", status=503, count=1)
        run("mkdir", "-p", m / host / "team/copy/_tags", check=False)
        run("cp", "-r", tag, m / host / "team/copy/_tags/", check=False)
        emu.set(users={}, identity_tokens={}, anonymous_pull=False)
        emu.call("expire", what=["tokens"])
        emu.fault(where="token", count=0, status=401)
        errno_of(os.stat, m / host / "team/app/_tags/other")


@pytest.mark.limit(90)
def test_secrets_stay_where_they_belong(cage, world, tmp_path):
    """One word per secret, looked for in all that was written, shown or sent."""
    emus, m, dump = cage
    use_all(emus, m)
    told = list(everything_written(m))
    limits = Path(f"/proc/{m.process.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)
    m.unmount()
    told += [("log", m.log().encode())]
    for folder, _, files in os.walk(m.folder):
        for name in files:
            path = Path(folder) / name
            told.append((str(path), path.read_bytes()))
    assert len(told) > 20
    for name, data in told:
        assert found(data, CANARY) == [], name
    for host, emu in emus.items():
        sent = json.dumps(emu.log()).encode()
        theirs = {w for w in OWNERS if host in OWNERS[w]}
        assert set(found(sent, OWNERS)) == theirs, host
        storage = json.dumps(emu.log(where="storage")).encode()
        assert found(storage, CANARY) == [], host
        tokens = json.dumps([e for e in emu.log() if "token" in e["path"]
                             or e["path"] == "/jwt/auth"]).encode()
        assert found(tokens, ["header"]) == [], host
    assert found(json.dumps(emus["mirror.example.com"].log()).encode(), CANARY) == []
    # Helpers have what they would have anyway, but for what is ours to parse.
    given = dump.read_bytes()
    assert b"get" in given and found(given, ["environment", "password", "key"]) == []


def test_no_trace(two, tmp_path):
    """Another user's debugger, and /proc, show nothing of it."""
    own, _, m = two()
    assert digest_of(m / f"{OWN}/team/app/_tags/1.4")
    if subprocess.run(["sh", "-c", "command -v setpriv"], capture_output=True,
                      check=False).returncode or os.geteuid():
        pytest.skip("needs root and setpriv")
    seen = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat",
               f"/proc/{m.process.pid}/environ", check=False)
    assert seen.returncode and not seen.stdout
