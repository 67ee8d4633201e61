# SPDX-License-Identifier: Apache-2.0
"""Amazon ECR and ECR Public under their real names: logging in with AWS keys,
repositories that a push creates, and what else is Amazon's own."""
import base64
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from emulator.aws import Passwords, canonical_request, sign
from emulator.world import World
from emupush import left, sent
from images import INDEX, MANIFEST
from pushing import errors, pending
from tools import errno_of, read_file, run, sha256

HOST = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
API = "api.ecr.eu-west-1.amazonaws.com:443"
PUBLIC = "public.ecr.aws"
ID, SECRET, SESSION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "IQoJ/tok+en=="
TEMPORARY = "ASIDEXAMPLE"
KEYS = {ID: [SECRET, ""], TEMPORARY: [SECRET, SESSION]}
ENV = {"AWS_ACCESS_KEY_ID": ID, "AWS_SECRET_ACCESS_KEY": SECRET}
FRESH = dict(aws_keys=KEYS, aws_clock=0, aws_errors={}, aws_life=43200, aws_kept="",
             aws_account="111122223333", immutable=0, users={"AWS": "secret"},
             partial_patch="kept")


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("ecr") / "world")
    world.add(HOST)
    world.add(PUBLIC)
    yield world
    world.stop()


class Site:
    """One registry of the module's world, as new; repositories of this test begin
    with its number."""

    count = 0

    def __init__(self, net, name, mount):
        self.net, self.name, self.mount = net, name, mount
        self.emu = net.sites[name]
        self.emu.clear_faults()
        self.emu.set(**FRESH)
        self.emu.call("clear_log")
        self.net.refused.clear()
        Site.count += 1
        self.top = f"t{Site.count}"

    def start(self, source=None, env=None, **options):
        """A mount; with a source of "" its path within the host is none."""
        given = self.net.options
        given["env"] = {**given["env"], **(ENV if env is None else env)}
        m = self.mount(self.name if source is None else source, **given, **options)
        return m

    def asked(self, action=None):
        """Calls of the API, by name."""
        calls = [e["headers"].get("x-amz-target", "").partition(".")[2]
                 for e in self.emu.log(where="token", method="POST")]
        return [c for c in calls if c and action in (None, c)]

    def repo(self, name="app"):
        return f"{self.top}/{name}"


@pytest.fixture
def ecr(net, mount):
    yield Site(net, HOST, mount)
    net.check()


@pytest.fixture
def public(net, mount):
    yield Site(net, PUBLIC, mount)
    net.check()


def held(site, repo, ref, image):
    """The emulator has exactly this image under this name: asked as AWS's own
    tools would, with a password of its own."""
    word = base64.b64encode(b"AWS:secret").decode()
    every = f"Accept: {MANIFEST}, {INDEX}"
    def get(path):
        return run("curl", "-sSfL", "-H", f"Authorization: Basic {word}", "-H", every,
                   f"https://{site.name}/v2/{repo}/{path}", text=False,
                   env={"PATH": os.environ["PATH"], **site.net.env,
                        "CURL_CA_BUNDLE": str(site.net.ca)}).stdout
    assert sha256(get(f"manifests/{ref}")) == image.digest
    for digest in image.blobs():
        kind = "manifests" if digest in image.manifests() else "blobs"
        assert sha256(get(f"{kind}/{digest}")) == digest


def at_once(function, items):
    """[function(item) …], each in a thread of its own."""
    with ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(function, items))


def quiet(m, *words):
    """None of these is in what the mount shows, logs or keeps."""
    shown = m.log() + errors(m) + m.status("status") + m.status("status.json")
    for name in os.listdir(m / ".registryfs/hosts"):
        shown += m.status(f"hosts/{name}")
    assert not [w for w in words if w in shown]
    for w in words:
        assert run("grep", "-rlaF", w, m.folder / "cache", check=False).stdout == ""


# -- the signature -----------------------------------------------------------------

