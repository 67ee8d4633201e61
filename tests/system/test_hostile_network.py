# SPDX-License-Identifier: Apache-2.0
"""Whoever we talk to, and whoever is between: rows A1 to A12, A23 to A25."""
import base64
import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mounting
from certificates import BAD, Certificates, serve
from emulator.client import EmulatorProcess
from emulator.world import World
from hostile import Scripted, as_json, tls_server
from images import LAYER, MANIFEST
from logins import auth_file
from registry import free_port
from tools import absent, errno_of, read_file, sha256, timed

OWN, EVIL = "registry3.example.com:5000", "evil.test"
WORD = "c4nary-Passw0rd"
CODE = base64.b64encode(f"jo:{WORD}".encode()).decode()
# Lists to their very end: a hundred thousand names, minutes.
LONG = int(os.environ.get("RFS_HOSTILE_LONG", "0")) and 100_000
REFUSED = ("EIO", "EACCES", "ECONNREFUSED", "EHOSTUNREACH", "ETIMEDOUT", "EBADMSG")


class Stage:
    """One registry that is trusted, a host that catches whatever comes under any
    other name, and one mount for all cases."""

    def __init__(self, folder, images):
        self.world = World(folder / "world")
        self.own = self.world.add(OWN, "redirect=0", "anonymous_pull=false")
        self.own.set(users={"jo": WORD})
        images.single.fill(self.own, "team/app")
        self.names = [EVIL, *CATCHERS]
        tls = tls_server(*self.world.certificate(*self.names, "registry3.example.com"))
        self.trap = Scripted(self.answer, tls=tls)
        self.bait = {}                      # path -> body
        for name in self.names:
            self.world.route(name, self.trap.port)
        self.world.route("registry3.example.com", self.trap.port)
        path = auth_file(folder / "auth.json", {OWN: ("jo", WORD)},
                         HttpHeaders={"X-Meta": "c4nary-header"})
        self.mount = mounting.Mount(folder / "m", authfile=path, timeout=2, retries=1,
                                    allow="*", log_level="debug", **self.world.options)
        self.count = 0

    def answer(self, method, path, headers):
        if path.startswith("/loop/"):
            return 302, {"Location": f"/loop/{int(path[6:]) + 1}"}, b""
        body = self.bait.get(path.rpartition("/")[2])
        if body is None:
            return as_json(404, {"errors": [{"code": "BLOB_UNKNOWN"}]},
                           **{"Set-Cookie": "c4nary-cookie=1"})
        return 200, {"Content-Type": "application/octet-stream"}, body

    def reset(self):
        self.own.clear_faults()
        self.own.call("clear_log")
        self.own.call("expire", what=["tokens"])
        self.own.set(realm="https://auth.example.com/token", challenge=None)
        self.trap.seen.clear()
        self.world.contacts.clear()

    def blob(self):
        """The digest of a new blob, which everybody has."""
        self.count += 1
        data = b"blob %d" % self.count
        digest = self.own.add_blob("team/app", data)
        self.bait[digest] = data
        return digest

    @property
    def repo(self):
        return self.mount / OWN / "team/app"

    def check(self):
        """What was sent elsewhere holds nothing of ours, and nothing is told."""
        sent = json.dumps(self.trap.seen)
        for word in (WORD, CODE, "c4nary-header", "c4nary-cookie"):
            assert word not in sent
        assert all("authorization" not in h and "cookie" not in h
                   for _, _, h in self.trap.seen)
        log = self.mount.log() + self.mount.status("errors")
        assert WORD not in log and CODE not in log
        assert self.mount.process.poll() is None, self.mount.log()[-3000:]
        self.world.check()

    def stop(self):
        try:
            self.mount.finish()
        finally:
            self.mount.destroy()
            self.trap.stop()
            self.world.stop()


CATCHERS = ["s3.evil.test", "cdn.registry3.example.com", "example.com",
            "registry3.example.com.evil.test", "xregistry3.example.com", "other.test"]


