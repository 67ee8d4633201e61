# SPDX-License-Identifier: Apache-2.0
"""A real image: files of this Debian, several layers by buildah; and the tools
that unpack it again."""
import json
import os
import shutil
import stat

from images import Image, skopeo_env
from tools import need, run

TREES = ("/etc/apt", "/etc/default", "/etc/ssl", "/etc/alternatives",
         "/usr/share/perl5/Debconf", "/usr/share/doc/apt", "/usr/share/doc/bash",
         "/usr/share/doc/tar", "/usr/lib/python3.11/json", "/usr/lib/python3.11/email",
         "/usr/share/zoneinfo/Europe", "/usr/share/zoneinfo/America",
         "/usr/share/zoneinfo/US", "/usr/bin/gzip", "/usr/bin/zcat", "/usr/bin/perl",
         "/usr/bin/ls", "/usr/bin/passwd", "/usr/share/terminfo")


class Storage:
    """podman's and buildah's storage in a folder of its own."""

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        conf = folder / "storage.conf"
        conf.write_text(f'[storage]\ndriver = "overlay"\nrunroot = "{folder}/run"\n'
                        f'graphroot = "{folder}/root"\n')
        policy = folder / "policy.json"
        policy.write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
        self.policy = ["--signature-policy", policy]
        self.env = {**skopeo_env(folder), "CONTAINERS_STORAGE_CONF": str(conf),
                    "BUILDAH_ISOLATION": "chroot"}

    def run(self, *words):
        return run(*words, env=self.env, timeout=120, cwd=self.folder).stdout.strip()

    def stop(self):
        """Unmounts whatever a tool left mounted and forgets everything."""
        with open("/proc/self/mountinfo") as f:
            points = [line.split()[4] for line in f if str(self.folder) in line]
        for point in reversed(points):
            run("umount", "-l", point, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def install(root):
    there = [tree[1:] for tree in TREES if os.path.lexists(tree)]
    run("sh", "-ec", 'to=$0; tar -C / -cf - "$@" | tar -C "$to" -xpf -', root, *there)
    (root / "tmp").mkdir(mode=0o1777)
    os.chmod(root / "tmp", 0o1777)
    os.chmod(root / "usr/bin/passwd", 0o4755)


def remove_and_replace(root):
    shutil.rmtree(root / "usr/share/doc/bash")
    for path in sorted((root / "usr/share/zoneinfo/US").iterdir())[:5]:
        path.unlink()
    shutil.rmtree(root / "usr/share/doc/tar")
    (root / "usr/share/doc/tar").write_text("a file now\n")
    (root / "usr/bin/zcat").unlink()
    (root / "usr/bin/zcat").mkdir()
    (root / "usr/bin/zcat/inside").write_text("x")
    run("mv", root / "etc/default", root / "etc/was-default")
    os.symlink("was-default", root / "etc/default")
    with open(root / "usr/bin/gzip", "ab") as f:
        f.write(b"changed")
    os.chmod(root / "etc/ssl", 0o700)


def specials(root):
    dev = root / "dev"
    dev.mkdir()
    os.mknod(dev / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(dev / "loop0", stat.S_IFBLK | 0o660, os.makedev(7, 0))
    os.mkfifo(dev / "fifo", 0o600)
    os.chown(dev / "fifo", 33, 44)
    os.link(root / "usr/bin/perl", root / "usr/bin/perl-again")     # across layers
    (root / "one").write_text("linked")
    os.link(root / "one", root / "etc/two")
    os.link(root / "one", root / "usr/three")
    shutil.copy(root / "usr/bin/ls", root / "usr/bin/ping")
    run("setcap", "cap_net_raw+ep", root / "usr/bin/ping")
    with open(root / "holes", "wb") as f:
        f.seek(1 << 20)
        f.write(b"end")
    os.setxattr(root / "one", "user.note", b"\0binary\xff")


def names_and_again(root):
    shutil.rmtree(root / "usr/lib/python3.11/email")
    (root / "usr/lib/python3.11/email").mkdir()
    (root / "usr/lib/python3.11/email/new").write_text("made again\n")
    with open(os.fsencode(root) + b"/caf\xe9", "wb") as f:
        f.write(b"latin")
    deep = root / ("d" * 200) / ("e" * 200)
    deep.mkdir(parents=True)
    (deep / ("f" * 120)).write_text("deep")
    os.symlink("t" * 200, root / "far")
    (root / "etc/two").unlink()
    (root / "new\nline").write_text("x")
    os.utime(root / "holes", (10**9, 10**9))
    (root / "etc/default").unlink()
    (root / "etc/default").mkdir()


STEPS = (install, remove_and_replace, specials, names_and_again)


def make(folder, storage):
    """The image as an OCI layout; each step is a layer."""
    need("buildah", "setcap")
    base = "scratch"
    for n, step in enumerate(STEPS):
        name = storage.run("buildah", "from", *storage.policy, base)
        root = storage.run("buildah", "mount", name)
        step(type(folder)(root))
        storage.run("buildah", "umount", name)
        base = f"localhost/real:{n}"
        storage.run("buildah", "commit", *storage.policy, "-q", "--format", "oci",
                    "--rm", name, base)
    storage.run("buildah", "push", *storage.policy, "-q", base, f"oci:{folder}:real")
    top = json.loads((folder / "index.json").read_text())["manifests"][0]
    return Image(folder, "real", top)


def podman_mount(image, storage):
    """The image pulled from its layout and mounted by podman: the directory."""
    name = storage.run("podman", "pull", *storage.policy, "-q",
                       f"oci:{image.folder}:{image.ref}").splitlines()[-1]
    return storage.run("podman", "image", "mount", name).split()[-1], name


def umoci_root(image, folder):
    need("umoci")
    run("umoci", "unpack", "--image", f"{image.folder}:{image.ref}", folder,
        timeout=120)
    return folder / "rootfs"