def test_the_emulator_itself():
    """AWS's own example (Signature Version 4, "GET ListUsers")."""
    class Request:
        method, target = "GET", "/?Action=ListUsers&Version=2010-05-08"
        class headers:
            @staticmethod
            def get_all(name):
                return [{"content-type":
                         "application/x-www-form-urlencoded; charset=utf-8",
                         "host": "iam.amazonaws.com",
                         "x-amz-date": "20150830T123600Z"}[name]]
    text = canonical_request(Request, ["content-type", "host", "x-amz-date"], b"")
    digest = sha256(text.encode())[7:]
    assert digest == "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
    scope = ("20150830", "us-east-1", "iam", "aws4_request")
    assert sign("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", scope, "\n".join(
        ("AWS4-HMAC-SHA256", "20150830T123600Z", "/".join(scope), digest))) == \
        "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    assert Passwords().is_good("AWS", "x") is False


# -- logging in ----------------------------------------------------------------------

def test_keys_in_the_environment(ecr, images):
    """Listed, read, and one password for all that ask at once."""
    repo = images.single.fill(ecr.emu, ecr.repo())
    for i in range(8):
        images.single.fill(ecr.emu, ecr.repo(f"x{i}"))
    m = ecr.start()
    found = at_once(lambda i: read_file(
        m / ecr.repo(f"x{i}") / "_tags/1.4/manifest.json"), range(8))
    assert [sha256(f) for f in found] == [images.single.digest] * 8
    assert ecr.asked() == ["GetAuthorizationToken"]
    assert os.listdir(m / repo / "_tags") == ["1.4"]
    assert "app" in os.listdir(m / ecr.top)
    layer = images.single.document()["layers"][-1]["digest"]
    assert sha256(read_file(m / repo / "_blobs" / layer)) == layer
    assert errors(m) == ""
    assert ecr.asked() == ["GetAuthorizationToken"]
    [stored] = {e["headers"].get("authorization") for e in
                ecr.emu.log(where="storage")}
    assert stored is None
    word = [e["headers"]["authorization"] for e in ecr.emu.log(where="registry")
            if "authorization" in e["headers"]][-1].partition(" ")[2]
    user, _, password = base64.b64decode(word).decode().partition(":")
    assert user == "AWS" and password.startswith("ecr-")
    quiet(m, SECRET, password, word)


def test_temporary_keys(ecr, images):
    repo = images.single.fill(ecr.emu, ecr.repo())
    m = ecr.start(env={"AWS_ACCESS_KEY_ID": TEMPORARY, "AWS_SECRET_ACCESS_KEY": SECRET,
                       "AWS_SESSION_TOKEN": SESSION})
    assert os.listdir(m / repo / "_tags") == ["1.4"]
    quiet(m, SECRET, SESSION)


FILE = f"""# mine
[default]
aws_access_key_id = {ID}
aws_secret_access_key = wrong
[other]
  aws_access_key_id = indented, so not ours
Aws_Access_Key_Id={TEMPORARY}
aws_secret_access_key = {SECRET}   # as given
region = eu-west-1
this is no line
s3 =
  max_concurrent_requests = 20
aws_session_token = {SESSION}
[last]
credential_process = /bin/false
"""


def credentials(folder, text=FILE, name="credentials"):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_profile_of_a_file(ecr, images, tmp_path):
    repo = images.single.fill(ecr.emu, ecr.repo())
    path = credentials(tmp_path)
    m = ecr.start(env={"AWS_SHARED_CREDENTIALS_FILE": str(path), "AWS_PROFILE": "other"})
    assert os.listdir(m / repo / "_tags") == ["1.4"]
    assert f"{path}:10: is not NAME = VALUE" in m.log()
    quiet(m, SECRET, SESSION)