@pytest.fixture(scope="module")
def module_stage(tmp_path_factory, images):
    stage = Stage(tmp_path_factory.mktemp("stage"), images)
    yield stage
    stage.stop()


@pytest.fixture
def stage(module_stage):
    module_stage.reset()
    yield module_stage
    module_stage.own.clear_faults()
    module_stage.check()


# -- A1: urls of layers -----------------------------------------------------------------

FOREIGN = ["application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
           "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", LAYER]


@pytest.mark.parametrize("kind", FOREIGN)
def test_a1_urls(stage, images, kind):
    """Nobody is asked there, be it for the blob, the layer or the whole image."""
    document = images.single.document()
    bait = b"bait for " + kind.encode()
    stage.bait[sha256(bait)] = bait
    for part in (document["layers"][0], document["config"]):
        part.update(digest=sha256(bait), size=len(bait), urls=[
            f"https://{EVIL}/v2/x/blobs/{sha256(bait)}", "file:///etc/passwd",
            f"http://{EVIL}/{sha256(bait)}"])
    document["layers"][0]["mediaType"] = kind
    stage.own.add_manifest("team/app", document, tag=f"u{FOREIGN.index(kind)}")
    tag = stage.repo / f"_tags/u{FOREIGN.index(kind)}"
    assert errno_of(read_file, tag / "blobs/sha256" / sha256(bait)[7:]) in (
        "ENOENT", "ESTALE", "EIO")
    for path in ("config.json", "layers/00", "rootfs/etc", "history"):
        errno_of(os.listdir, tag / path)
    assert stage.trap.seen == [] and set(stage.world.contacts) <= {
        OWN, "auth.example.com:443"}


# -- A2: realms ------------------------------------------------------------------------

REALMS = {
    "another": f"https://{EVIL}/token", "port": f"https://{EVIL}:5000/token",
    "sub of another": f"https://registry3.example.com.{EVIL}/token",
    "no sub": "https://xregistry3.example.com.evil.test/token",
    "by http": "http://registry3.example.com:5000/token",
    "user info": "https://registry3.example.com:5000@evil.test/token",
    "backslash": "https://evil.test\\\\@registry3.example.com:5000/token",
    "fragment": "https://evil.test#@registry3.example.com:5000/token",
    "question": "https://evil.test?@registry3.example.com:5000/token",
    "no scheme": "//evil.test/token", "IDN": "https://ex\xe4mple.com/token",
    "full stop": "https://example\u3002com/token".encode().decode("latin-1"),
    "64 KiB": "https://auth.example.com/" + "x" * 60_000,
    "decimal": "https://2130706433/token", "octal": "https://0177.0.0.1/token",
    "hex": "https://0x7f.1/token", "short": "https://127.1/token",
    "zone": "https://[fe80::1%25lo]/token", "mapped": "https://[::ffff:7f00:1]/token",
    "nat64": "https://[64:ff9b::7f00:1]/token", "6to4": "https://[2002:7f00:1::]/token",
    "local name": "https://localhost:5000/token", "data": "data:,{}",
}


@pytest.mark.parametrize("name", REALMS)
def test_a2_realm(stage, name):
    """No password goes where the registry, but not its owner, says."""
    stage.own.set(challenge=[f'Bearer realm="{REALMS[name]}",service="registry3"'])
    assert errno_of(os.stat, stage.repo / f"_tags/realm{len(name)}") in (
        "EACCES", "EIO", "ENOENT") or name == "by http"
    assert stage.trap.seen == []
    # What is too long to be read leaves the token server that was known before.
    assert set(stage.world.contacts) <= {OWN, *(
        ["auth.example.com:443"] if name == "64 KiB" else [])}
    assert all("basic" not in e["headers"].get("authorization", "").lower()
               for e in stage.own.log(where="registry"))
    assert all("problem" not in e or e["problem"] is None for e in stage.own.log())


# -- A3: look-alikes --------------------------------------------------------------------

