# SPDX-License-Identifier: Apache-2.0
"""What is inside a layer, entry by entry, as real tools unpack it."""
import gzip
import json
import os
import random
import stat

import pytest

from images import MANIFEST, STAMP
from survey import content_of, same, survey, unpack
from tarcases import BINARY, CAPABILITY, CASES, DAMAGED, MANY, PIECES, SIZE
from tarmaker import (END, GZIP, Layer, ZSTD, build, by_gnu_tar, directory, fifo,
                      file, filtered, gz, gz_fields, gz_members, hardlink, node, pax,
                      plain, skippable, sparse_10, symlink, to_json, whiteout, whole,
                      xattr, zst, zst_frames, zst_seekable)
from tools import errno_of, need, read_at, read_file, run


def fuse_requests(m):
    return json.loads(m.status("status.json"))["metrics"]["fuse_requests"]


def at(path):
    return path.encode() if isinstance(path, str) else path


# -- every peculiarity of tar ----------------------------------------------------

def check_expected(shown, expect, alone):
    for path, fields in expect.items():
        entry = shown.get(at(path))
        assert entry, f"{path!r} is not there, only {sorted(shown)}"
        got = {k: getattr(entry, k) for k in fields}
        assert got == fields, path
    if alone:
        assert set(shown) - {b""} == {at(p) for p in expect} - {b""}


def check_oracle(case, shown, folder):
    tools = {"both": ("tar", "bsdtar")}.get(case.oracle, (case.oracle,))
    skip = {at(p): tuple(f) for p, f in case.expect.items()}
    for path in case.implied:
        skip[at(path)] = skip.get(at(path), ()) + ("mtime_ns",)
    if "" not in case.expect:
        skip[b""] = None
    for tool in tools:
        need(tool)
        truth = unpack(tool, case.tar, folder / tool)
        same(shown, truth, skip=skip)
        assert len(truth) > 1


@pytest.mark.parametrize("name", CASES)
def test_case(shelf, tmp_path, name):
    case = CASES[name]
    shown = survey(shelf.layer(plain(case.tar)))
    assert case.oracle != "none" or case.why
    if case.oracle != "none":
        check_oracle(case, shown, tmp_path)
    check_expected(shown, case.expect, case.oracle == "none")
    assert len({e.kind for e in shown.values()}) >= 1 and shown[b""].kind == "dir"


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(shelf, name):
    """What came before the damage is right, what is damaged says EBADMSG, and no
    listing claims to be complete."""
    tar = file("a", "before") + directory("d") + DAMAGED[name] + file("z", "after") + END
    path = shelf.layer(plain(tar))
    assert read_file(path / "a") == b"before"
    assert errno_of(os.listdir, path) == "EBADMSG"
    assert errno_of(read_file, path / "s") == "EBADMSG"
    assert errno_of(read_file, path / "z") == "EBADMSG"
    seen = []
    with pytest.raises(OSError):
        for entry in os.scandir(path):
            seen.append(entry.name)
    assert "a" in seen and "z" not in seen
    assert "EBADMSG" in (shelf.mount / ".registryfs/errors").read_text()


# -- names that no directory can hold ----------------------------------------------

@pytest.mark.parametrize("name", ["n" * 256, "\u00e9" * 200, "n" * 3000])
def test_component_too_long(shelf, name):
    """Shown under a shorter name; the raw one is in an attribute."""
    tar = directory("d") + pax({"path": "d/" + name}) + file("x", "long") \
        + pax({"path": "d/" + name[:-1] + "z"}) + file("x", "other") + END
    path = shelf.layer(plain(tar)) / "d"
    names = [os.fsencode(n) for n in os.listdir(path)]
    assert len(set(names)) == 2 and all(0 < len(n) <= 255 for n in names)
    found = {}
    for shown in names:
        full = os.fsencode(path) + b"/" + shown
        found[os.getxattr(full, "user.registryfs.name")] = read_file(full)
    assert found == {name.encode(): b"long", (name[:-1] + "z").encode(): b"other"}


