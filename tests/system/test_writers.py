# SPDX-License-Identifier: Apache-2.0
"""What close() returning 0 means: which flush commits, who was killed, what
fails and stays failed."""
import hashlib
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from emupush import get, has_blob
from pushing import check_image, errors, pending, spool_bytes
from tools import errno_of, need, run, sha256, sha256sum, timed, wait_until

MIB = 1 << 20


def blob(m, repo, digest):
    return m / repo / "_blobs" / digest


def write(path, data, flags=os.O_WRONLY | os.O_CREAT):
    """Writes in one go; errors of close are not lost."""
    fd = os.open(path, flags, 0o644)
    try:
        at = 0
        while at < len(data):
            at += os.write(fd, data[at:at + MIB])
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)


def there(registry, repo, digest):
    return registry.status(f"/v2/{repo}/blobs/{digest}") == 200


@pytest.mark.parametrize("size", [0, 1, 4095, MIB, 5 * MIB + 1])
def test_blob(registry, mount, size, tmp_path):
    data = os.urandom(size)
    m = mount(registry)
    write(blob(m, "w/blob", sha256(data)), data)
    assert there(registry, "w/blob", sha256(data))
    assert sha256sum(blob(m, "w/blob", sha256(data))) == sha256(data)
    assert spool_bytes(m) == 0


def test_sha512(registry, mount):
    data = os.urandom(3 * MIB)
    name = "sha512:" + hashlib.sha512(data).hexdigest()
    m = mount(registry)
    write(blob(m, "w/sha512", name), data)
    status, _, body = registry.get(f"/v2/w/sha512/blobs/{name}")
    assert status == 200 and body == data


def test_wrong_digest(registry, mount):
    data = os.urandom(MIB)
    name = sha256(b"something else")
    m = mount(registry)
    assert errno_of(write, blob(m, "w/wrong", name), data) == "EBADMSG"
    assert not there(registry, "w/wrong", name)
    assert not there(registry, "w/wrong", sha256(data))
    assert not blob(m, "w/wrong", name).exists()
    assert name in errors(m)


@pytest.mark.parametrize("order", ["backwards", "twice", "hole", "rewritten"])
def test_disorder(registry, mount, order):
    """Whatever the order of the writes, the bytes count."""
    data = bytearray(os.urandom(2 * MIB))
    if order == "hole":
        data[:MIB] = bytes(MIB)
    m = mount(registry)
    path = blob(m, "w/order", sha256(data))
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    if order == "backwards":
        os.pwrite(fd, data[MIB:], MIB)
        os.pwrite(fd, data[:MIB], 0)
    elif order == "hole":
        os.pwrite(fd, data[MIB:], MIB)
    else:
        os.pwrite(fd, os.urandom(2 * MIB) if order == "rewritten" else data, 0)
        time.sleep(0.5 if order == "rewritten" else 0)
        os.pwrite(fd, data, 0)
    os.close(fd)
    assert there(registry, "w/order", sha256(data))


def test_truncate(registry, mount):
    data = os.urandom(MIB)
    m = mount(registry)
    fd = os.open(blob(m, "w/cut", sha256(data)), os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, data + b"too much")
    os.ftruncate(fd, MIB)
    os.close(fd)
    assert there(registry, "w/cut", sha256(data))


@pytest.mark.parametrize("line", [
    'cat "$F" > "$T"', 'dd if="$F" of="$T" bs=64k 2>/dev/null',
    'dd if="$F" of="$T" bs=1M conv=fsync 2>/dev/null', 'cp "$F" "$T"', 'install "$F" "$T"',
    'tee "$T" < "$F" >/dev/null', '{ head -c 100000 "$F"; tail -c +100001 "$F"; } > "$T"',
    'busybox cp "$F" "$T"', 'rsync --inplace "$F" "$T"',
    'curl -sf -o "$T" "file://$F"', 'python3 -c "import shutil,os; '
    'shutil.copyfile(os.environ[\'F\'], os.environ[\'T\'])"'])
def test_shell(registry, mount, tmp_path, line):
    """Early flushes, flushes by children, temporary names."""
    data = os.urandom(2 * MIB + 17)
    source = tmp_path / "data"
    source.write_bytes(data)
    m = mount(registry)
    target = blob(m, "w/shell", sha256(data))
    done = run("bash", "-ec", line, env=dict(os.environ, F=str(source), T=str(target)),
               check=False)
    assert done.returncode == 0, done.stderr + errors(m)
    wait_until(lambda: there(registry, "w/shell", sha256(data)), 5, "the blob")
    assert spool_bytes(m) == 0
    assert errors(m) == ""


