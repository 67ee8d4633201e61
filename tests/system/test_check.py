# SPDX-License-Identifier: Apache-2.0
"""registryfs check: its table, names, connections, log-ins, configuration."""
import base64
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from checking import (app, check, env, home, log_in, ROWS, SECRET, writes)
from mounting import REPORT, program
from registry import free_port, make_certificate
from tools import need, run, wait_until

# -- the table ---------------------------------------------------------------------

def test_all_rows(app, check):
    emu = app()
    got = check(emu.app)
    assert got.status == 0
    assert [r["name"] for r in got.rows] == ROWS
    assert got.document["host"] == emu.address
    assert got.document["repository"] == "team/app"
    assert got.document["reference"] == "1.4"
    table = check(emu.app, json=False)
    assert table.status == 0 and "It can be read." in table.text
    lines = table.text.splitlines()
    for row in got.rows:
        assert any(re.match(rf"{row['name']} +{row['works']} ", x) for x in lines), row


def test_host_only(app, check):
    """What needs a repository says so, and nothing but the host is asked."""
    emu = app()
    got = check(emu.address)
    assert got.status == 0 and [r["name"] for r in got.rows] == ROWS
    for name in ("tags", "head", "manifest", "blob", "ranges", "redirect", "referrers",
                 "push", "mount", "delete"):
        assert got.works(name) == "unknown" and "name a repository" in got.seen(name)
    assert got.works("catalogue") == "yes" and "1 repositories" in got.seen("catalogue")
    assert not emu.log(path="team") and not writes(emu)


def test_nothing_is_written(app, check):
    """An upload is opened and ended; a manifest nobody has is deleted."""
    emu = app()
    check(emu.app)
    done = writes(emu)
    assert [m for m, _ in done] == ["POST", "DELETE", "DELETE"]
    assert done[0][1] == "/v2/team/app/blobs/uploads/"
    assert done[1][1].startswith("/v2/team/app/blobs/uploads/")
    assert done[2][1] == "/v2/team/app/manifests/sha256:" + "0" * 64


@pytest.mark.parametrize("word", ["--no-push", "--ro"])
def test_no_push(app, check, word):
    emu = app()
    got = check(word, emu.app)
    assert not writes(emu)
    for name in ("push", "mount", "delete"):
        assert got.works(name) == "unknown" and "not tried" in got.seen(name)


def test_no_push_where_nothing_is(app, check):
    """Some make a repository for whoever wants to push to it."""
    emu = app()
    got = check(f"{emu.address}/nobody/knows")
    assert got.status == 4 and not writes(emu)
    assert got.works("tags") == "no" and "knows no repository" in got.seen("tags")
    assert got.works("push") == "unknown"


def test_few_manifests(app, check, images):
    """They are counted by some: one, and one more of an index."""
    emu = app()
    check(emu.app)
    assert len(emu.log(method="GET", path="/manifests/")) <= 2
    images.multi.fill(emu, "team/multi")
    mark = emu.mark()
    got = check(f"{emu.address}/team/multi")
    assert got.works("platform") == "yes" and "checked" in got.seen("platform")
    assert len(emu.log(method="GET", path="/manifests/", since=mark)) <= 3


def test_width(app, check, env):
    """Lines end where the terminal does; without one they are not broken."""
    emu = app()
    text = check(emu.app, json=False, COLUMNS="64").text
    assert max(len(x) for x in text.splitlines() if "sha256:" not in x) <= 64
    flat = check(emu.app, json=False).text
    assert re.search(r"^head +yes +1.4 is sha256:\w+, \S+: tags are .* GET$", flat, re.M)


def test_terminal(app, env):
    emu = app()
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 70, 0, 0))
    child = subprocess.Popen([program(), "check", emu.app], stdout=side, env=env,
                             stderr=subprocess.DEVNULL)
    os.close(side)
    text = b""
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    os.close(main)
    assert child.wait(20) == 0
    lines = text.decode().splitlines()
    assert max(len(x) for x in lines if "sha256:" not in x) <= 70
    assert len(lines) > len(ROWS)


