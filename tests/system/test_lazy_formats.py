# SPDX-License-Identifier: Apache-2.0
"""Layers with a table of contents are read through it: few bytes, all checked."""
import gzip
import os
import random
import subprocess

import pytest

import lazyimages
from survey import content_of, same, survey, text_digest, unpack
from tarmaker import END, directory, file
from tools import errno_of, need, read_at, read_file

MIB = 1 << 20
COUNT = 60
MAKERS = {
    "estargz": lambda folder, **k: lazyimages.estargz(folder, **k),
    "stargz": lambda folder, **k: lazyimages.estargz(folder, legacy=True, **k),
    "zstd:chunked": lambda folder, **k: lazyimages.zchunked(folder, **k),
    "zstd:chunked of stargz": lambda folder, **k: lazyimages.zchunked(
        folder, stargz=True, **k),
}


def body(n):
    return random.Random(n).randbytes(40_000).hex().encode()


def big_tar():
    """5 MB in 60 files of two chunks each, and one of many."""
    tar = directory("d")
    for n in range(COUNT):
        tar += file(f"d/f{n:02}", body(n), uid=n)
    return tar + file("many", b"".join(body(n) for n in range(20))) + END


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """made(kind, **switches) -> LazyImage of the big archive, made once."""
    folder, tar, kept = tmp_path_factory.mktemp("lazy"), big_tar(), {}

    def make(kind, **switches):
        key = (kind, *sorted(switches.items()))
        if key not in kept:
            need("zstd")
            kept[key] = MAKERS[kind](folder / str(len(kept)), tar=tar, **switches)
        return kept[key]

    return make


def put(emu, image):
    image.fill(emu, "a")
    emu.layer = image.layers()[0]["digest"]
    emu.size = image.layers()[0]["size"]
    return f"a/_rootfs/{image.digest}"


def traffic(emu, since=0):
    """(requests, bytes) for the layer's blob."""
    found = emu.log(path=emu.layer, method="GET", since=since)
    return len(found), sum(e["sent"] for e in found)


def spoil_file(emu, image, name, layer=0):
    """A wrong byte in the compressed bytes of a file's content, from now on."""
    document, _ = lazyimages.table(image, layer)
    entry = next(e for e in document["entries"] if e["name"] == name and e.get("offset"))
    emu.fault(path=emu.layer, method="GET", flip=entry["offset"] + 300, count=0)


@pytest.mark.parametrize("kind", MAKERS)
def test_right(shelf, tmp_path, kind):
    """The tree is that of the archive, whichever way it was read."""
    need("zstd")
    tar = lazyimages.some_tar()
    image = MAKERS[kind](tmp_path / "i", tar=tar)
    shown = survey(shelf.rootfs(image))
    truth = unpack("tar", tar, tmp_path / "t")
    truth.pop(b"var/.wh.gone")
    same(shown, truth, skip=[b""])
    layer = survey(shelf.mount / f"t/_layers/{image.layers()[0]['digest']}")
    assert set(layer) == set(truth) | {b"var/.wh.gone"}


@pytest.mark.parametrize("kind", MAKERS)
def test_lazily(mount, emu, made, kind):
    """Names cost the table; a file costs its own bytes; nothing is read twice."""
    image = made(kind)
    root = mount(emu) / put(emu, image)
    names = sorted(os.listdir(root / "d"))
    assert names == [f"f{n:02}" for n in range(COUNT)]
    assert sum(os.stat(root / "d" / n).st_size for n in names) == COUNT * 80_000
    requests, moved = traffic(emu)
    assert requests <= 3 and moved < emu.size / 4
    assert read_file(root / "d/f30") == body(30)
    requests, moved = traffic(emu)
    assert requests <= 5 and moved < emu.size / 2
    assert read_at(root / "many", 10 * 80_000, 4096) == body(10)[:4096]
    assert traffic(emu)[1] < emu.size * 3 / 4
    for n in range(COUNT):
        assert read_file(root / f"d/f{n:02}") == body(n)
    assert traffic(emu)[1] <= emu.size * 1.1


@pytest.mark.parametrize("kind", MAKERS)
def test_strict_is_lazy_too(mount, emu, made, kind):
    """Chunk digests prove what is read: strict need not fetch it all."""
    image = made(kind)
    root = mount(emu, verify="strict") / put(emu, image)
    assert read_file(root / "d/f10") == body(10)
    assert traffic(emu)[1] < emu.size / 2


