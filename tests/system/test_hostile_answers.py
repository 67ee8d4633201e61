# SPDX-License-Identifier: Apache-2.0
"""What a registry answers, and it is not what was asked for: rows A13 to A21.

One registry and one mount for all; whatever is said, the answer is the right bytes
or an errno, in bounded time and memory, and a good image stays readable."""
import concurrent.futures
import json
import os
import re
import time

import pytest

import mounting
from emulator.client import EmulatorProcess
from hostile import Scripted, as_json
from images import CONFIG, INDEX, LAYER, MANIFEST
from tools import errno_of, read_at, read_file, sha256, timed

MIB = 1 << 20
REFUSED = ("EIO", "EBADMSG", "EINVAL", "EFBIG", "ELOOP")


class Place:
    def __init__(self, folder, images):
        self.emu = EmulatorProcess("distribution3")
        images.single.fill(self.emu, "a")
        self.truth = images.single.data(images.single.digest)
        self.folder, self.mounts = folder, []
        self.count = 0

    @property
    def mount(self):
        """One that died fails the test at hand; the next has another."""
        if not self.mounts or self.mounts[-1].process.poll() is not None:
            self.mounts.append(mounting.Mount(
                self.folder / f"m{len(self.mounts)}", self.emu.address, timeout=2,
                retries=1, tag_ttl=0))
        return self.mounts[-1]

    @property
    def tags(self):
        return self.mount / "a/_tags"

    def new(self):
        self.count += 1
        return f"t{self.count}"

    def put(self, text, kind=MANIFEST):
        """The directory of a new tag that means this document."""
        tag = self.new()
        self.emu.add_manifest("a", text if isinstance(text, str) else json.dumps(text),
                              kind, tag=tag)
        return self.tags / tag

    def check(self):
        self.emu.clear_faults()
        last = self.mounts[-1]
        assert last.process.poll() is None, last.log()[-3000:]
        assert read_file(self.tags / "1.4/manifest.json") == self.truth
        text = (self.mount / ".registryfs/errors").read_bytes().decode()   # is UTF-8
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)

    def stop(self):
        try:
            self.mount.finish()
        finally:
            for m in self.mounts:
                m.destroy()
            self.emu.stop()


@pytest.fixture(scope="module")
def module_place(tmp_path_factory, images):
    made = Place(tmp_path_factory.mktemp("place"), images)
    yield made
    made.stop()


@pytest.fixture
def place(module_place):
    yield module_place
    module_place.check()


def use(tag):
    """Everything of an image that is made of its documents."""
    read_file(tag / "manifest.json")
    read_file(tag / "config.json")
    os.listdir(tag / "blobs/sha256")
    os.listdir(tag / "layers")
    read_file(tag / "index.json")


# -- A13: lengths and headers --------------------------------------------------------------

LENGTHS = {"2^63-1": "9223372036854775807", "2^64": "18446744073709551616", "-1": "-1",
           "two": "10|20", "text": "ten", "hex": "0x10", "blank": "1 0", "list": "10, 10",
           "plus": "+10"}


@pytest.mark.parametrize("name", LENGTHS)
def test_a13_length(place, name):
    """Of a document, a list and a blob: no memory is taken on such a word."""
    spec = {"length": LENGTHS[name], "count": 0}
    digest = place.emu.add_blob("a", name.encode() * 50)
    for path in ("/manifests/t", "/tags/list", "/blobs/"):
        place.emu.fault(path=path, **spec)
    tag = place.put({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "config": {
        "mediaType": CONFIG, "size": 2, "digest": place.emu.add_blob("a", b"{}")},
        "annotations": {"x": name}})
    took, results = timed(lambda: [errno_of(use, tag), errno_of(os.listdir, place.tags)])
    assert took < 9 and set(results) <= {*REFUSED, "ETIMEDOUT", "ENOENT", None}
    data = b""
    try:
        data = read_file(place.mount / f"a/_blobs/{digest}")
    except OSError:
        pass
    assert data in (b"", name.encode() * 50)
    assert place.mount.rss() < 250 * MIB


@pytest.mark.parametrize("size", [100_000, 1_000_000])
@pytest.mark.parametrize("path", ["/manifests/", "/tags/list", "/blobs/"])
def test_a13_headers(place, path, size):
    place.emu.fault(path=path, count=0, huge_headers=size)
    digest = place.emu.add_blob("a", b"%d" % size)
    what = {"/manifests/": lambda: os.stat(place.tags / place.new()),
            "/tags/list": lambda: os.listdir(place.tags),
            "/blobs/": lambda: read_file(place.mount / f"a/_blobs/{digest}")}[path]
    assert errno_of(what) in ("EIO", "ENOENT", None)
    if path != "/tags/list":
        assert errno_of(what) == "EIO"