def test_left_out_is_counted(shelf):
    """Somebody who looks is told that entries were left out."""
    tar = file("a", "x") + file("../b", "x") + pax({"path": b"c\0d"}) + file("x", "y") \
        + pax({"path": "p/" * 3000 + "q"}) + file("x", "y") + END
    path = shelf.layer(plain(tar))
    assert os.listdir(path) == ["a"]
    about = os.getxattr(path, "user.registryfs.about").decode()
    counts = dict(line.split(": ", 1) for line in about.splitlines())
    assert "3" in [v for k, v in counts.items() if "left" in k], about


def test_deep(shelf):
    """1,900 directories deep, as deep as 4,096 bytes of path go."""
    tar = pax({"path": "a/" * 1900 + "f"}) + file("x", "bottom") + END
    fd = os.open(shelf.layer(plain(tar)), os.O_RDONLY)
    try:
        for _ in range(1900):
            deeper = os.open("a", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = deeper
        assert os.listdir(fd) == ["f"]
        deeper = os.open("f", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = deeper
        assert os.read(fd, 100) == b"bottom"
    finally:
        os.close(fd)


# -- formats -----------------------------------------------------------------------

def rich():
    """An archive with some of everything, and enough for several restart points."""
    noise = random.Random(3)
    tar = directory("./", mode=0o755) + directory("bin") + directory("var/", mode=0o1777)
    for n in range(60):
        body = noise.randbytes(20_000).hex().encode() + bytes(1000 * n)
        tar += pax({"mtime": f"{STAMP - n}.{n:09}"})
        tar += file(f"bin/f{n:02}", body, mode=0o755 if n % 2 else 0o640, uid=n)
    tar += file("bin/big", noise.randbytes(1 << 20) + bytes(3 << 20))
    tar += hardlink("var/link", "bin/f07") + symlink("lib", "usr/lib")
    tar += node("null", b"3", 1, 3) + node("sda", b"4", 8, 0) + fifo("pipe")
    tar += xattr({"security.capability": CAPABILITY, "user.b": BINARY})
    tar += file("bin/ping", "ping", mode=0o4755)
    tar += sparse_10("sparse", PIECES, SIZE) + file("empty")
    tar += file(b"caf\xe9") + pax({"path": "n" * 200}) + file("x", "long")
    tar += file("bin/bin/again", "first") + file("bin/bin/again", "second")
    return tar + whiteout("gone") + END


RICH = rich()
CUTS = [1, 511, 512, 513, 100_000, 1, 700_000]
FORMATS = {
    "plain": lambda t: t,
    "gzip": lambda t: gz(t),
    "gzip -1": lambda t: gz(t, 1),
    "gzip -9": lambda t: gz(t, 9),
    "gzip stored": lambda t: gz(t, 0),
    "gzip all fields": gz_fields,
    "gzip members": lambda t: gz_members(t, CUTS),
    "gzip member a block": lambda t: gz_members(t[:400_000], [512] * 700) + gz(
        t[400_000:]),
    "gzip empty members": lambda t: gz(b"") + gz(t) + gz(b"") + gz(b""),
    "gzip zeros behind": lambda t: gz(t) + bytes(5000),
    "gzip by gzip": lambda t: filtered(t, "gzip", "-6", "-n"),
    "pigz": lambda t: filtered(t, "pigz", "-p2", "-b128"),
    "pigz -i": lambda t: filtered(t, "pigz", "-p2", "-i", "-b128"),
    "igzip": lambda t: filtered(t, "igzip", "-2", "-c"),
    "zstd": lambda t: zst(t),
    "zstd -19, no sum": lambda t: zst(t, "-12", "--no-check"),
    "zstd long": lambda t: zst(t, "--long=27"),
    "zstd frames": lambda t: b"".join(f for f, _ in zst_frames(t, 500_000)),
    "zstd skippable": lambda t: skippable(b"hello", 3) + zst(t) + skippable(b"end"),
    "zstd empty frame": lambda t: zst(b"") + zst(t) + zst(b""),
    "zstd seekable": lambda t: zst_seekable(t, 300_000),
    "zstd -T2": lambda t: zst(t, "-T2", "-B256K"),
}
PROGRAMS = {"pigz": "pigz", "igzip": "igzip", "zstd": "zstd"}


@pytest.fixture(scope="module")
def rich_truth(tmp_path_factory):
    """GNU tar's idea of the archive, but for where it gives up."""
    need("tar")
    return unpack("tar", RICH, tmp_path_factory.mktemp("rich") / "x")


@pytest.mark.parametrize("name", FORMATS)
def test_format(shelf, rich_truth, name):
    need(PROGRAMS.get(name.split()[0], "tar"))
    layer = Layer(RICH, FORMATS[name](RICH))
    path = shelf.layer(layer)
    implied = {b"bin/bin": ("mtime_ns",)}
    same(survey(path), rich_truth, skip=implied)
    assert len(rich_truth) > 70


@pytest.mark.parametrize("name", ["plain", "gzip", "gzip members", "pigz -i", "zstd",
                                  "zstd seekable"])
def test_random_reads(shelf, name):
    """Pieces at random places of files, in random order, before any other read."""
    body = random.Random(5).randbytes(2_500_000).hex().encode()
    tar = file("a", body) + sparse_10("s", MANY, 200_000) + END
    truth = {"a": body, "s": whole(MANY, 200_000)}
    path = shelf.layer(Layer(tar, FORMATS[name](tar)))
    dice = random.Random(name)
    for _ in range(150):
        which = dice.choice("aaas")
        off = dice.randrange(len(truth[which]) + 10)
        length = dice.choice((1, 100, 4096, 70_000, 1_200_000))
        assert read_at(path / which, off, length) == truth[which][off:off + length]


@pytest.mark.parametrize("options", [
    ("--format=gnu",), ("--format=pax",), ("--format=ustar",), ("--format=v7",),
    ("--format=gnu", "-S"), ("--format=pax", "-S", "--sparse-version=0.0"),
    ("--format=pax", "-S", "--sparse-version=0.1"),
    ("--format=pax", "-S", "--sparse-version=1.0"),
    ("--format=pax", "--xattrs", "--xattrs-include=*", "--acls"),
    ("bsdtar", "--format=pax"), ("bsdtar", "--format=gnutar"),
    ("bsdtar", "--format=pax", "--xattrs")], ids=" ".join)
def test_by_real_tools(shelf, tmp_path, options):
    """Archives that GNU tar and bsdtar wrote."""
    folder = real_folder(tmp_path / "f", long="pax" in " ".join(options)
                         or "gnu" in " ".join(options))
    if options[0] == "bsdtar":
        need("bsdtar")
        tar = run("bsdtar", "-C", folder, *options[1:], "-cf", "-", ".",
                  text=False).stdout
    else:
        tar = by_gnu_tar(folder, *options)
    shown = survey(shelf.layer(Layer(tar)))
    # The archive may hold less than the folder; what unpacks it says what.
    truth = unpack("bsdtar" if options[0] == "bsdtar" else "tar", tar, tmp_path / "t")
    same(shown, truth, skip={b"": ("mtime_ns",)})       # bsdtar's is now
    assert len(shown) >= 11


def real_folder(folder, long):
    folder.mkdir()
    (folder / "sub/deeper").mkdir(parents=True)
    (folder / "sub/text").write_text("text\n" * 1000)
    (folder / "sub/empty").write_text("")
    os.link(folder / "sub/text", folder / "sub/deeper/link")
    os.symlink("../text", folder / "sub/deeper/sym")
    os.mkfifo(folder / "fifo", 0o640)
    os.mknod(folder / "dev", stat.S_IFCHR | 0o600, os.makedev(5, 1))
    with open(folder / "holes", "wb") as f:
        for place in (0, 1 << 20, 3 << 20):
            f.seek(place)
            f.write(b"some data" * 500)
        f.truncate(5 << 20)
    with open(folder / "hole", "wb") as f:
        f.truncate(1 << 20)
    (folder / "suid").write_bytes(b"x")
    os.chown(folder / "suid", 12, 34)
    os.chmod(folder / "suid", 0o4711)
    os.setxattr(folder / "suid", "user.b", BINARY)
    os.setxattr(folder / "suid", "security.capability", CAPABILITY)
    with open(os.fsencode(folder) + b"/caf\xe9", "wb") as f:
        f.write(b"latin")
    if long:
        deep = folder / ("d" * 100) / ("e" * 100)
        deep.mkdir(parents=True)
        (deep / ("f" * 100)).write_text("deep")
        os.symlink("t" * 300, folder / "far")
        os.link(deep / ("f" * 100), folder / "sub/far")
    os.utime(folder / "sub/empty", ns=(1, 1_600_000_000_123_456_789))
    return folder


# -- what is no archive ------------------------------------------------------------

def test_empty_layer(shelf):
    assert os.listdir(shelf.layer(Layer(END))) == []


def test_empty_blob(shelf):
    """Nothing at all: an empty directory."""
    assert os.listdir(shelf.layer(plain(b""))) == []


@pytest.mark.parametrize("blob", [b"\x7fELF" + b"x" * 3000, b"{}", b"PK\3\4" + b"x" * 99,
                                  gz(b"no archive" * 200), zst(b"short")],
                         ids=["elf", "json", "zip", "gzipped", "zstd"])
def test_no_archive(shelf, blob):
    """Shown as the one raw file that it is, not an error."""
    layer = plain(blob)
    path = shelf.layer(layer)
    names = os.listdir(path)
    assert names == [f"sha256-{layer.digest[7:]}"]
    assert read_file(path / names[0]) == blob


def test_no_such_layer(shelf):
    path = shelf.layer(plain(END)).parent
    for name in ("sha256:" + "0" * 64, "sha256:zz", "x", "sha512:" + "0" * 128):
        assert errno_of(os.stat, path / name) == "ENOENT"


def test_manifest_is_no_layer(shelf):
    """A blob of any kind may be looked into; a document is a raw file."""
    text = to_json({"schemaVersion": 2, "mediaType": MANIFEST})
    path = shelf.layer(plain(text))
    assert [read_file(path / n) for n in os.listdir(path)] == [text]


@pytest.mark.parametrize("claimed, blob", [(GZIP, zst), (ZSTD, gz), (GZIP, bytes)],
                         ids=["zstd as gzip", "gzip as zstd", "tar as gzip"])
def test_lying_media_type(shelf, tmp_path, claimed, blob):
    """The bytes say what they are, not the manifest."""
    tar = file("a", f"{claimed}{blob}") + END
    image = build(tmp_path / "i", [Layer(tar, blob(tar), claimed)])
    assert read_file(shelf.image(image) / "layers/00/a") == f"{claimed}{blob}".encode()
    assert read_file(shelf.rootfs(image) / "a") == f"{claimed}{blob}".encode()


# -- the directory itself ----------------------------------------------------------

def test_inodes(mount, emu):
    """Numbers do not depend on the order of visits, nor on a restart."""
    tar = RICH
    digest = emu.add_blob("a", gz(tar))
    seen = []
    for order in (False, True):
        m = mount(emu)
        numbers = {}
        for folder, dirs, names in os.walk(m / f"a/_layers/{digest}", topdown=True):
            dirs.sort(reverse=order)
            for name in sorted(dirs + names, reverse=order):
                path = os.path.join(folder, name)
                numbers[os.path.relpath(path, m.point)] = os.lstat(path).st_ino
        seen.append(numbers)
        m.restart()
        again = {p: os.lstat(m.point / p).st_ino for p in numbers}
        assert again == numbers
    assert seen[0] == seen[1]
    distinct = {n for p, n in seen[0].items()}
    assert len(distinct) == len(seen[0]) - 1        # one hard link


def test_entries_agree(shelf):
    """readdir's types and numbers are those of stat."""
    path = shelf.layer(Layer(RICH))
    for folder, _, _ in os.walk(path):
        for entry in os.scandir(folder):
            st = os.lstat(entry.path)
            assert entry.inode() == st.st_ino
            assert entry.is_dir(follow_symlinks=False) == stat.S_ISDIR(st.st_mode)
            assert entry.is_symlink() == stat.S_ISLNK(st.st_mode)


def wide_tar():
    """(tar, directories, files): many directories, one of them with many more"""
    tar, dirs, files = directory("wide"), ["", "wide"], []
    for n in range(300):
        tar += directory(f"wide/{n:03}")
        dirs.append(f"wide/{n:03}")
    for n in range(20):
        tar += directory(f"d{n:02}")
        dirs.append(f"d{n:02}")
        for k in range(60):
            files.append(f"d{n:02}/{k:02}")
            tar += file(files[-1], files[-1].encode())
    return tar + END, dirs, files


@pytest.mark.parametrize("first", ["find", "ls"])
def test_walkers(mount, emu, first):
    """A walker costs a few requests for each directory, not some for each file,
    whether it wants attributes or names alone."""
    tar, dirs, files = wide_tar()
    m = mount(emu)
    path = m / f"a/_layers/{emu.add_blob('a', gz(tar))}"
    os.listdir(path)
    m.restart()
    os.stat(path)
    before = fuse_requests(m)
    if first == "find":
        found = run("find", path, "-mindepth", "1", "-printf", "%y %P\\n").stdout.splitlines()
        assert sorted(found) == sorted([f"d {d}" for d in dirs if d] +
                                       [f"f {f}" for f in files])
        assert fuse_requests(m) - before <= 5 * len(dirs) + 30
    else:
        lines = run("ls", "-lnR", path).stdout.splitlines()
        sizes = [line.split()[4] for line in lines if line.startswith("-")]
        assert sizes == ["6"] * len(files)
        # one directory's worth of questions, until it is known who asks
        assert fuse_requests(m) - before <= 5 * len(dirs) + 60 + 30
    for name in files:
        st = os.lstat(path / name)
        assert stat.S_ISREG(st.st_mode) and st.st_size == 6
    for name in dirs:
        assert stat.S_ISDIR(os.lstat(path / name).st_mode)


def test_blocks_cover_the_size(shelf):
    """Or cp takes files for sparse; a tool that copies gets the same bytes."""
    path = shelf.layer(Layer(RICH))
    for folder, _, names in os.walk(path):
        for name in names:
            st = os.lstat(os.path.join(folder, name))
            if stat.S_ISREG(st.st_mode):
                assert st.st_blocks * 512 >= st.st_size


def test_read_only(shelf):
    path = shelf.layer(Layer(RICH))
    assert errno_of(os.unlink, path / "empty") == "EPERM"
    assert errno_of(os.mkdir, path / "new") == "EPERM"
    assert errno_of(os.open, path / "empty", os.O_WRONLY) == "EPERM"
    assert errno_of(os.setxattr, path / "empty", "user.x", b"") == "ENOTSUP"


def test_xattr_calls(shelf):
    tar = xattr({"user.a": b"1", "security.capability": CAPABILITY}) + file("a") + END
    path = shelf.layer(plain(tar)) / "a"
    assert os.getxattr(path, "user.a") == b"1"
    assert errno_of(os.getxattr, path, "user.b") == "ENODATA"
    assert errno_of(os.getxattr, path, "system.posix_acl_access") in (
        "ENODATA", "ENOTSUP")
    assert {"user.a", "security.capability"} <= set(os.listxattr(path))
    if os.path.exists("/usr/sbin/getcap"):
        assert "cap_" in run("/usr/sbin/getcap", path).stdout


def test_devices_do_nothing(shelf):
    path = shelf.layer(Layer(RICH))
    assert errno_of(os.open, path / "null", os.O_RDONLY) == "EACCES"
    line = next(x for x in open("/proc/self/mountinfo")
                if x.split()[4] == str(shelf.mount.point))
    assert "nosuid" in line and "nodev" in line


def test_symlinks_stay_on_paper(shelf):
    """readlink is verbatim, and no lookup of the daemon follows one."""
    tar = symlink("etc", "/etc") + symlink("up", "../../../..") + END
    path = shelf.layer(plain(tar))
    assert os.readlink(path / "etc") == "/etc"
    assert os.readlink(path / "up") == "../../../.."


def test_listed_once_seen(shelf):
    layer = Layer(file("a", "unlike any other") + END)
    path = shelf.layer(layer)
    os.listdir(path)
    assert layer.digest in os.listdir(path.parent)


def test_whole_tree_by_tools(shelf, tmp_path):
    """tar c of the layer's directory unpacks to what the layer holds."""
    path = shelf.layer(Layer(RICH))
    tar = by_gnu_tar(path, "--format=pax", "--xattrs", "--xattrs-include=user.b",
                     "--xattrs-include=security.*")
    same(unpack("tar", tar, tmp_path / "b"), survey(path))
    copy = tmp_path / "c"
    run("cp", "-a", path, copy)
    same(survey(copy), survey(path))


def test_same_bytes_by_two_readers(shelf):
    path = shelf.layer(Layer(RICH)) / "bin/big"
    assert content_of(path) == content_of(path)
    assert gzip.decompress(gz(read_file(path))) == read_file(path)