@pytest.mark.parametrize("verify", ["lazy", "strict"])
@pytest.mark.parametrize("kind", MAKERS)
def test_chunk_digests(mount, emu, made, kind, verify):
    """One wrong byte: that file fails, the others are right."""
    image = made(kind)
    m = mount(emu, verify=verify)
    root = m / put(emu, image)
    spoil_file(emu, image, "d/f20")
    assert errno_of(read_file, root / "d/f20") == "EBADMSG"
    for n in (0, 19, 21, 59):
        assert read_file(root / f"d/f{n:02}") == body(n)
    assert errno_of(read_file, root / "d/f20") == "EBADMSG"
    assert "EBADMSG" in m.status("errors")
    emu.clear_faults()
    assert read_file(root / "d/f20") == body(20)     # nothing bad was kept


@pytest.mark.parametrize("option, value", [("layer_entries", 10), ("layer_size", "1M")])
def test_a_table_has_limits_too(mount, emu, made, option, value):
    m = mount(emu, **{option: value})
    root = m / put(emu, made("estargz"))
    assert errno_of(os.listdir, root) == "EFBIG"
    assert option in m.status("errors")


@pytest.mark.parametrize("kind", ["estargz", "zstd:chunked"])
def test_kept_over_a_restart(mount, emu, made, kind):
    """The table is read once; afterwards a file costs its own range."""
    image = made(kind)
    m = mount(emu)
    path = put(emu, image)
    os.listdir(m / path / "d")
    m.restart()
    mark = emu.mark()
    assert len(os.listdir(m / path / "d")) == COUNT
    assert traffic(emu, mark) == (0, 0)
    assert read_file(m / path / "d/f40") == body(40)
    assert traffic(emu, mark)[0] <= 2


@pytest.mark.parametrize("lie", ["toc-digest", "offset"])
@pytest.mark.parametrize("kind", MAKERS)
def test_lying_table_is_not_used(mount, emu, made, kind, lie):
    """A table that is not what the manifest says, or that points nowhere: the
    layer is read as the archive that it also is."""
    image = made(kind, lie=lie)
    m = mount(emu)
    root = m / put(emu, image)
    assert len(os.listdir(root / "d")) == COUNT
    for n in (0, 30, 59):
        assert read_file(root / f"d/f{n:02}") == body(n)
    assert os.stat(root / "d/f07").st_uid == 7
    assert traffic(emu)[1] >= emu.size * 0.98
    assert "EBADMSG" in m.status("errors")


@pytest.mark.parametrize("kind", MAKERS)
def test_lying_chunk_digest(mount, emu, made, kind):
    """The first file's digest is not its own: that file fails."""
    image = made(kind, lie="chunk-digest")
    root = mount(emu) / put(emu, image)
    assert errno_of(read_file, root / "d/f00") == "EBADMSG"
    assert read_file(root / "d/f01") == body(1)
    assert len(os.listdir(root / "d")) == COUNT


@pytest.mark.parametrize("kind", MAKERS)
def test_table_and_archive_disagree(mount, emu, made, kind):
    """With a right digest the table is what is shown (as the manual says)."""
    image = made(kind, lie="disagree")
    root = mount(emu) / put(emu, image)
    assert "only-in-the-table" in os.listdir(root)
    assert "f00" not in os.listdir(root / "d")
    assert read_file(root / "only-in-the-table") == body(0)


@pytest.mark.parametrize("kind", MAKERS)
def test_table_that_nobody_vouches_for(mount, emu, made, kind):
    """Without its annotation a table proves nothing: the archive is read."""
    image = made(kind, annotated=False, lie="disagree")
    root = mount(emu) / put(emu, image)
    assert "only-in-the-table" not in os.listdir(root)
    assert read_file(root / "d/f00") == body(0)
    assert traffic(emu)[1] >= emu.size * 0.98
    shown = os.listdir(root)
    assert "stargz.index.json" not in shown or kind.startswith("zstd") is False


@pytest.mark.parametrize("landmark", ["prefetch", "no"])
def test_landmarks(shelf, tmp_path, landmark):
    """What marks the place to prefetch up to is no file of the image."""
    image = lazyimages.estargz(tmp_path / "i", landmark=landmark)
    root = shelf.rootfs(image)
    assert not [n for n in os.listdir(root) if "landmark" in n or "stargz" in n]
    assert read_file(root / "etc/passwd").startswith(b"root:")


def test_without_the_manifest(mount, emu, made):
    """_layers/DIGEST knows no annotation, unless an image that was looked at
    gave one: the archive, or the table; the same files."""
    image = made("estargz")
    put(emu, image)
    path = mount(emu) / f"a/_layers/{emu.layer}"
    assert read_file(path / "d/f33") == body(33)
    assert len(os.listdir(path / "d")) == COUNT