KEY = json.dumps({"type": "service_account", "private_key": "c4nary-google"})
ALIKE = {
    "gcr.io.evil.test": 0, "evilgcr.io": 0, "gcr.io-evil.test": 0,
    "pkg.dev.evil.test": 0, "xpkg.dev": 0, "team.azurecr.io.evil.test": 0,
    "evilazurecr.io": 0, "azurecr.io.evil.test": 0,
    "111122223333.dkr.ecr.eu-west-1.amazonaws.com.evil.test": 0,
    "111122223333.dkr.ecr.evil.amazonaws.com.evil.test": 0,
    "x111122223333.dkr-ecr.eu-west-1.amazonaws.com.evil.test": 0,
    "public.ecr.aws.evil.test": 0, "registry.gitlab.com.evil.test": 0,
    "evilregistry.gitlab.com.test": 0, "docker.io.evil.test": 0,
    "index.docker.io.evil.test": 0, "ghcr.io.evil.test": 0, "login.test": 5000,
    "xlogin.test": 0, "sub.login.test": 0,
}


@pytest.fixture(scope="module")
def alike(tmp_path_factory):
    """Hosts that are nearly those for which there are credentials."""
    folder = tmp_path_factory.mktemp("alike")
    world = World(folder / "world")
    names = [f"{n}:{p}" if p else n for n, p in ALIKE.items()]
    emu = world.add("trap", profile="basic", hosts={n: "registry" for n in names})
    path = auth_file(folder / "auth.json", {
        "https://index.docker.io/v1/": ("jo", "c4nary-hub"), "ghcr.io": ("jo", WORD),
        "login.test": ("jo", "c4nary-login"), "login.test/team": ("jo", "c4nary-team"),
        "login.test:443/team/application": ("jo", "c4nary-application")})
    key = folder / "key.json"
    key.write_text(KEY)
    env = {**world.env, "GOOGLE_APPLICATION_CREDENTIALS": str(key),
           "AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "app-id",
           "AZURE_CLIENT_SECRET": "c4nary-azure", "AWS_ACCESS_KEY_ID": "AKIAC4NARY",
           "AWS_SECRET_ACCESS_KEY": "c4nary-aws", "AWS_SESSION_TOKEN": "c4nary-session",
           "CI_REGISTRY": "registry.gitlab.com", "CI_REGISTRY_USER": "gitlab-ci-token",
           "CI_REGISTRY_PASSWORD": "c4nary-job"}
    m = mounting.Mount(folder / "m", authfile=path, env=env, timeout=2, retries=1,
                       cert_dir=world.cert_dir)
    yield world, emu, m
    try:
        m.finish()
    finally:
        m.destroy()
        world.stop()


@pytest.mark.parametrize("host", ALIKE)
def test_a3_look_alike(alike, host):
    """Whoever has a similar name gets nothing, and no vendor's API is asked."""
    world, emu, m = alike
    emu.call("clear_log")
    world.contacts.clear()
    place = f"{host}:{ALIKE[host]}" if ALIKE[host] else host
    assert errno_of(os.stat, m / place / "team/app/_tags/1") == "EACCES"
    errno_of(os.listdir, m / place / "team/app/_tags")
    errno_of(os.listdir, m / place)
    assert emu.log()
    assert all("authorization" not in e["headers"] and "x-amz-security-token"
               not in e["headers"] for e in emu.log()), emu.log()
    assert "c4nary" not in json.dumps(emu.log()).lower()
    assert set(world.contacts) <= {f"{host}:{ALIKE[host] or 443}"}
    world.check()