def test_strangers_words(app, check):
    """Nothing that a registry says can move the cursor."""
    emu = app()
    evil = "\x1b[2J\x07\x9b31m\u202eevil\r\nforged: yes"
    for path in ("/uploads/", "/_catalog"):
        emu.fault(path=path, count=0, status=403, body=json.dumps(
            {"errors": [{"code": "DENIED\x1b[0m", "message": evil}]}))
    for word in ((), ("--json",)):
        done = check(emu.app, *word, json=False)
        text = done.text + done.said
        assert "evil" in text
        assert not [c for c in text if ord(c) > 126 or (ord(c) < 32 and c != "\n")]
        assert not re.search("^forged", text, re.M)


# -- names ---------------------------------------------------------------------------

@pytest.mark.parametrize("form", [
    "http://{0}/v2/", "http://{0}", "http://{0}/v2/_catalog", "{0}/", "docker://{0}",
    "{0}/v2", "registry://{0}"])
def test_host_names(app, check, form):
    emu = app()
    got = check(form.format(emu.address))
    assert got.status == 0, got.text + got.said
    assert got.document["host"] == emu.address and "repository" not in got.document


@pytest.mark.parametrize("form", [
    "{0}/team/app", "{0}/team/app/", "{0}/team/app:1.4", "docker://{0}/team/app:1.4",
    "oci://{0}/team/app:1.4", "http://{0}/v2/team/app/manifests/1.4",
    "http://{0}/v2/team/app/tags/list?n=5", "{0}/team/app@{1}", "{0}/team/app:1.4@{1}",
    "http://{0}/v2/team/app/manifests/{1}"])
def test_image_names(app, check, images, form):
    emu = app()
    got = check(form.format(emu.address, images.single.digest))
    assert got.status == 0, got.text + got.said
    assert got.document["repository"] == "team/app"
    assert got.document["reference"] == (
        images.single.digest if "{1}" in form else "1.4")


@pytest.mark.parametrize("name,repository,rule", [
    ("alpine", "library/alpine", True), ("docker.io/alpine", "library/alpine", True),
    ("alpine:3.20", "library/alpine", True), ("team/app", "team/app", False),
    ("index.docker.io/team/app", "team/app", False), ("docker.io", None, False),
    ("https://hub.docker.com/_/alpine", "library/alpine", False),
    ("https://hub.docker.com/r/team/app/tags?page=2", "team/app", False)])
def test_short_names(check, name, repository, rule):
    """Of Docker Hub, whose rules are told; it is not asked here."""
    got = check("--timeout=1", name, https_proxy="http://127.0.0.1:1")
    assert got.document["host"] == "docker.io"
    assert got.document.get("repository") == repository
    assert ("beneath library/" in got.seen("name")) == rule
    assert got.status == 2 and "proxy http://127.0.0.1:1" in got.seen("endpoint")


@pytest.mark.parametrize("name,says", [
    ("", "name a registry"), ("/mnt/reg", "is a file"), ("./x", "is a file"),
    ("r.test/Team/app", "lower case"), ("r.test/a b", "names no registry"),
    ("r.test/a@sha256:12", "names no registry"), ("https://", "name a registry"),
    (f"https://jo:{SECRET}@r.test/a", "password"), ("a" * 3000, "too long")])
def test_bad_names(check, name, says):
    got = check(name)
    assert got.status == 1 and says in got.said and not got.text


@pytest.mark.parametrize("words", [(), ("a.test", "b.test"), ("--nonsense", "a.test"),
                                   ("--timeout=x", "a.test"), ("--offline", "a.test")])
def test_usage(check, words):
    got = check(*words)
    assert got.status == 1 and got.said and not got.text


# -- the connection --------------------------------------------------------------------

def test_dead(check):
    got = check(f"127.0.0.1:{free_port()}")
    assert got.status == 2 and got.works("endpoint") == "no"
    assert "nothing listens" in got.advice("endpoint")
    assert got.rows[-1]["name"] == "endpoint"


def test_no_such_name(check):
    got = check("no-such-name.invalid", "--timeout=2")
    assert got.status == 2 and got.works("endpoint") == "no"
    assert "is the name right" in got.advice("endpoint")


def test_silent(emulator, check):
    """Bounded, whoever is silent."""
    emu = emulator()
    emu.fault(count=0, delay=30)
    begin = time.monotonic()
    got = check(f"{emu.address}/a", "--timeout=1", "--plain-http", emu.address)
    assert got.status == 2 and time.monotonic() - begin < 8
    assert "--timeout" in got.advice("endpoint")


def test_not_a_registry(emulator, check):
    emu = emulator()
    emu.fault(count=0, status=404, html=True)
    got = check(emu.address)
    assert got.status == 2 and got.works("registry") == "no"
    assert "no registry at this name" in got.advice("registry")