def test_both_kinds_declared(mount, emu, made):
    """Annotations of both formats on one layer: neither is believed."""
    image = made("estargz")
    other = made("zstd:chunked")
    document = image.document()
    document["layers"][0]["annotations"].update(other.layers()[0]["annotations"])
    put(emu, image)
    digest = emu.add_manifest("a", document)
    root = mount(emu) / f"a/_rootfs/{digest}"
    assert len(os.listdir(root / "d")) == COUNT
    assert read_file(root / "d/f44") == body(44)


@pytest.mark.parametrize("kind", ["estargz", "zstd:chunked"])
def test_malformed_annotations(mount, emu, made, kind):
    image = made(kind)
    put(emu, image)
    m = mount(emu)
    for n, value in enumerate(("", "sha256:zz", "1:2", "-1:5:5:1", "9" * 40)):
        document = image.document()
        notes = document["layers"][0]["annotations"]
        for key in notes:
            notes[key] = value
        digest = emu.add_manifest("a", document, tag=f"m{n}")
        assert read_file(m / f"a/_rootfs/{digest}/d/f01") == body(1)


def test_footer_cut_off(mount, emu, made):
    """A declared table that is not there: the rest is a good archive."""
    image = made("estargz")
    layer = image.layers()[0]
    put(emu, image)
    blob = image.blob().read_bytes()
    plain = gzip.compress(gzip.decompress(blob), 1)
    document = image.document()
    document["layers"][0].update(digest=emu.add_blob("a", plain), size=len(plain))
    digest = emu.add_manifest("a", document)
    root = mount(emu) / f"a/_rootfs/{digest}"
    assert read_file(root / "d/f05") == body(5) and layer["size"] != len(plain)


# -- real tools --------------------------------------------------------------------

@pytest.fixture(scope="module")
def by_tools(tmp_path_factory):
    """by_tools(kind) -> the image as ctr-remote or skopeo converted it."""
    folder, kept = tmp_path_factory.mktemp("tools"), {}
    makers = {"ctr estargz": lambda d, i: lazyimages.by_ctr(d, i),
              "ctr zstd:chunked": lambda d, i: lazyimages.by_ctr(d, i, zstd=True),
              "skopeo zstd:chunked": lambda d, i: lazyimages.by_skopeo(d, i)}

    def make(kind):
        if "plain" not in kept:
            kept["plain"] = lazyimages.plain_layout(
                folder / "plain", [lazyimages.some_tar(), big_tar()])
        if kind not in kept:
            kept[kind] = makers[kind](folder / str(len(kept)), kept["plain"])
        return kept[kind]

    return make


@pytest.mark.limit(120)
@pytest.mark.parametrize("kind", ["ctr estargz", "ctr zstd:chunked",
                                  "skopeo zstd:chunked"])
def test_by_real_tools(mount, emu, by_tools, tmp_path, kind):
    """Images that the formats' own tools made, against GNU tar; read lazily."""
    image = by_tools(kind)
    m = mount(emu)
    root = m / put(emu, image)
    assert read_file(root / "d/f33") == body(33)
    emu.layer, emu.size = (image.layers()[1][k] for k in ("digest", "size"))
    assert traffic(emu)[1] < emu.size / 2
    shown, truth = survey(root), {}
    for n, layer in enumerate(image.layers()):
        tool = "gzip" if layer["mediaType"].endswith("gzip") else "zstd"
        tar = subprocess.run([tool, "-dqc"], input=image.blob(n).read_bytes(),
                             stdout=subprocess.PIPE, check=True).stdout
        truth |= unpack("tar", tar, tmp_path / f"t{n}")
    for name in [b"var/.wh.gone", *truth]:
        if b"landmark" in name or b"/.wh." in name or name == b"stargz.index.json":
            truth.pop(name, None)
    same(shown, truth, skip=[b""])
    assert shown[b"var/text"].content == text_digest(
        "".join(f"line {i}\n" for i in range(60_000)).encode())
    assert "EBADMSG" not in m.status("errors")


@pytest.mark.parametrize("kind", ["ctr estargz", "skopeo zstd:chunked"])
def test_real_chunks_are_checked(mount, emu, by_tools, kind):
    image = by_tools(kind)
    m = mount(emu)
    root = m / put(emu, image)
    emu.layer = image.layers()[1]["digest"]
    spoil_file(emu, image, "d/f20", 1)
    assert content_of(root / "d/f20") == "EBADMSG"
    for n in (0, 19, 21, 59):
        assert read_file(root / f"d/f{n:02}") == body(n)