def test_a3_one_service_name(mount, emulator, images, tmp_path):
    """Two registries of one service name, then of one realm, too: what was given
    for one is never seen by the other."""
    one, two = emulator("bearer"), emulator("bearer")
    one.set(users={"jo": "c4nary-one"}, service="same")
    two.set(users={"jo": "c4nary-two"}, service="same")
    for emu in one, two:
        images.single.fill(emu, "a")
    m = mount(timeout=2, retries=1, authfile=auth_file(tmp_path / "auth.json", {
        one.address: ("jo", "c4nary-one"), two.address: ("jo", "c4nary-two")}))
    assert read_file(m.host(one) / "a/_tags/1.4/index.json")
    mine = {e["headers"].get("authorization") for e in one.log(where="registry")}
    mark = one.mark()
    assert os.stat(m.host(two) / "a/_tags/1.4")
    two.set(realm=f"http://127.0.0.1:{one.ports['token']}/token")
    m.restart(tag_ttl=0)
    assert errno_of(os.stat, m.host(two) / "a/_tags/1.4") == "EACCES"
    theirs = {e["headers"].get("authorization") for e in two.log(where="registry")}
    assert mine & theirs <= {None}
    code = base64.b64encode(b"jo:c4nary-one").decode()
    assert code not in json.dumps(two.log()) and code not in json.dumps(one.log(since=mark))


# -- A4: redirects ----------------------------------------------------------------------

PAIRS = {
    "another host": f"https://{EVIL}", "its sub-domain": "https://s3.evil.test",
    "our sub-domain": "https://cdn.registry3.example.com",
    "our parent": "https://example.com", "our name, another port":
    "https://registry3.example.com", "our name as a prefix":
    "https://registry3.example.com.evil.test",
    "our name as a suffix": "https://xregistry3.example.com",
    "upper case": "https://EVIL.TEST", "absolute without scheme": f"//{EVIL}",
}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("pair", PAIRS)
def test_a4_redirect(stage, pair, status):
    """The bytes come, and nothing of ours goes along."""
    digest = stage.blob()
    stage.own.fault(path=f"/blobs/{digest}", count=0, redirect={
        "status": status, "url": f"{PAIRS[pair]}/v2/x/blobs/{digest}"})
    assert read_file(stage.repo / f"_blobs/{digest}") == stage.bait[digest]
    assert stage.trap.seen


@pytest.mark.parametrize("status", [301, 307])
@pytest.mark.parametrize("what", ["token", "tags", "catalogue", "referrers", "ping"])
def test_a4_redirect_of_others(stage, images, what, status):
    """Tokens are not asked for elsewhere; lists, if at all, without a password."""
    where, path, place = {
        "token": ("token", ".", "_tags/none"), "tags": ("registry", "/tags/list", "_tags"),
        "catalogue": ("registry", "/_catalog", "../.."),
        "referrers": ("registry", "/referrers/", "_tags/1.4/referrers"),
        "ping": ("registry", "/v2/$", "_tags/ping")}[what]
    stage.own.fault(where=where, path=path, count=0, redirect={
        "status": status, "url": f"https://{EVIL}/x"})
    result = errno_of(os.listdir, stage.repo / place)
    if what == "token":
        assert result in REFUSED and stage.trap.seen == []


@pytest.mark.parametrize("how", ["to itself", "in a circle", "on and on"])
def test_a4_loop(stage, how):
    digest = stage.blob()
    own = f"https://{OWN}/v2/team/app/blobs/{digest}"
    stage.own.fault(path=f"/blobs/{digest}", count=0, redirect={"url": {
        "to itself": own, "in a circle": f"{own}?x=1",
        "on and on": f"https://{EVIL}/loop/1"}[how]})
    took, result = timed(errno_of, read_file, stage.repo / f"_blobs/{digest}")
    assert result == "EIO" and took < 5
    assert len(stage.own.log(path=digest)) < 20 and len(stage.trap.seen) < 20