def test_server_error(emulator, check):
    emu = emulator()
    emu.fault(count=0, status=503)
    got = check(emu.address, "--timeout=2", "--retries=1")
    assert got.status == 2 and got.works("registry") == "no"
    assert "503" in got.seen("registry")


def put_ca(home, address, cert):
    folder = home / ".config/containers/certs.d" / address
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes(Path(cert).read_bytes())


def test_tls(emulator, check, home, tmp_path):
    """Verified by a CA of the user's; on loopback without one not at all."""
    cert = make_certificate(tmp_path)
    emu = emulator(tls=cert)
    got = check(emu.address)
    assert got.status == 0 and got.works("tls") == "no"
    assert "NOT verified" in got.seen("tls") and "certs.d" in got.advice("tls")
    assert "TLSv1.3" in got.seen("tls") and "signed by itself" in got.seen("tls")
    put_ca(home, emu.address, cert[0])
    got = check(emu.address)
    assert got.status == 0 and got.works("tls") == "yes"
    assert got.works("endpoint") == "yes" and "https://" in got.seen("endpoint")
    assert re.search("ends in [12] days", got.advice("tls"))     # made for two
    end = run("openssl", "x509", "-in", cert[0], "-noout", "-enddate",
              "-dateopt", "iso_8601").stdout.strip().split("=")[1].replace(" ", "T")
    assert end in got.seen("tls")


def test_tls_of_another(emulator, check, home, tmp_path):
    """Whose certificate it is that was refused, and where a CA belongs."""
    emu = emulator(tls=make_certificate(tmp_path))
    put_ca(home, emu.address, make_certificate(tmp_path, stem="other")[0])
    got = check(emu.address)
    assert got.status == 2 and got.works("endpoint") == "no"
    assert got.works("tls") == "no" and "127.0.0.1, localhost" in got.seen("tls")
    assert f"certs.d/{emu.address}/ca.crt" in got.advice("tls")
    assert not [e for e in emu.log() if "authorization" in
                {k.lower() for k in e.get("headers", {})}]


def test_tls_wrong_name(emulator, check, home, tmp_path):
    cert = make_certificate(tmp_path, names=("elsewhere.test",))
    emu = emulator(tls=cert)
    put_ca(home, emu.address, cert[0])
    got = check(emu.address)
    assert got.status == 2 and "elsewhere.test" in got.seen("tls")
    assert "a name that it is for" in got.advice("tls")


def test_no_tls(emulator, check, home, tmp_path):
    """Plain http where TLS is expected is seen, and nothing sent there."""
    emu = emulator()
    put_ca(home, emu.address, make_certificate(tmp_path)[0])
    got = check(emu.address)
    assert got.status == 2 and got.works("endpoint") == "no"
    assert f"plain_http={emu.address}" in got.advice("endpoint")
    assert all(e["method"] == "GET" and e["target"] == "/v2/" for e in emu.log())


@pytest.mark.parametrize("seconds,works", [(0, "yes"), (-4000, "no"), (4000, "no"),
                                           (None, "unknown")])
def test_clock(app, check, seconds, works):
    emu = app()
    date = "" if seconds is None else time.strftime(
        "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", time.gmtime(time.time() + seconds))
    emu.fault(count=0, path="/v2/$", raw="HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
              f"Docker-Distribution-Api-Version: registry/2.0\r\n{date}\r\n{{}}")
    got = check(emu.address)
    assert got.status == 0 and got.works("clock") == works
    if works == "no":
        assert ("ahead of" if seconds < 0 else "behind") in got.seen("clock")


# -- log-in ----------------------------------------------------------------------------

def users(emu):
    emu.set(users={"jo": SECRET})


@pytest.mark.parametrize("profile,scheme", [("basic", "Basic"), ("bearer", "Bearer")])
def test_login(app, check, home, profile, scheme):
    emu = app(profile)
    users(emu)
    path = log_in(home, emu.address)
    got = check(emu.app)
    assert got.status == 0, got.text
    assert got.works("log-in") == "yes"
    assert str(path) in got.seen("log-in") and scheme in got.seen("log-in")
    if scheme == "Bearer":
        assert "good for 300 s" in got.seen("token")
        assert f"http://127.0.0.1:{emu.ports['token']}/token" in got.seen("token")
    assert got.works("push") == "yes"