EMPTIES = [
    'cp "$E" "$T"', 'install "$E" "$T"', 'cat "$E" | dd of="$T" 2>/dev/null', 'touch "$T"',
    'busybox cp "$E" "$T"', 'rsync "$E" "$T"', 'rsync --inplace "$E" "$T"',
    'python3 -c "import os; open(os.environ[\'T\'], \'w\').close()"']


@pytest.mark.parametrize("place", ["w/empty/_blobs/{}", "w/empty:{:.9}/blobs/sha256/{}",
                                   "w/empty:{:.9}/index.json"])
def test_empty(registry, mount, tmp_path, place):
    """No bytes are not those that the name stands for: who closes such a file is told."""
    need("rsync", "busybox")
    source = tmp_path / "empty"
    source.write_bytes(b"")
    m = mount(registry)
    for line in EMPTIES:
        digest = sha256(os.urandom(8))
        target = m / place.format(digest if "_blobs" in place else digest[7:], digest[7:])
        if "_blobs" not in place:
            os.makedirs(target.parent)
        done = run("bash", "-ec", line, env=dict(os.environ, E=str(source), T=str(target)),
                   check=False)
        assert done.returncode != 0, line
        assert digest[7:16] in errors(m), line


@pytest.mark.parametrize("line", [
    'exec 3>"$T"; (sleep 0.3; cat "$F" >&3) & exec 3>&-; wait',
    'python3 -c "import os, subprocess; f = open(os.environ[\'T\'], \'w\'); '
    'p = subprocess.Popen([\'sh\', \'-c\', \'sleep 0.3; cat $F\'], stdout=f); '
    'f.close(); p.wait()"'])
def test_left_to_a_child(registry, mount, tmp_path, line):
    """Closed without a byte by who made it, but a child writes it."""
    data = os.urandom(100_000)
    source = tmp_path / "data"
    source.write_bytes(data)
    m = mount(registry)
    target = blob(m, "w/child", sha256(data))
    done = run("bash", "-ec", line, env=dict(os.environ, F=str(source), T=str(target)),
               check=False)
    assert done.returncode == 0, done.stderr + errors(m)
    wait_until(lambda: there(registry, "w/child", sha256(data)), 5, "the blob")
    assert errors(m) == ""