# -- A5: no TLS -------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["refused", "speaks http", "says 400"])
def test_a5_no_fallback(stage, emulator, how):
    """A host without TLS is not asked without it, though it would answer."""
    plain = emulator()
    name = f"plain{len(how)}.test"
    stage.world.route(f"{name}:80", plain.ports["registry"])
    stage.world.route(name, free_port() if how == "refused" else plain.ports[
        "registry" if how == "speaks http" else "token"])
    result = errno_of(os.stat, stage.mount / name / "a/_tags/1")
    assert result in REFUSED
    assert f"{name}:80" not in stage.world.contacts
    assert [e for e in plain.log() if e["method"] == "GET"] == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a5_redirect_to_http(stage, status):
    digest = stage.blob()
    stage.own.fault(path=f"/blobs/{digest}", count=0, redirect={
        "status": status, "url": f"http://{EVIL}/v2/x/blobs/{digest}"})
    assert errno_of(read_file, stage.repo / f"_blobs/{digest}") == "EIO"
    assert f"{EVIL}:80" not in stage.world.contacts


# -- A6: other schemes ------------------------------------------------------------------

SCHEMES = ["file:///etc/passwd", "file://localhost/etc/passwd", "ftp://evil.test/x",
           "ftps://evil.test/x", "scp://evil.test/x", "sftp://evil.test/x",
           "dict://evil.test/x", "gopher://evil.test/x", "ldap://evil.test/x",
           "smb://evil.test/x", "smtp://evil.test/x", "imap://evil.test/x",
           "telnet://evil.test/x", "tftp://evil.test/x", "rtsp://evil.test/x",
           "ws://evil.test/x", "unix:///run/docker.sock", "http+unix://%2Frun%2Fx/x",
           "javascript:x", "data:,x", "HTTPS:/evil.test/x", "https:evil.test",
           "https://evil.test:x/", "https://evil.test:99999/", "https://[::1/x",
           "https://evil.test\t/x", "https://ev il.test/x", "blob:https://evil.test/x"]


@pytest.mark.parametrize("url", SCHEMES)
def test_a6_scheme(stage, url):
    digest = stage.blob()
    stage.own.fault(path=f"/blobs/{digest}", count=0, redirect={"url": url})
    assert errno_of(read_file, stage.repo / f"_blobs/{digest}") in REFUSED
    assert stage.trap.seen == []
    assert set(stage.world.contacts) <= {OWN, "auth.example.com:443"}


# -- A7: addresses ----------------------------------------------------------------------

