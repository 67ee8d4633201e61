# SPDX-License-Identifier: Apache-2.0
"""Who else may write to files that decide whom we trust: the usual umask of people
with a group of their own is 002."""
import os
import struct

import pytest

from tools import absent, errno_of


@pytest.fixture(autouse=True)
def root():
    if os.geteuid() != 0:
        absent("needs root")


def posix_acl(user, bits):
    """rw-r--r--, and that user; as the kernel has it (acl(5))."""
    nobody = 0xffffffff
    entries = [(1, 6, nobody), (2, bits, user), (4, 4, nobody), (16, 4 | bits, nobody),
               (32, 4, nobody)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)


@pytest.mark.parametrize("group,mode,acl,blocks", [
    (0, 0o664, None, False), (1, 0o664, None, True), (0, 0o666, None, True),
    (0, 0o644, posix_acl(1, 4), False), (0, 0o644, posix_acl(1, 6), True)])
def test_registries_conf(mount, emulator, images, tmp_path, group, mode, acl, blocks):
    """What nobody can tell who wrote blocks everything, and says so."""
    emu = emulator()
    images.single.fill(emu, "a")
    path = tmp_path / "home/.config/containers/registries.conf"
    path.parent.mkdir(parents=True)
    path.write_text("")
    os.chown(path, 0, group)
    path.chmod(mode)
    if acl:
        os.setxattr(path, "system.posix_acl_access", acl)
    m = mount(emu, home=tmp_path / "home")
    if blocks:
        assert errno_of(os.stat, m / "a/_tags/1.4") == "EPERM"
        assert f"{path} is writable by others (chmod go-w)" in m.log()
        assert f"blocked by {path}, which is writable by others (chmod go-w)" in \
            (m / ".registryfs/errors").read_text()
    else:
        assert os.path.isdir(m / "a/_tags/1.4")
        assert str(path) not in m.log()


@pytest.mark.parametrize("group,refused", [(0, False), (1, True)])
def test_configuration_file(mount, emulator, images, tmp_path, group, refused):
    emu = emulator()
    images.single.fill(emu, "a")
    path = tmp_path / "conf"
    path.write_text("tag_ttl = 7\n")
    os.chown(path, 0, group)
    path.chmod(0o664)
    if refused:
        with pytest.raises(AssertionError, match="is writable by others"):
            mount(emu, config=path)
    else:
        assert os.path.isdir(mount(emu, config=path) / "a/_tags/1.4")


def test_credentials_stay_strict(mount, emulator, images, tmp_path):
    """Nobody shares a file with secrets."""
    emu = emulator("bearer")
    images.single.fill(emu, "a")
    path = tmp_path / "auth.json"
    path.write_text('{"auths":{}}')
    path.chmod(0o660)
    m = mount(emu, authfile=path)
    assert errno_of(os.stat, m / "a/_tags/1.4") == "EACCES"
    assert f"{path} is writable by others" in m.log()