def test_file_changed(ecr, images, tmp_path):
    """~/.aws/credentials with a wrong key, then put right: no new mount."""
    repo = images.single.fill(ecr.emu, ecr.repo())
    home = tmp_path / "home"
    home.mkdir()
    path = credentials(home, name=".aws/credentials")
    m = ecr.start(home=home, env={})
    assert errno_of(os.listdir, m / repo / "_tags") == "EACCES"
    assert "InvalidSignatureException" in errors(m)
    assert "Canonical" not in errors(m) + m.log()
    credentials(home, FILE.replace("wrong", SECRET), ".aws/credentials")
    assert path.exists()
    assert os.listdir(m / repo / "_tags") == ["1.4"]


@pytest.mark.parametrize("env, words", [
    ({"AWS_PROFILE": "last"}, "gets its keys from elsewhere"),
    ({"AWS_PROFILE": "none"}, "does not have the profile"),
    ({"AWS_ACCESS_KEY_ID": ID}, "one is missing"),
    ({"mode": "666"}, "is writable by others")])
def test_unusable_keys(ecr, images, tmp_path, env, words):
    """Said once; nobody is asked in nobody's name behind the user's back."""
    repo = images.single.fill(ecr.emu, ecr.repo())
    path = credentials(tmp_path)
    path.chmod(int(env.pop("mode", "600"), 8))
    m = ecr.start(env={"AWS_SHARED_CREDENTIALS_FILE": str(path), **env})
    for _ in range(3):
        assert errno_of(os.listdir, m / repo / "_tags") == "EACCES"
    assert m.log().count(words) == 1
    assert ecr.asked() == []


def test_no_keys(ecr, images):
    repo = images.single.fill(ecr.emu, ecr.repo())
    m = ecr.start(env={})
    assert errno_of(os.listdir, m / repo / "_tags") == "EACCES"
    assert "Not Authorized" in errors(m)
    assert ecr.asked() == []


def test_docker_login_goes_first(ecr, images, tmp_path):
    repo = images.single.fill(ecr.emu, ecr.repo())
    code = base64.b64encode(b"AWS:secret").decode()
    path = credentials(tmp_path, json.dumps({"auths": {HOST: {"auth": code}}}))
    m = ecr.start(authfile=path)
    assert os.listdir(m / repo / "_tags") == ["1.4"]
    assert ecr.asked() == []


def test_wrong_password(ecr, images, tmp_path):
    """400, and neither a word nor a challenge."""
    repo = images.single.fill(ecr.emu, ecr.repo())
    code = base64.b64encode(b"AWS:wrong").decode()
    path = credentials(tmp_path, json.dumps({"auths": {HOST: {"auth": code}}}))
    m = ecr.start(authfile=path)
    assert errno_of(os.listdir, m / repo / "_tags") == "EACCES"
    assert "Not Authorized" in errors(m)
    blob = m / repo / "_blobs" / sha256(b"x")
    assert errno_of(blob.write_bytes, b"x") == "EACCES"
    assert "does not accept the credential" in errors(m)
    assert ecr.asked() == []


@pytest.fixture
def helper(tmp_path):
    """The credential helper that prints tmp_path / "answer"; its name.  A daemon of
    root takes helpers only from the system's own folders."""
    folder = Path("/usr/local/bin") if os.geteuid() == 0 else tmp_path
    name = f"rfs-ecr-login-{os.getpid()}"
    script = folder / f"docker-credential-{name}"
    script.write_text(f"#!/bin/sh\ncat {tmp_path}/answer\n")
    script.chmod(0o755)
    yield name
    script.unlink()


