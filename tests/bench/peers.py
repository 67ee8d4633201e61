# SPDX-License-Identifier: Apache-2.0
"""Other file systems and tools that do part of the work, where they are installed.

Each is a context (or a call) that does nothing and says None when its program is
missing, so that a row has the peers that the machine has.
"""
import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from rig import free_port, shell, wait_until


@contextlib.contextmanager
def mounted(rig, program, command):
    """Runs command(MOUNT POINT), which stays in the foreground, while the block
    lasts; the mount point, or None."""
    if not shutil.which(program):
        yield None
        return
    point = Path(tempfile.mkdtemp(dir=rig.folder, prefix=f"{program}-"))
    process = subprocess.Popen(command(str(point)), stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env=dict(os.environ, HOME=str(rig.folder)))
    try:
        wait_until(lambda: os.path.ismount(point), 20, f"a mount of {program}")
        yield point
    finally:
        subprocess.run(["fusermount3", "-uz", point], check=False,
                       stderr=subprocess.DEVNULL)
        process.terminate()
        process.wait(20)
        point.rmdir()


def squashfuse(rig, tree):
    """The tree as a squashfs, gzip like a layer: the peer that needs a
    conversion."""
    if not shutil.which("mksquashfs") or not shutil.which("squashfuse"):
        return contextlib.nullcontext()
    image = rig.folder / f"{tree.name}.squashfs"
    rig.once(("squashfs", tree), lambda: subprocess.run(
        ["mksquashfs", tree, image, "-comp", "gzip", "-no-progress", "-quiet"],
        check=True, stdout=subprocess.DEVNULL))
    return mounted(rig, "squashfuse", lambda at: ["squashfuse", "-f", image, at])


def sshfs(rig, tree):
    """The tree through sftp, with no cipher and no network in the way: -o passive
    speaks on standard input and output."""
    server = "/usr/lib/openssh/sftp-server"
    if not os.access(server, os.X_OK):
        return contextlib.nullcontext()
    return mounted(rig, "sshfs", lambda at: [
        "sh", "-c", 'mkfifo "$1.in" && "$0" < "$1.in" | sshfs -f -o passive '
        '":$2" "$1" > "$1.in"; rm -f "$1.in"', server, at, tree])


@contextlib.contextmanager
def rclone(rig, folder):
    """A folder served over http, mounted by rclone."""
    if not shutil.which("rclone"):
        yield None
        return
    port = free_port()
    process = subprocess.Popen(
        ["rclone", "serve", "http", "--addr", f"127.0.0.1:{port}", folder],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        with mounted(rig, "rclone", lambda at: [
                "rclone", "mount", "--read-only", "--http-url",
                f"http://127.0.0.1:{port}", ":http:", at]) as point:
            yield point
    finally:
        process.terminate()
        process.wait(10)


def podman_pull(rig, address, image):
    """Seconds of a pull into an empty storage; None where there is no podman."""
    if not shutil.which("podman"):
        return None
    folder = Path(tempfile.mkdtemp(dir=rig.folder, prefix="podman-"))
    (folder / "policy.json").write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
    try:
        return shell("podman --root $D/root --runroot $D/run --storage-driver overlay "
                     "pull -q --signature-policy $D/policy.json --tls-verify=false "
                     "$A/$I", D=str(folder), A=address, I=image, HOME=str(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def containerd(folder):
    """A containerd of our own; how to call its ctr."""
    socket = folder / "s"
    (folder / "c.toml").write_text(
        'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri", '
        '"io.containerd.internal.v1.opt"]\n')
    process = subprocess.Popen(
        ["containerd", "--config", folder / "c.toml", "--root", folder / "root",
         "--state", folder / "state", "--address", socket],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ctr = ["ctr", "--address", str(socket)]
    try:
        wait_until(lambda: subprocess.run([*ctr, "version"], capture_output=True,
                                          check=False).returncode == 0,
                   20, "containerd answers")
        yield " ".join(ctr)
    finally:
        process.terminate()
        process.wait(20)


def containerd_pull(rig, address, image):
    """Seconds of a pull, unpacking included, by an empty containerd; or None."""
    if not shutil.which("containerd") or not shutil.which("ctr"):
        return None
    folder = Path(tempfile.mkdtemp(dir=rig.folder, prefix="ctr-"))
    try:
        with containerd(folder) as ctr:
            return shell(f"{ctr} images pull --plain-http $A/$I >/dev/null", A=address,
                         I=image)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def umoci_unpack(rig, address, image):
    """Seconds of skopeo copy to disk and umoci unpack; or None."""
    if not shutil.which("skopeo") or not shutil.which("umoci"):
        return None
    folder = Path(tempfile.mkdtemp(dir=rig.folder, prefix="umoci-"))
    try:
        return shell("skopeo copy -q --insecure-policy --src-tls-verify=false "
                     "docker://$A/$I oci:$D/layout:x && "
                     "umoci raw unpack --image $D/layout:x $D/root >/dev/null 2>&1",
                     A=address, I=image, D=str(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