def test_killed(registry, mount, tmp_path):
    """A writer that is killed publishes nothing."""
    data = os.urandom(4 * MIB)
    m = mount(registry)
    path = blob(m, "w/killed", sha256(data[:MIB]))
    writer = subprocess.Popen(
        ["python3", "-c", "import os,sys,time\n"
         "fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)\n"
         "os.write(fd, sys.stdin.buffer.read())\nprint('ready', flush=True)\n"
         "time.sleep(60)", str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    writer.stdin.write(data[:MIB])
    writer.stdin.close()
    assert writer.stdout.readline() == b"ready\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait(5)
    time.sleep(0.5)
    assert not there(registry, "w/killed", sha256(data[:MIB]))
    wait_until(lambda: spool_bytes(m) == 0, 5, "the spool is empty")
    assert not path.exists()


def test_failed_stays(emulator, mount, images, tmp_path):
    """Every close of a failed file fails, also a second time; the tag is as it was."""
    emu = emulator("distribution")
    images.single.fill(emu, "team/app", "1")
    m = mount(emu, retries=1)
    emu.fault(path="/manifests/", method="PUT", status=403, count=1000,
              body='{"errors":[{"code":"DENIED","message":"not for you"}]}')
    done = run("cp", "-r", images.multi.folder, m / "team/app/_tags/2", check=False)
    assert done.returncode != 0
    assert "Permission denied" in done.stderr and "index.json" in done.stderr
    assert "not for you" in errors(m)
    assert not (m / "team/app/_tags/2/manifest.json").exists()
    assert images.single.digest in (m / "team/app/_tags/1/index.json").read_text()
    emu.clear_faults()
    run("cp", "-r", f"{images.multi.folder}/.", m / "team/app/_tags/2")
    assert images.multi.digest in (m / "team/app/_tags/2/index.json").read_text()


def test_two_writers(registry, mount, images, tmp_path):
    """Two copies to one tag at once: one of the two images, whole."""
    need("rsync")
    m = mount(registry)
    for n in range(5):
        tag = m / f"w/two/_tags/{n}"
        (tag / "blobs/sha256").mkdir(parents=True)      # or one mkdir fails, as anywhere
        copies = [subprocess.Popen(["rsync", "-r", f"{i.folder}/", tag])
                  for i in (images.single, images.multi)]
        assert [c.wait(30) for c in copies] == [0, 0]
        text = (tag / "index.json").read_text()
        image = images.single if images.single.digest in text else images.multi
        check_image(registry, "w/two", str(n), image, tmp_path)
    assert pending(m) == []


def opened(path, data):
    """A file that is written and not closed yet."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(fd, data)
    return fd


def test_removed_by_another(emulator, mount, images):
    """Who fails and removes the file takes nothing from who is still writing it:
    a close that is 0 has published."""
    emu = emulator("distribution")
    images.single.fill(emu, "w/two", "1")
    images.multi.fill(emu, "w/two", "2")
    m = mount(emu, retries=1)
    tag = m / "w/two/_tags/new"
    os.mkdir(tag)
    first, second = (opened(tag / "index.json", (i.folder / "index.json").read_bytes())
                     for i in (images.single, images.multi))
    emu.fault(path="/manifests/", method="PUT", status=403, count=1000)
    assert errno_of(os.close, second) == "EACCES"
    emu.clear_faults()
    os.unlink(tag / "index.json")
    os.close(first)
    assert get(emu, "/v2/w/two/manifests/new") == \
        get(emu, f"/v2/w/two/manifests/{images.single.digest}")
    assert images.single.digest in (tag / "index.json").read_text()
    assert pending(m) == []


def test_blob_removed_by_another(registry, mount):
    """So it is with a blob, and what one incomplete image replaces."""
    m = mount(registry)
    tag = m / "w/two/_tags/b"
    os.makedirs(tag / "blobs/sha256")
    data = os.urandom(MIB)
    path = tag / f"blobs/sha256/{sha256(data)[7:]}"
    fd = opened(path, data)
    os.unlink(path)
    os.close(fd)
    assert there(registry, "w/two", sha256(data))


def test_replaced_by_another(emulator, mount, images):
    """What is renamed to its place and is pending does not end it, either."""
    emu = emulator("distribution")
    images.single.fill(emu, "w/two", "1")
    m = mount(emu)
    tag = m / "w/two/_tags/new"
    os.mkdir(tag)
    fd = opened(tag / "index.json", (images.single.folder / "index.json").read_bytes())
    write(tag / ".index", (images.multi.folder / "index.json").read_bytes())
    os.rename(tag / ".index", tag / "index.json")
    assert len(pending(m)) == 1
    os.unlink(tag / "index.json")
    assert pending(m) == []
    os.close(fd)
    assert get(emu, "/v2/w/two/manifests/new") == \
        get(emu, f"/v2/w/two/manifests/{images.single.digest}")


def test_directory_removed_by_another(emulator, mount, images):
    """With its directory goes what is being written there; and that is told."""
    emu = emulator("distribution")
    images.single.fill(emu, "w/two", "1")
    m = mount(emu)
    tag = m / "w/two/_tags/new"
    os.mkdir(tag)
    fd = opened(tag / "index.json", (images.single.folder / "index.json").read_bytes())
    os.rmdir(tag)
    assert errno_of(os.close, fd) == "ENOENT"
    assert "directory was removed" in errors(m)
    assert emu.log(path="/manifests/new", method="PUT") == []


def test_modes_and_times(registry, mount, images):
    """chmod, chown and utimens are accepted and mean nothing."""
    m = mount(registry)
    tag = m / "team/app/_tags/1.4"
    before = os.stat(tag / "index.json")
    os.chmod(tag / "index.json", 0o600)
    os.utime(tag / "index.json", (1, 1))
    os.chown(tag, 0, 0)
    assert os.stat(tag / "index.json") == before
    assert errno_of(os.setxattr, tag / "index.json", "user.x", b"y") == "ENOTSUP"
    assert errno_of(os.truncate, tag / "index.json", 3) == "EPERM"


@pytest.mark.parametrize("name", ["README", "somewhere", "a/b"])
def test_places(registry, mount, name):
    """Where nothing can be written."""
    m = mount(registry)
    top = {"README": m / "team", "somewhere": m / "team/app", "a/b": m / "team/app/_tags"}[name]
    assert errno_of(write, top / name, b"x") in ("EPERM", "ENOENT", "EINVAL", "EISDIR")
    for inside in ("layers/00", "rootfs"):
        place = m / "team/app/_tags/1.4" / inside / "new"
        assert errno_of(write, place, b"x") == "EPERM"


def sync(folder):
    """fsync of a directory."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def test_sync_tells(emulator, mount, images, tmp_path):
    """fsync of an image directory is 0 only if all that was written there is
    published, whatever the tag meant before."""
    emu = emulator("distribution")
    images.single.fill(emu, "team/app", "1")
    m = mount(emu, retries=1)
    tag = m / "team/app/_tags/1"
    sync(tag)
    extra = os.urandom(1000)
    write(tag / f"blobs/sha256/{sha256(extra)[7:]}", extra)
    assert errno_of(sync, tag) == "EIO"
    assert sha256(extra)[7:] in errors(m)
    os.unlink(tag / f"blobs/sha256/{sha256(extra)[7:]}")
    sync(tag)
    emu.fault(path="/manifests/", method="PUT", status=403, count=1000,
              body='{"errors":[{"code":"DENIED","message":"not for you"}]}')
    assert run("cp", "-r", f"{images.multi.folder}/.", tag, check=False).returncode != 0
    assert errno_of(sync, tag) == "EACCES"
    assert errno_of(sync, tag) == "EACCES"
    emu.clear_faults()
    run("cp", "-r", f"{images.multi.folder}/.", tag)
    sync(tag)
    assert images.multi.digest in (tag / "index.json").read_text()


def test_sync_without_pending(emulator, mount, images):
    """Whoever forgets a pending image is told that it was not published."""
    emu = emulator("distribution")
    images.single.fill(emu, "team/app", "1")
    m = mount(emu)
    tag = m / "team/app/_tags/1"
    run("cp", images.multi.folder / "index.json", tag)
    assert errno_of(sync, tag) == "EIO"
    for name in os.listdir(m / ".registryfs/pending"):
        os.unlink(m / ".registryfs/pending" / name)
    assert errno_of(sync, tag) == "EIO"
    os.unlink(tag / "index.json")
    sync(tag)


def test_busy_writers(emulator, mount, images):
    """Files that wait for the registry leave threads for all the others."""
    emu = emulator("distribution")
    m = mount(emu, max_threads=64, timeout=20)
    files = []
    for n in range(80):
        data = b"%05d" % n * 1000
        fd = os.open(blob(m, "w/busy", sha256(data)), os.O_WRONLY | os.O_CREAT, 0o644)
        files.append((fd, data))
    emu.fault(path="/blobs/", delay=6, count=0)

    def flush(fd):
        os.close(os.dup(fd))

    def write_again(fd, data):
        os.pwrite(fd, data[4000:], 4000)

    for fd, data in files:
        os.write(fd, data)
    with ThreadPoolExecutor(160) as pool:
        done = [pool.submit(flush, fd) for fd, _ in files]
        time.sleep(1)
        done += [pool.submit(write_again, fd, data) for fd, data in files]
        time.sleep(1)
        assert not any(d.done() for d in done)
        took, _ = timed(os.listdir, m / ".registryfs")
        assert took < 2
        emu.clear_faults()
        for d in done:
            d.result(50)
    for fd, data in files:
        os.close(fd)
        assert has_blob(emu, "w/busy", sha256(data))


ORPHAN = """
import os, sys, time
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
if os.fork() == 0:
    time.sleep(0.5)
    os.write(fd, sys.stdin.buffer.read())
    print(os.getpid(), flush=True)
    time.sleep(60)
os._exit(0)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_child(registry, mount, images, number):
    """What was left to a child that was killed is not published."""
    m = mount(registry)
    tag = m / f"w/orphan{number}/_tags/1"
    tag.mkdir(parents=True)
    run("cp", "-r", images.single.folder / "blobs", tag)
    with open(images.single.folder / "index.json", "rb") as source:
        opener = subprocess.Popen(["python3", "-c", ORPHAN, str(tag / "index.json")],
                                  stdin=source, stdout=subprocess.PIPE)
        opener.wait(10)
        child = int(opener.stdout.readline())
    os.kill(child, number)
    wait_until(lambda: "ECANCELED" in errors(m), 5, "the error")
    assert registry.status(f"/v2/w/orphan{number}/manifests/1") == 404


def test_symlinks_on_their_way(registry, mount):
    """Tools make them beside what they write; they lead where they were made to."""
    m = mount(registry)
    tag = m / "w/links/_tags/1"
    os.mkdir(tag)
    os.symlink("over/there", tag / ".link")
    assert os.readlink(tag / ".link") == "over/there"
    os.rename(tag / ".link", tag / ".moved")
    assert os.readlink(tag / ".moved") == "over/there"
    assert errno_of(os.readlink, tag / ".link") == "ENOENT"
    os.unlink(tag / ".moved")
    os.rmdir(tag)


def test_published_is_not_changed_in_parts(registry, mount, images):
    """rsync --inplace: anew from the beginning, and all of it."""
    m = mount(registry)
    images.single.push(registry.address, "w/inplace")
    path = m / "w/inplace/_tags/1.4/index.json"
    data = path.read_bytes()
    fd = os.open(path, os.O_WRONLY)
    assert errno_of(os.pwrite, fd, b"x", 5) == "EPERM"
    os.close(fd)
    assert path.read_bytes() == data
    write(path, data, os.O_WRONLY)
    assert path.read_bytes() == data
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, data[:9])
    assert errno_of(os.close, fd) in ("EBADMSG", "EINVAL", "EIO")
    assert (m / "w/inplace/_manifests" / images.single.digest).is_dir()