# -- A14: ranges ---------------------------------------------------------------------------

LIES = ["start", "end", "total", "unit", "garbage", "missing", "two", "another", "short",
        "few", "extra", "multipart", "ignored", "star"]
BIG = os.urandom(12 * MIB)


@pytest.mark.parametrize("lie", LIES)
def test_a14_range(mount, module_place, lie):
    """At the beginning, in the middle and at the end: right, or an error."""
    place = module_place
    data = lie.encode() + BIG
    digest = place.emu.add_blob("a", data)
    path = place.mount / f"a/_blobs/{digest}"
    os.stat(path)
    place.emu.fault(path=digest, method="GET", count=0, range_lie=lie)
    for off in (9 * MIB + 5, len(data) - 100, 4 * MIB - 3, 0):
        try:
            assert read_at(path, off, 8000) == data[off:off + 8000]
        except OSError:
            pass
    place.check()
    assert read_at(path, 9 * MIB + 5, 8000) == data[9 * MIB + 5:][:8000]


# -- A15: encodings ------------------------------------------------------------------------

@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "compress", "x-gzip",
                                    "gzip, identity", "identity, gzip", "GZIP", "chunked"])
def test_a15_encoding(place, coding):
    """Nobody asked for one: what claims to be encoded is refused."""
    digest = place.emu.add_blob("a", coding.encode() * 3)
    place.emu.fault(path="/blobs/|/manifests/", count=0,
                    headers={"Content-Encoding": coding})
    assert errno_of(read_file, place.mount / f"a/_blobs/{digest}") == "EIO"
    assert errno_of(os.stat, place.tags / place.new()) in ("EIO", "ENOENT")
    assert {e["headers"].get("accept-encoding", "identity") for e in place.emu.log()} == {
        "identity"}


# -- A16: other documents ------------------------------------------------------------------

@pytest.mark.parametrize("by", ["digest", "tag", "config", "blob", "index"])
def test_a16_swapped(place, images, by):
    """Another body under the right headers: EBADMSG, or an error at least."""
    images.multi.fill(place.emu, f"swap/{by}")
    repo, multi = place.mount / "swap" / by, images.multi
    child = multi.document()["manifests"][0]["digest"]
    config = multi.document(child)["config"]["digest"]
    layer = multi.document(child)["layers"][1]["digest"]
    path, wrong = {
        "digest": (f"/manifests/{child}", multi.data(multi.manifests()[2])),
        "index": (f"/manifests/{multi.digest}", multi.data(child)),
        "tag": ("/manifests/multi", multi.data(child)),
        "config": (f"/blobs/{config}", b'{"architecture":"amd64","os":"linux"}'),
        "blob": (f"/blobs/{layer}", b"x" * len(multi.data(layer)))}[by]
    place.emu.fault(path=path, count=0, body=wrong.decode())
    read = {"digest": repo / f"_manifests/{child}/manifest.json",
            "index": repo / f"_manifests/{multi.digest}/index.json",
            "tag": repo / "_tags/multi/index.json",
            "config": repo / f"_manifests/{child}/config.json",
            "blob": repo / f"_blobs/{layer}"}[by]
    assert errno_of(read_file, read) in REFUSED
    place.emu.clear_faults()
    until = time.monotonic() + 10
    while errno_of(read_file, read) and time.monotonic() < until:
        time.sleep(0.05)
    assert read_file(read)


# -- A17: two readings ---------------------------------------------------------------------