@pytest.mark.parametrize("profile", ["basic", "bearer"])
def test_no_login(app, check, profile):
    emu = app(profile)
    got = check(emu.app)
    assert got.status == 3 and got.works("log-in") == "no"
    assert f"docker login {emu.address}" in got.advice("log-in")


@pytest.mark.parametrize("profile", ["basic", "bearer"])
def test_wrong_password(app, check, home, profile):
    emu = app(profile)
    users(emu)
    path = log_in(home, emu.address, word="n0t-1t")
    got = check(emu.app)
    assert got.status == 3 and got.works("log-in") == "no"
    assert str(path) in got.seen("log-in") and "n0t-1t" not in got.seen("log-in")


def test_wrong_password_of_a_public_one(app, check, home):
    """We are let in as nobody, and are told that the password is no good."""
    emu = app("bearer", "anonymous_pull=true")
    users(emu)
    log_in(home, emu.address, word="n0t-1t")
    got = check(emu.app)
    assert got.status == 0 and got.works("log-in") == "no"
    assert "let in as nobody" in got.seen("log-in")


def test_anonymous(app, check):
    got = check(app("bearer", "anonymous_pull=true").app)
    assert got.status == 0 and got.works("log-in") == "yes"
    assert "no credential is stored" in got.seen("log-in")
    assert got.works("token") == "yes" and got.works("push") == "no"


@pytest.fixture
def helper(home, tmp_path):
    """helper(emu, shell) -> its name; root's helpers are the system's only."""
    folder = Path("/usr/local/bin") if os.geteuid() == 0 else tmp_path
    name = f"rfs-check-{os.getpid()}"
    script = folder / f"docker-credential-{name}"

    def go(emu, text):
        script.write_text(f"#!/bin/sh\ncat >/dev/null\n{text}\n")
        script.chmod(0o755)
        path = home / ".docker/config.json"
        path.parent.mkdir()
        path.write_text(json.dumps({"credHelpers": {emu.address: name}}))
        path.chmod(0o600)
        return script.name

    yield go
    script.unlink(missing_ok=True)


def test_helper(app, check, helper, home, env):
    emu = app("basic")
    users(emu)
    name = helper(emu, f'echo \'{{"Username":"jo","Secret":"{SECRET}"}}\'')
    got = check(emu.app, PATH=f"/usr/local/bin:{home.parent}:{env['PATH']}")
    assert got.status == 0, got.text + got.said
    assert name in got.seen("log-in")
    assert str(home / ".docker/config.json") in got.seen("log-in")


def test_variable(app, check):
    emu = app("basic")
    users(emu)
    auth = base64.b64encode(f"jo:{SECRET}".encode()).decode()
    got = check(emu.app, DOCKER_AUTH_CONFIG=json.dumps(
        {"auths": {emu.address: {"auth": auth}}}))
    assert got.status == 0 and "$DOCKER_AUTH_CONFIG" in got.seen("log-in")


def test_broken_file(app, check, home):
    """The line about it comes before the table."""
    emu = app("basic")
    path = home / ".docker/config.json"
    path.parent.mkdir()
    path.write_text('{"auths": ')
    path.chmod(0o600)
    got = check(emu.app)
    assert got.status == 3 and str(path) in got.said


# -- what is configured ----------------------------------------------------------------

def conf(home, text):
    path = home / ".config/containers/registries.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def toml(home, host, text):
    path = home / ".config/containerd/certs.d" / host / "hosts.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_mirror(app, check, home):
    emu, mirror = app(), app()
    path = toml(home, emu.address, f'[host."http://{mirror.address}"]\n'
                '  capabilities = ["pull"]\n')
    got = check(emu.app)
    assert got.status == 0 and got.works("mirror") == "yes"
    assert f"http://{mirror.address} ({path}:1)" in got.seen("mirror")
    mirror.stop()
    got = check(emu.app, "--timeout=3")
    assert got.status == 0 and got.works("mirror") == "no"
    assert str(path) in got.advice("mirror")


def test_rewritten(app, check, home):
    """What is read from another place is checked there."""
    emu = app()
    path = conf(home, '[[registry]]\nprefix = "r.test/ours"\n'
                f'location = "{emu.address}/team"\n')
    got = check("r.test/ours/app:1.4", "--timeout=3", "--no-push")
    assert f"{path}:1" in got.seen("endpoint") and emu.address in got.seen("endpoint")
    assert got.works("manifest") == "yes" and got.works("ranges") == "yes"