def test_credential_helper(ecr, images, tmp_path, helper):
    """As docker-credential-ecr-login, asked again when its password has ended."""
    repo = images.single.fill(ecr.emu, ecr.repo())
    answer = tmp_path / "answer"
    ecr.emu.set(users={"AWS": "ecr-first"})
    answer.write_text(json.dumps({"ServerURL": HOST, "Username": "AWS",
                                  "Secret": "ecr-first"}))
    path = credentials(tmp_path, json.dumps({"credHelpers": {HOST: helper}}))
    m = ecr.start(authfile=path, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert sha256(read_file(m / repo / "_tags/1.4/manifest.json")) == \
        images.single.digest
    ecr.emu.set(users={"AWS": "ecr-second"})
    answer.write_text(answer.read_text().replace("ecr-first", "ecr-second"))
    assert os.listdir(m / repo / "_tags") == ["1.4"]
    assert errors(m) == "" and ecr.asked() == []


def test_password_ends(ecr, images):
    """403 "has expired": a new one, for all who have the old one."""
    repos = [images.single.fill(ecr.emu, ecr.repo(f"x{i}")) for i in range(8)]
    m = ecr.start()
    assert os.listdir(m / repos[0] / "_tags") == ["1.4"]
    ecr.emu.call("expire", what=["tokens"])
    ecr.emu.fault(where="token", method="POST", delay=0.1)
    lists = at_once(lambda r: os.listdir(m / r / "_tags"), repos[1:])
    assert lists == [["1.4"]] * 7
    assert ecr.asked() == ["GetAuthorizationToken"] * 2
    assert errors(m) == ""
    ended = [e for e in ecr.emu.log(where="registry") if e["status"] == 403]
    assert 1 <= len(ended) <= 7


def test_password_ends_in_an_upload(ecr, images):
    """Between the pieces of a push."""
    ecr.emu.call("raw_names", repos=[ecr.repo()])
    ecr.emu.fault(where="registry", method="PATCH", nth=1, count=1, expire=["tokens"])
    m = ecr.start()
    run("cp", "-r", images.large.folder, m / ecr.repo() / "_tags/1")
    held(ecr, ecr.repo(), "1", images.large)
    assert len(ecr.asked("GetAuthorizationToken")) >= 2
    assert errors(m) == ""


@pytest.mark.parametrize("kind, times, errno", [
    ("AccessDeniedException", 99, "EACCES"), ("ExpiredTokenException", 99, "EACCES"),
    ("ThrottlingException", 2, None), ("ThrottlingException", 99, "ETIMEDOUT"),
    ("ServerException", 1, None), ("ServerException", 99, "EIO"),
    ("prefix#AccessDeniedException", 99, "EACCES")])
def test_refusals_of_the_api(ecr, images, kind, times, errno):
    repo = images.single.fill(ecr.emu, ecr.repo())
    ecr.emu.set(aws_errors={"GetAuthorizationToken": [kind, "they said so", times]})
    m = ecr.start(timeout=2, retries=3)
    assert errno_of(os.listdir, m / repo / "_tags") == errno
    if errno:
        [line] = {row.partition("/")[2] for row in errors(m).splitlines()
                  if "GetAuthorizationToken" in row}
        assert kind.rpartition("#")[2] + ", they said so" in line
    assert len(ecr.asked()) == {None: times + 1, "EACCES": 1, "EIO": 2,
                                "ETIMEDOUT": 3}[errno]


@pytest.mark.parametrize("ahead, words", [(600, "Signature expired"),
                                          (-600, "not yet current")])
def test_wrong_clock(ecr, images, ahead, words):
    repo = images.single.fill(ecr.emu, ecr.repo())
    ecr.emu.set(aws_clock=ahead)
    m = ecr.start()
    assert errno_of(os.listdir, m / repo / "_tags") == "EACCES"
    assert words in errors(m)


def test_api_that_talks_rubbish(ecr, images):
    repo = images.single.fill(ecr.emu, ecr.repo())
    for body in ("<html>sign in</html>", "[]", '{"authorizationData":null}',
                 '{"authorizationData":[{"authorizationToken":"%%%"}]}',
                 '{"authorizationData":[{"authorizationToken":"QVdT"}]}',
                 '{"authorizationData":[{"authorizationToken":"QVdTOgo="}]}'):
        ecr.emu.clear_faults()
        ecr.emu.fault(where="token", method="POST", status=200, body=body)
        m = ecr.start()
        assert errno_of(os.listdir, m / repo / "_tags") == "EACCES" or \
            "GetAuthorizationToken" in errors(m), body
        assert "SUMMARY" not in m.log()


def test_endpoint_of_the_environment(ecr, images):
    """On loopback without TLS, elsewhere never."""
    repo = images.single.fill(ecr.emu, ecr.repo())
    m = ecr.start(env={**ENV, "AWS_ENDPOINT_URL": f"https://{API}/"})
    assert os.listdir(m / repo / "_tags") == ["1.4"]
    m = ecr.start(env={**ENV, "AWS_ENDPOINT_URL_ECR": "http://api.example.com/",
                       "AWS_ENDPOINT_URL": f"https://{API}"})
    assert errno_of(os.listdir, m / repo / "_tags") == "EACCES"
    assert "without TLS" in errors(m)


# -- repositories -----------------------------------------------------------------

def test_push_creates(ecr, images):
    """cp -r into a repository that is not there; and from there into another."""
    m = ecr.start()
    run("cp", "-r", images.multi.folder, m / ecr.repo() / "_tags/1.0")
    assert ecr.asked("CreateRepository") == ["CreateRepository"]
    held(ecr, ecr.repo(), "1.0", images.multi)
    run("cp", "-r", m / ecr.repo() / "_tags/1.0", m / ecr.repo("deep/er/copy") / "_tags")
    assert len(ecr.asked("CreateRepository")) == 2
    held(ecr, ecr.repo("deep/er/copy"), "1.0", images.multi)
    assert errors(m) == "" and pending(m) == []
    assert sorted(os.listdir(m / ecr.top)) == ["app", "deep"]


def test_many_blobs_create_once(ecr, tmp_path):
    """Twenty writers at once; CreateRepository takes its time."""
    ecr.emu.fault(where="token", method="POST", delay=0.2)
    m = ecr.start()
    folder = tmp_path / "blobs"
    folder.mkdir()
    for _ in range(20):
        data = os.urandom(100_000)
        (folder / sha256(data)).write_bytes(data)
    run("sh", "-ec", 'for f in "$0"/*; do cp "$f" "$1" & done; wait', folder,
        m / ecr.repo() / "_blobs")
    assert ecr.asked("CreateRepository") == ["CreateRepository"]
    assert sorted(c[2] for c in ecr.emu.call("commits")
                  if c[:2] == ["blob", ecr.repo()]) == sorted(os.listdir(folder))
    assert errors(m) == ""


def test_by_hand(ecr, images):
    """mkdir, then a copy into it; a tag of another repository's image."""
    m = ecr.start()
    target = m / ecr.repo() / "_tags"
    os.mkdir(target / "2")
    run("cp", "-r", f"{images.single.folder}/.", target / "2")
    held(ecr, ecr.repo(), "2", images.single)
    os.symlink("2", target / "latest")
    assert sorted(os.listdir(target)) == ["2", "latest"]
    assert ecr.asked("CreateRepository") == ["CreateRepository"]


def test_somebody_was_first(ecr, images):
    """It exists by now, or takes a moment to be seen."""
    ecr.emu.set(aws_errors={"CreateRepository": ["RepositoryAlreadyExistsException",
                                                 "exists", 1]})
    m = ecr.start(timeout=5)
    timer = threading.Timer(0.3, lambda: ecr.emu.call("raw_names", repos=[ecr.repo()]))
    timer.start()
    run("cp", "-r", images.single.folder, m / ecr.repo() / "_tags/1")
    timer.join()
    held(ecr, ecr.repo(), "1", images.single)
    assert ecr.asked("CreateRepository") == ["CreateRepository"]


@pytest.mark.parametrize("why, words", [
    ("denied", "AccessDeniedException, not authorized to perform"),
    ("off", "that is switched off"), ("nobody", "there are no AWS keys"),
    ("another", "the AWS keys are those of account 999999999999")])
def test_not_created(ecr, images, tmp_path, why, words):
    """The registry's 404, and both reasons in one line."""
    options = {}
    if why == "denied":
        ecr.emu.set(aws_errors={"CreateRepository": [
            "AccessDeniedException", "not authorized to perform: ecr:CreateRepository"]})
    elif why == "off":
        options["create_repository"] = "no"
    elif why == "another":
        ecr.emu.set(aws_account="999999999999")
    else:
        code = base64.b64encode(b"AWS:secret").decode()
        options["authfile"] = credentials(tmp_path, json.dumps(
            {"auths": {HOST: {"auth": code}}}))
    m = ecr.start(env={} if why == "nobody" else None, **options)
    done = run("cp", "-r", images.single.folder, m / ecr.repo() / "_tags/1", check=False)
    assert done.returncode == 1 and "No such file" in done.stderr
    lines = [row for row in errors(m).splitlines() if words in row]
    assert lines and all("ENOENT 404" in row and "does not exist in the registry" in row
                         for row in lines)
    assert len(ecr.asked("CreateRepository")) == (1 if why == "denied" else 0)
    left(m, ecr.repo(), "1")


# -- the rest that is Amazon's own ----------------------------------------------------

def test_delete(ecr, images):
    """DELETE is refused; the API takes one tag, or a manifest with all."""
    repo = images.single.fill(ecr.emu, ecr.repo(), "1")
    images.single.fill(ecr.emu, repo, "2")
    images.multi.fill(ecr.emu, repo, "3")
    m = ecr.start(allow_delete=True)
    os.rmdir(m / repo / "_tags/1")
    assert sorted(os.listdir(m / repo / "_tags")) == ["2", "3"]
    assert sha256(read_file(m / repo / "_tags/2/manifest.json")) == images.single.digest
    os.rmdir(m / repo / "_manifests" / images.multi.digest)
    assert sorted(os.listdir(m / repo / "_tags")) == ["2"]
    assert ecr.asked("BatchDeleteImage") == ["BatchDeleteImage"] * 2
    layer = images.single.document()["layers"][0]["digest"]
    assert errno_of(os.unlink, m / repo / "_blobs" / layer) == "EROFS"
    ecr.emu.set(aws_kept="2")
    assert errno_of(os.rmdir, m / repo / "_tags/2") == "EPERM"
    assert "ImageReferencedByManifestList" in errors(m)
    assert os.listdir(m / repo / "_tags") == ["2"]


def test_delete_refused(ecr, images, tmp_path):
    repo = images.single.fill(ecr.emu, ecr.repo(), "1")
    ecr.emu.set(aws_errors={"BatchDeleteImage": ["AccessDeniedException", "no"]})
    m = ecr.start(allow_delete=True)
    assert errno_of(os.rmdir, m / repo / "_tags/1") == "EACCES"
    code = base64.b64encode(b"AWS:secret").decode()
    path = credentials(tmp_path, json.dumps({"auths": {HOST: {"auth": code}}}))
    m = ecr.start(allow_delete=True, env={}, authfile=path)
    assert errno_of(os.rmdir, m / repo / "_tags/1") == "EPERM"
    assert errno_of(os.rmdir, m / repo / "_manifests" / images.single.digest) == "EROFS"
    assert os.listdir(m / repo / "_tags") == ["1"]


def test_immutable_tag(ecr, images):
    repo = images.single.fill(ecr.emu, ecr.repo(), "1")
    ecr.emu.set(immutable=400)
    m = ecr.start()
    done = run("cp", "-r", f"{images.multi.folder}/.", m / repo / "_tags/1", check=False)
    assert done.returncode == 1 and "Operation not permitted" in done.stderr
    assert "cannot be overwritten because the repository is immutable" in errors(m)
    held(ecr, repo, "1", images.single)
    assert ecr.asked() == ["GetAuthorizationToken"]


def test_long_lists(ecr, images):
    """Text that is JSON, opaque links, and never more than 1000 at once."""
    repo = images.single.fill(ecr.emu, ecr.repo(), "0")
    ecr.emu.call("many_tags", repo=repo, digest=images.single.digest, count=2300)
    m = ecr.start()
    assert len(os.listdir(m / repo / "_tags")) == 2301
    pages = [e for e in ecr.emu.log(where="registry", path="/tags/list")
             if e["status"] == 200]
    assert len(pages) == 3 and all("n=1000" in e["target"] for e in pages)
    assert errors(m) == ""


def test_second_push_sends_nothing(ecr, images):
    m = ecr.start()
    run("cp", "-r", images.large.folder, m / ecr.repo() / "_tags/1")
    mark = ecr.emu.mark()
    run("cp", "-r", images.large.folder, m / ecr.repo() / "_tags/2")
    assert sent(ecr.emu.log(since=mark)) == []
    held(ecr, ecr.repo(), "2", images.large)


def test_parts(ecr):
    """A stream that is cut twice goes on in parts of 5 to 20 MiB."""
    ecr.emu.call("raw_names", repos=[ecr.repo()])
    ecr.emu.set(partial_patch="lost")
    ecr.emu.fault(where="registry", method="PATCH", count=2,
                  cut_request={"at": 3 << 20, "how": "rst"})
    m = ecr.start()
    data = os.urandom(1 << 20) * 36
    (m / ecr.repo() / "_blobs" / sha256(data)).write_bytes(data)
    sizes = [e["received"] for e in ecr.emu.log(method="PATCH") if e["status"] == 202]
    assert sum(sizes) == len(data) and len(sizes) > 1
    assert all(5 << 20 <= s <= 20 << 20 for s in sizes[:-1]) and sizes[-1] <= 20 << 20
    assert ["blob", ecr.repo(), sha256(data)] in ecr.emu.call("commits")
    assert errors(m) == ""


# -- ECR Public --------------------------------------------------------------------

def test_public_anonymous(public, images):
    repo = images.single.fill(public.emu, public.repo())
    m = public.start(env={})
    assert os.listdir(m / repo / "_tags") == ["1.4"]
    assert public.asked() == []
    assert errors(m) == ""


def test_public_with_keys(public, images):
    """The password buys tokens; who pushes has one."""
    public.emu.call("raw_names", repos=[public.repo()])
    m = public.start()
    run("cp", "-r", images.single.folder, m / public.repo() / "_tags/1")
    assert sorted(os.listdir(m / public.repo() / "_tags")) == ["1"]
    assert public.asked() == ["GetAuthorizationToken"]
    basic = [e for e in public.emu.log() if e["headers"].get(
        "authorization", "").startswith("Basic ")]
    assert basic and all(e["target"].startswith("/token/") for e in basic)
    quiet(m, SECRET)


def test_public_token_ends(public, images):
    """400 and no challenge: a new token."""
    repo = images.single.fill(public.emu, public.repo())
    m = public.start(env={}, tag_ttl=0)
    read_file(m / repo / "_tags/1.4/manifest.json")
    public.emu.call("expire", what=["tokens"])
    assert os.listdir(m / repo / "_tags") == ["1.4"]
    assert len([e for e in public.emu.log(path="/token/")]) >= 2
    assert errors(m) == ""


def test_public_without_leave(public, images):
    """Who may not ask for a password reads like everybody; and does not push, nor
    is a repository created in an account that may be another's."""
    repo = images.single.fill(public.emu, public.repo())
    public.emu.set(aws_errors={"GetAuthorizationToken": ["AccessDeniedException", "no"]})
    m = public.start()
    assert os.listdir(m / repo / "_tags") == ["1.4"]
    done = run("cp", "-r", images.multi.folder, m / public.repo("new") / "_tags/1",
               check=False)
    assert done.returncode == 1
    assert set(public.asked()) == {"GetAuthorizationToken"}