ONE = {"mediaType": CONFIG, "size": 2, "digest": "sha256:" + "1" * 64}
TWO = {"mediaType": MANIFEST, "size": 2, "digest": "sha256:" + "2" * 64}
IMAGE = {"schemaVersion": 2, "mediaType": MANIFEST, "config": ONE, "layers": []}
DOCKER = "application/vnd.docker.distribution."
AMBIGUOUS = {
    "manifest with manifests": ({**IMAGE, "manifests": [TWO]}, MANIFEST),
    "index with layers": ({"schemaVersion": 2, "mediaType": INDEX, "manifests": [TWO],
                           "layers": []}, INDEX),
    "index with config": ({"schemaVersion": 2, "mediaType": INDEX, "manifests": [TWO],
                           "config": ONE}, INDEX),
    "manifest as index": (IMAGE, INDEX),
    "index as manifest": ({"schemaVersion": 2, "mediaType": INDEX, "manifests": [TWO]},
                          MANIFEST),
    "docker as oci": ({**IMAGE, "mediaType": DOCKER + "manifest.v2+json"}, MANIFEST),
    "oci as docker": (IMAGE, DOCKER + "manifest.v2+json"),
    "no type, both": ({k: v for k, v in IMAGE.items() if k != "mediaType"}
                      | {"manifests": [TWO]}, MANIFEST),
    "schema 1 in schema 2": ({**IMAGE, "fsLayers": [], "history": []}, MANIFEST),
    "version 1": ({**IMAGE, "schemaVersion": 1}, MANIFEST),
    "type is a list": ({**IMAGE, "mediaType": [MANIFEST]}, MANIFEST),
    "type twice": (json.dumps(IMAGE)[:-1] + f',"mediaType":"{INDEX}"}}', MANIFEST),
    "type as text/html": (IMAGE, "text/html"),
}
# Read as what they say they are; nothing else in them is looked at.
HARMLESS = {"schema 1 in schema 2", "type as text/html"}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_a17_ambiguous(place, name):
    document, kind = AMBIGUOUS[name]
    tag = place.put(document, kind)
    result = errno_of(use, tag)
    assert result in REFUSED or (name in HARMLESS and result == "ENOENT"), result


def test_a17_type_changes(place):
    """A digest is what it was, whatever type it is given the next time."""
    tag = place.put({**IMAGE, "annotations": {"n": "1"}})
    digest = os.getxattr(tag, "user.oci.digest").decode()
    place.emu.fault(path="/manifests/", count=0, headers={"Content-Type": INDEX})
    path = place.mount / f"a/_manifests/{digest}"
    assert errno_of(read_file, path / "manifest.json") in (None, *REFUSED)
    names = set()
    if errno_of(os.listdir, path) is None:
        names = set(os.listdir(path))
        assert "manifest.json" in names and "platforms" not in names


# -- A18: digests --------------------------------------------------------------------------

HEX = "0123456789abcdef" * 4
DIGESTS = {
    "path": "sha256:../../../../etc/passwd", "slash": f"sha256:{HEX[:32]}/{HEX[33:]}",
    "short": f"sha256:{HEX[:63]}", "long": f"sha256:{HEX}0", "upper": f"sha256:{HEX}".upper(),
    "upper hex": f"sha256:{HEX.upper()}", "empty": "", "bare": HEX, "no hex": "sha256:",
    "md5": "md5:" + HEX[:32], "sha1": "sha1:" + HEX[:40], "blank": f"sha256: {HEX[1:]}",
    "newline": f"sha256:{HEX}\n", "NUL": f"sha256:{HEX}\0", "percent": f"sha256:%30{HEX[1:]}",
    "sha512 as short as 256": f"sha512:{HEX}", "plus": f"sha256+b64:{HEX}",
    "number": 7, "null": None, "list": [f"sha256:{HEX}"], "unicode": f"sha256:\u0661{HEX[1:]}",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_a18_digest(place, name):
    """As config, layer or child: the document is refused before anybody is asked, or
    anything written."""
    bad = {"mediaType": LAYER, "size": 2, "digest": DIGESTS[name]}
    documents = [({**IMAGE, "config": {**bad, "mediaType": CONFIG}}, MANIFEST),
                 ({**IMAGE, "layers": [bad]}, MANIFEST),
                 ({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
                     {**bad, "mediaType": MANIFEST}]}, INDEX)]
    tags = [place.put(*d) for d in documents]
    mark = place.emu.mark()
    for tag in tags:
        assert errno_of(use, tag) in REFUSED
    asked = {e["target"] for e in place.emu.log(since=mark)}
    assert all(re.fullmatch(r"/v2/a/manifests/(t\d+|sha256:[0-9a-f]{64})", t)
               for t in asked), asked


# -- A19: giants ---------------------------------------------------------------------------

def test_a19_many_costly_at_once(mount):
    """Sixteen documents of four megabytes, each costly to parse, at the same time."""
    text = b'{"schemaVersion":2,"mediaType":"%s","n":%%s,"layers":[{}%s]}' % (
        MANIFEST.encode(), b",{}" * 1_300_000)

    def answer(method, path, headers):
        return (200, {"Content-Type": MANIFEST}, text % path[-2:].encode()) \
            if "/manifests/" in path else as_json(404, {})

    server = Scripted(answer)
    try:
        m = mount(server.address, timeout=5, retries=1)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            results = list(pool.map(lambda n: errno_of(use, m / f"a/_tags/t{n}"),
                                    range(10, 26)))
        assert set(results) <= {*REFUSED, "ETIMEDOUT", "EBUSY"}, results
        assert m.rss() < 400 * MIB
    finally:
        server.stop()