@pytest.mark.limit(60)
def test_a7_rebinding():
    """Names that lead near us, or do so from the second time on: decided by the
    address that was connected to.  In a namespace, where addresses are ours."""
    if os.geteuid() != 0:
        absent("needs root")
    script = Path(__file__).with_name("rebinding.py")
    if subprocess.run(["unshare", "-mn", "true"], capture_output=True, check=False,
                      timeout=10).returncode:
        absent("no namespaces")
    done = subprocess.run(["unshare", "-mn", sys.executable, script],
                          capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cases: 8" in done.stdout


# -- A9: pages without end --------------------------------------------------------------

def endless(kind):
    """A registry whose list has no end: ever new names, or the same again."""
    count = [0]

    def answer(method, path, headers):
        if "/tags/list" not in path and "_catalog" not in path:
            return as_json(200, {}) if path == "/v2/" else as_json(404, {})
        count[0] += 1
        n = 0 if kind.endswith("again") else count[0]
        name = f".{n}" if kind.endswith("without names") else f"t{n}"
        link = {"Link": f'<{path.partition("?")[0]}?last=n{n}&n=1>; rel="next"'}
        if "_catalog" in path:
            return as_json(200, {"repositories": [name]}, **link)
        return as_json(200, {"name": "a", "tags": [name]}, **link)

    return answer


def listed(point, count):
    """How many names a reader was given before it had enough, or an errno."""
    seen = 0
    try:
        for _ in os.scandir(point):
            seen += 1
            if seen == count:
                break
    except OSError as e:
        return errno.errorcode[e.errno]
    return seen


@pytest.mark.parametrize("kind", ["tags", "catalogue"])
def test_a9_endless(mount, kind):
    """Names come as they are listed, a page after the other and in little memory;
    a page that was there is the end; pages of nothing end by the deadline."""
    for how in ("", " again", " without names"):
        server = Scripted(endless(kind + how))
        try:
            m = mount(server.address, timeout=1, retries=1)
            took, result = timed(listed, m / "a/_tags" if kind == "tags" else m.point,
                                 LONG or 400)
            if how == " again":
                assert len(server.seen) < 10
            elif how:
                assert result == "ETIMEDOUT" or kind == "catalogue", result
            elif LONG:
                assert result == "EFBIG" and len(server.seen) <= 10_002
            else:
                assert result == 400
            assert took < 10 or LONG
            assert m.rss() < 200 << 20
        finally:
            server.stop()


LINKS = ["<https://evil.test/v2/team/app/tags/list?last=x>; rel=next",
         "<//evil.test/v2/team/app/tags/list?last=x>; rel=next",
         f"<https://{OWN}@evil.test/v2/x>; rel=next",
         f"<http://{OWN}/v2/team/app/tags/list?last=x>; rel=next",
         "<file:///etc/passwd>; rel=next", "<>; rel=next", "; rel=next", "<",
         "<https://registry3.example.com/v2/team/app/tags/list>; rel=next",
         "</" + "x" * 20_000 + ">; rel=next"]


@pytest.mark.parametrize("number", range(len(LINKS)))
def test_a9_link(stage, number):
    """The next page is this registry's own, or there is none."""
    stage.own.fault(path="/tags/list", count=0, headers={"Link": LINKS[number]})
    took, result = timed(errno_of, os.listdir, stage.repo / "_tags")
    assert took < 5 and result in (None, "EIO", "ETIMEDOUT", "EPERM")
    assert stage.trap.seen == []
    assert all("problem" not in e or e["problem"] is None for e in stage.own.log())


# -- A10: names -------------------------------------------------------------------------

NAMES = ["a\nb", "a\rb", "a\r\nX-Injected: 1", "a b", "a\tb", "a\x00b"[:1] + "\x01b",
         "a%0d%0ab", "a%2e%2e", "%2e%2e", "a%2fb", "a?b=c", "a#b", "a&b", "a;b", "a,b",
         "a@b", "a@@b", "a:b:c", "a\\b", "a\"b", "a'b", "a`b`", "a$(b)", "a|b", "a<b>",
         "a{b}", "a[b]", "a^b", "a~b", "a*b", "..a", "a..", "a...b", "--a", "a\x7fb",
         "a\u202eb", "\uff0e\uff0e", "a\u0430", "A", "a//b"[:2] + "/.."[:1], "é", "\udcff",
         "x" * 200 + "\n"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory, images):
    """One emulator and one mount of all hosts."""
    emu = EmulatorProcess()
    images.single.fill(emu, "team/app")
    m = mounting.Mount(tmp_path_factory.mktemp("plain") / "m", timeout=2, retries=1)
    yield emu, m
    try:
        m.finish()
    finally:
        m.destroy()
        emu.stop()


@pytest.mark.parametrize("number", range(len(NAMES)))
def test_a10_name(plain, number):
    """No name becomes another request than for that name."""
    emu, m = plain
    name, mark = NAMES[number], emu.mark()
    host = m.host(emu)
    for path in (m / name, m / (name + ".example.com"), host / name, host / "team" / name,
                 host / "team/app/_tags" / name, host / f"team/app:{name}",
                 host / f"team/app@sha256:{name}", host / "team/app/_blobs" / name,
                 host / "team/app/_manifests" / f"sha256:{name}"):
        path = os.fsencode(path)
        assert errno_of(os.stat, path) in (
            None, "ENOENT", "EINVAL", "ENAMETOOLONG", "EHOSTUNREACH", "ETIMEDOUT",
            "ENOTDIR")
        errno_of(os.mkdir, path)
    for e in emu.log(since=mark):
        assert "x-injected" not in e["headers"]
        assert re.fullmatch(r"/v2/([a-z0-9]+([._/-]+[a-z0-9]+)*/)?"
                            r"(tags/list|manifests/[\w.:-]+|blobs/[\w:]+|_catalog)?"
                            r"(\?[\w=&%.-]*)?", e["target"]), e["target"]
    assert not any(c in m.log() for c in ("\x1b", "\x01", "\r"))


# -- A11: challenges --------------------------------------------------------------------

def test_a11_strongest(stage, images):
    """Where a token would do, the password is not sent with each request."""
    realm = 'realm="https://auth.example.com/token",service="registry3"'
    stage.own.set(challenge=[f'Basic realm="x", Bearer {realm}'])
    assert os.stat(stage.repo / "_tags/1.4")
    for number, challenge in enumerate((["Basic realm=x", f"Bearer {realm}"],
                                        [f"Bearer {realm}", "Basic realm=x"],
                                        [f'Basic realm="x", Bearer {realm}'])):
        stage.own.call("expire", what=["tokens"])
        stage.own.set(challenge=challenge)
        digest = stage.blob()
        assert read_file(stage.repo / f"_blobs/{digest}")
    assert not [e for e in stage.own.log(where="registry")
                if e["headers"].get("authorization", "").lower().startswith("basic")]


ODD = {
    "16 KiB": "Bearer " + ",".join(f'k{i}="v"' for i in range(2000)),
    "one long word": "B" * 30_000, "no end": 'Bearer realm="' + "x" * 10_000,
    "only quotes": '"' * 9_000, "only commas": "," * 9_000, "backslashes": "Basic " + "\\"
    * 9_000, "controls": 'Bearer realm="a\x01\x02"', "nothing": "",
    "empty realm": 'Bearer realm=""', "equals": "Bearer " + "=" * 5_000,
}


@pytest.mark.parametrize("name", ODD)
def test_a11_odd(stage, name):
    stage.own.set(challenge=[ODD[name]])
    assert errno_of(os.stat, stage.repo / f"_tags/odd{len(name)}") in (
        "EACCES", "EIO", "ENOENT")
    assert not [e for e in stage.own.log(where="registry")
                if e["headers"].get("authorization", "").lower().startswith("basic")]


# -- A12: cookies -----------------------------------------------------------------------

@pytest.mark.parametrize("form", [
    "c4nary-cookie=1", "c4nary-cookie=1; Path=/; Domain=example.com",
    "c4nary-cookie=1; Secure; HttpOnly; Max-Age=9999", "c4nary-cookie"])
def test_a12_cookie(stage, form):
    """From the registry, the token server and the storage: none is kept."""
    stage.own.fault(count=0, headers={"Set-Cookie": form})
    for _ in range(2):
        assert read_file(stage.repo / f"_blobs/{stage.blob()}")
        stage.own.call("expire", what=["tokens"])
    assert len(stage.own.log(where="token")) >= 2
    assert all("cookie" not in e["headers"] for e in stage.own.log())


# -- A23: mirrors -----------------------------------------------------------------------

MIRRORS = {
    "asks for a password": lambda w: (401, {
        "WWW-Authenticate": f'Basic realm="https://{EVIL}/"'}, b""),
    "names a realm": lambda w: (401, {
        "WWW-Authenticate": f'Bearer realm="https://{EVIL}/token"'}, b""),
    "names the origin's realm": lambda w: (401, {
        "WWW-Authenticate": f'Bearer realm="{w}",service="emulator"'}, b""),
    "sends away": lambda w: (307, {"Location": "http://evil.test/x"}, b""),
    "sends back": lambda w: (307, {"Location": w}, b""),
    "gives a page": lambda w: (200, {"Content-Type": "text/html"}, b"<html></html>"),
    "gives another's": lambda w: as_json(200, {"schemaVersion": 2, "mediaType": MANIFEST,
                                               "config": {}, "layers": []}),
    "lies of the digest": lambda w: (200, {
        "Content-Type": MANIFEST, "Docker-Content-Digest": "sha256:" + "0" * 64}, b"{}"),
    "is full": lambda w: (507, {}, b""),
}


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory, images):
    """(origin, {name: (repository, mirror)}, mount)"""
    folder = tmp_path_factory.mktemp("mirrors")
    origin = EmulatorProcess("bearer")
    origin.set(users={"jo": WORD})
    realm = f"http://127.0.0.1:{origin.ports['token']}/token"
    rows, text = {}, ""
    for number, (name, answer) in enumerate(MIRRORS.items()):
        mirror = Scripted(lambda *_, answer=answer: answer(realm))
        rows[name] = (f"m{number}/a", mirror)
        images.single.fill(origin, f"m{number}/a")
        text += (f'[[registry]]\nprefix = "{origin.address}/m{number}"\n'
                 f'[[registry.mirror]]\nlocation = "{mirror.address}"\n'
                 'insecure = true\npull-from-mirror = "digest-only"\n')
    conf = folder / "registries.conf"
    conf.write_text(text)
    m = mounting.Mount(folder / "m", origin.address, timeout=3, retries=1,
                       env={"CONTAINERS_REGISTRIES_CONF": str(conf)}, authfile=auth_file(
                           folder / "auth.json", {origin.address: ("jo", WORD)}))
    yield origin, rows, m
    try:
        m.finish()
    finally:
        m.destroy()
        origin.stop()
        for _, mirror in rows.values():
            mirror.stop()