def test_mirror_of_everything(app, check, images):
    """What is checked of a name is the place that mirror= names."""
    emu = app()
    images.single.fill(emu, "docker.io/team/app")
    got = check(f"--mirror={emu.address}", "docker.io/team/app:1.4")
    assert got.status == 0 and got.works("ranges") == "yes"
    assert emu.address in got.seen("endpoint") and "mirror" in got.seen("endpoint")
    assert emu.log(path="/v2/docker.io/team/app/manifests/1.4")
    assert not emu.log(path="/v2/team/app")


@pytest.mark.parametrize("line", ["blocked = true", "blocked = tru", 'blocked = "no"'])
def test_blocked(app, check, home, line):
    """Also where it cannot be read: nobody is asked."""
    emu = app()
    path = conf(home, f'[[registry]]\nprefix = "{emu.address}"\n{line}\n')
    got = check(emu.app)
    assert got.status == 3 and f"blocked, see {path}:1" in got.seen("endpoint")
    assert emu.log() == []
    if line != "blocked = true":
        assert f"{path}:3" in got.said or f"{path}:1" in got.said


def test_off_the_list(app, check):
    emu = app()
    got = check("--allow=other.test", emu.app)
    assert got.status == 3 and "allow list" in got.seen("endpoint")
    assert f"allow={emu.app}" in got.advice("endpoint") and emu.log() == []
    assert check(f"--allow={emu.address}", emu.app).status == 0


def test_unknown_key_once(app, check, home):
    emu = app()
    path = toml(home, emu.address, f'server = "http://{emu.address}"\ncolour = 1\n')
    got = check(emu.app)
    assert got.status == 0, got.text + got.said
    assert got.said.count(f"{path}:2: colour is unknown here, and ignored") == 1


# -- the end ---------------------------------------------------------------------------

@pytest.mark.parametrize("path", ["/v2/$", "/tags/list", "/uploads/"])
def test_interrupted(app, env, path):
    """At once, wherever it waits."""
    emu = app()
    emu.fault(path=path, count=0, delay=30)
    child = subprocess.Popen([program(), "check", "--plain-http", emu.address, emu.app],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=env)
    wait_until(lambda: emu.hits()[0], 10, "the wait")
    begin = time.monotonic()
    child.send_signal(signal.SIGINT)
    text, said = child.communicate(timeout=10)
    assert time.monotonic() - begin < 3
    assert child.returncode == -signal.SIGINT and not REPORT.search(said)


def test_helper_is_interrupted(app, env, helper, tmp_path):
    emu = app("basic")
    helper(emu, f"touch {tmp_path}/begun; exec sleep 30")
    child = subprocess.Popen([program(), "check", emu.app], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True,
                             env={**env, "PATH": f"{tmp_path}:{env['PATH']}"})
    wait_until((tmp_path / "begun").exists, 10, "the helper")
    begin = time.monotonic()
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=20)
    assert time.monotonic() - begin < 3
    assert child.returncode == -signal.SIGINT and emu.log() == []


# -- the real one ----------------------------------------------------------------------

def test_docker_registry(registry, check):
    got = check(f"{registry.address}/team/app:1.4")
    assert got.status == 0, got.text
    for name, works in dict(head="yes", manifest="yes", blob="yes", ranges="yes",
                            redirect="no", referrers="no", push="yes", delete="no",
                            catalogue="yes").items():
        assert got.works(name) == works, got.row(name)
    assert not list(registry.root.glob("**/_uploads/*/data"))


def test_docker_registry_secured(docker_registry, check, home, images):
    need("htpasswd", "skopeo")
    server = docker_registry(tls=True, users={"jo": SECRET}, delete=True)
    put_ca(home, server.address, server.tls[0])
    got = check(f"{server.address}/team/app")
    assert got.status == 3 and got.works("tls") == "yes" and got.works("log-in") == "no"
    log_in(home, server.address)
    images.single.push(server.address, "team/app", None, "--dest-tls-verify=false",
                       f"--dest-creds=jo:{SECRET}")
    got = check(f"{server.address}/team/app")
    assert got.status == 0, got.text
    assert "HTTP/2" in got.seen("endpoint") and "Basic" in got.seen("log-in")
    assert got.works("push") == "yes" and got.works("delete") == "yes"