@pytest.mark.parametrize("what", ["error", "tags", "names", "referrers"])
def test_a19_large_answers(place, what):
    """More than an answer of its kind can be: an error, and little memory."""
    if what == "error":
        place.emu.fault(path="/manifests/t", count=0, status=403, body=json.dumps(
            {"errors": [{"code": "DENIED", "message": "x" * (3 * MIB)}]}))
        assert errno_of(os.stat, place.tags / place.new()) in ("EACCES", "EIO")
        assert len(place.mount.status("errors")) < 100_000
    elif what == "tags":
        place.emu.fault(path="/tags/list", count=0, status=200,
                        body='{"name":"a","tags":["' + "x" * (33 * MIB) + '"]}')
        assert errno_of(os.listdir, place.mount / "giant/_tags") in REFUSED
    elif what == "names":
        names = '","'.join(f"n{n}" for n in range(300_000))
        place.emu.fault(path="/tags/list", count=0, status=200,
                        body='{"name":"a","tags":["' + names + '"]}')
        assert errno_of(os.listdir, place.mount / "many/_tags") in (*REFUSED, None)
    else:
        place.emu.fault(path="/referrers/", count=0, body='{"schemaVersion":2,"manifests":['
                        + "{}" + ",{}" * 1_300_000 + "]}")
        assert errno_of(os.listdir, place.tags / "1.4/referrers") in (*REFUSED, None)
    assert place.mount.rss() < 400 * MIB


# -- A20: indexes --------------------------------------------------------------------------

def nested(place, levels, width, inner):
    """An index of `width` same indexes of `width` same ones, and so on."""
    item = inner
    for level in range(levels):
        text = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            {**item, "platform": {"os": "linux", "architecture": "amd64",
                                  "variant": f"v{n}"}} for n in range(width)]})
        item = {"mediaType": INDEX, "size": len(text),
                "digest": place.emu.add_manifest("a", text, INDEX)}
    tag = place.new()
    place.emu.call("tag", repo="a", tag=tag, digest=item["digest"])
    return place.tags / tag


@pytest.mark.parametrize("levels, width", [(2, 500), (4, 300), (3, 1), (12, 2), (60, 1)])
def test_a20_nested(place, images, levels, width):
    """The same index named ever again is looked at once; too deep is ELOOP."""
    tag = nested(place, levels, width, images.single.descriptor)
    mark = place.emu.mark()
    took, result = timed(errno_of, os.listdir, tag / "blobs/sha256")
    assert took < 6 and result in (None, *REFUSED)
    assert (result is not None) == (levels > 4), result
    assert len(place.emu.log(since=mark)) < 40
    took, _ = timed(errno_of, lambda: [os.lstat(e) for e in os.scandir(tag / "platforms")])
    assert took < 10                    # a list of n names is no work of n times n times n
    errno_of(read_file, tag / "config.json")
    assert place.mount.rss() < 400 * MIB


def test_a20_wide(place):
    """Thirty thousand children, none of which is there."""
    tag = place.put({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": MANIFEST, "digest": "sha256:%064x" % n, "size": 5}
        for n in range(30_000)]}, INDEX)
    mark = place.emu.mark()
    took, result = timed(errno_of, use, tag)
    assert took < 5 and result in REFUSED
    assert len(place.emu.log(since=mark)) < 10


def test_a20_child_is_another_type(place, images):
    """An index that says image of an index, and index of an image."""
    images.multi.fill(place.emu, "a")
    for said, image in ((MANIFEST, images.multi), (INDEX, images.single)):
        tag = place.put({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            {**image.descriptor, "mediaType": said, "annotations": {"n": said}}]}, INDEX)
        assert errno_of(use, tag) in (*REFUSED, "ENOENT"), said


# -- A21: JSON -----------------------------------------------------------------------------

GOOD = '{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[]%s}'
CONF = '{"mediaType":"%s","size":2,"digest":"sha256:%s"%s}'


def odd(more="", config=None, inner=""):
    """A manifest with this and that."""
    empty = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    return GOOD % (MANIFEST, config or CONF % (CONFIG, empty, inner), more)