@pytest.mark.parametrize("name", MIRRORS)
def test_a23_mirror(mirrored, images, name):
    """The origin's bytes come all the same; its password never leaves it."""
    origin, rows, m = mirrored
    repo, mirror = rows[name]
    for digest in images.single.blobs():
        kind = "_manifests" if digest == images.single.digest else "_blobs"
        path = m / repo / kind / digest
        data = read_file(path / "manifest.json" if path.is_dir() else path)
        assert data == images.single.data(digest)
    assert mirror.seen
    assert all("basic" not in h.get("authorization", "").lower()
               for _, _, h in mirror.seen)
    tokens = {e["headers"].get("authorization") for e in origin.log(where="registry")}
    assert not {h.get("authorization") for _, _, h in mirror.seen} & (tokens - {None})
    assert WORD not in json.dumps(mirror.seen) + m.log()


# -- A24: certificates ------------------------------------------------------------------

@pytest.fixture(scope="module")
def bad_hosts(tmp_path_factory):
    """Hosts, each with another certificate, and what they were asked over TLS."""
    folder = tmp_path_factory.mktemp("certificates")
    made = Certificates(folder)
    world = World(folder / "world")
    servers = serve(made, lambda *_: as_json(200, {}))
    for name, server in servers.items():
        world.route(f"{name}.test", server.port)
    for place in world.cert_dir.iterdir():
        (place / "ca.crt").unlink()
        os.link(made.ca, place / "ca.crt")
    path = auth_file(folder / "auth.json", {
        f"{name}.test": ("jo", WORD) for name in servers})
    m = mounting.Mount(folder / "m", timeout=2, retries=1, authfile=path,
                       **world.options)
    yield servers, m
    try:
        m.finish()
    finally:
        m.destroy()
        for server in {servers["good"], servers["old-tls"]}:
            server.stop()
        world.stop()


@pytest.mark.parametrize("name", BAD)
def test_a24_certificate(bad_hosts, name):
    """TLS that proves nothing: no request goes out, least of all a password."""
    servers, m = bad_hosts
    assert errno_of(os.listdir, m / f"good.test/{name.replace('.', '-')}/_tags") is None
    assert servers["good"].seen         # the good one is fine
    servers["good"].seen.clear()
    assert errno_of(os.listdir, m / f"{name}.test/a/_tags") == "EIO"
    assert servers[name].seen == []
    assert f"{name}.test" in m.status("errors")


# -- A25: namespaces --------------------------------------------------------------------

def test_a25_no_namespace_of_its_own(plain):
    """There is none whose router could be forged: it lives in ours."""
    pid = plain[1].process.pid
    for kind in ("net", "user", "uts"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") == os.readlink(f"/proc/self/ns/{kind}")