JSON = {
    "double key": (odd(',"layers":[]'), False),
    "double key inside": (odd(inner=',"size":3'), False),
    "double key by escape": (odd(',"l\\u0061yers":[]'), False),
    "real": (odd(inner="").replace('"size":2', '"size":2.0'), False),
    "exponent": (odd().replace('"size":2', '"size":2e0'), False),
    "negative": (odd().replace('"size":2', '"size":-2'), False),
    "2^63": (odd().replace('"size":2', '"size":9223372036854775808'), False),
    "2^64+2": (odd().replace('"size":2', '"size":18446744073709551618'), False),
    "2^51": (odd().replace('"size":2', f'"size":{1 << 51}'), False),
    "size is text": (odd().replace('"size":2', '"size":"2"'), False),
    "size is true": (odd().replace('"size":2', '"size":true'), False),
    "no size": (odd().replace('"size":2,', ""), False),
    "leading zero": (odd().replace('"size":2', '"size":02'), False),
    "plus": (odd().replace('"size":2', '"size":+2'), False),
    "hex": (odd().replace('"size":2', '"size":0x2'), False),
    "NaN": (odd(',"x":NaN'), False), "infinity": (odd(',"x":1e999'), False),
    "NUL": (odd(',"x":"a\\u0000b"'), False), "raw NUL": (odd(',"x":"a\0b"'), False),
    "lone surrogate": (odd(',"x":"\\ud800"'), False),
    "raw newline": (odd(',"x":"a\nb"'), False),
    "comma at the end": (odd(","), False), "comment": (odd("/* x */"), False),
    "single quotes": (odd(",'x':1"), False), "trailing": (odd() + "{}", False),
    "BOM": ("\ufeff" + odd(), False), "cut": (odd()[:-1], False), "array": ("[]", False),
    "null": ("null", False), "text": ('"x"', False), "nothing": ("", False),
    "deep": (odd(',"x":' + "[" * 100 + "]" * 100), False),
    "layers null": (odd().replace('"layers":[]', '"layers":null'), True),
    "config null": (odd(config="null"), False), "config list": (odd(config="[]"), False),
    "annotations list": (odd(',"annotations":[]'), False),
    "annotations number": (odd(',"annotations":{"a":1}'), False),
    "subject text": (odd(',"subject":"x"'), False),
    "unknown key": (odd(',"x":{"y":[1,"z"]}'), True),
    "blanks": (" \r\n\t" + odd() + " \n", True),
    "escapes": (odd(',"\\u0078":"\\ud83d\\ude00"'), True),
    "63 deep": (odd(',"x":' + "[" * 60 + "]" * 60), True),
}


@pytest.mark.parametrize("name", JSON)
def test_a21_json(place, name):
    """What two parsers could read in two ways is refused, what is odd is not."""
    place.emu.add_blob("a", b"{}")
    text, good = JSON[name]
    tag = place.put(text)
    result = errno_of(use, tag)
    if good:
        assert result is None, place.mount.status("errors")
        assert read_file(tag / "manifest.json") == text.encode()
    else:
        assert result in REFUSED, result


CONFIGS = {
    "array": "[]", "null": "null", "text": '"x"', "garbage": "\x00\x01", "cut": '{"a":',
    "double": '{"os":"linux","os":"windows"}', "deep": "[" * 5000 + "]" * 5000,
    "os is a number": '{"os":7,"architecture":"amd64"}',
    "diff_ids text": '{"rootfs":{"type":"layers","diff_ids":"x"}}',
    "diff_ids paths": '{"rootfs":{"type":"layers","diff_ids":["../../x"]}}',
    "diff_ids too many": json.dumps({"rootfs": {"type": "layers", "diff_ids": [
        "sha256:" + HEX] * 5000}}),
    "history numbers": '{"history":[1,2,3]}', "history text": '{"history":"x"}',
    "history many": json.dumps({"history": [{}] * 20_000}),
    "history escapes": json.dumps({"history": [
        {"created_by": "\x1b[2J\r\n\x07\u009b" + "x" * 100_000}] * 9}),
    "created": '{"created":"99999999-99-99T99:99:99Z"}',
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a21_config(place, name):
    """Configurations: read as they are, and whatever is made of them is bounded."""
    text = CONFIGS[name].encode()
    config = {"mediaType": CONFIG, "size": len(text), "digest": place.emu.add_blob("a", text)}
    tag = place.put({**IMAGE, "config": config, "annotations": {"n": name}})
    assert read_file(tag / "config.json") == text
    assert sha256(read_file(tag / "config.json")) == config["digest"]
    for path in ("history", "layers", "rootfs", "platforms"):
        errno_of(os.listdir, tag / path)
    for folder, _, names in os.walk(tag / "history"):
        for history in names:
            data = errno_of(read_file, os.path.join(folder, history))
            assert data in (None, *REFUSED)
    try:
        shown = read_file(tag / "history")
    except OSError:
        shown = b""
    assert len(shown) <= MIB
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", shown.decode())
