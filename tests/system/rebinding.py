# SPDX-License-Identifier: Apache-2.0
"""Names that lead near us.  Run in a network and mount namespace of its own, where
all addresses are on loopback and /etc/hosts is this script's:

    unshare -mn python3 rebinding.py
"""
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import mounting  # noqa: E402
from emulator.client import EmulatorProcess  # noqa: E402
from hostile import Scripted  # noqa: E402
from tools import errno_of, read_file  # noqa: E402

PUBLIC, OTHER = "203.0.113.1", "203.0.113.2"
NEAR = ["127.0.0.1", "127.9.9.9", "10.0.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1"]


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Near:
    """The registry on a public address, and whoever listens everywhere else."""

    def __init__(self, folder):
        self.hosts = folder / "hosts"
        self.emu = EmulatorProcess(host=PUBLIC)
        self.bait, self.peers = {}, set()     # addresses that were connected to
        self.trap = Scripted(self.answer, host="0.0.0.0")
        self.name("unused.test", PUBLIC)
        subprocess.run(["mount", "--bind", self.hosts, "/etc/hosts"], check=True)
        self.mount = mounting.Mount(folder / "m", self.emu.address, timeout=2, retries=1,
                                    plain_http=self.emu.address)
        self.count = 0

    def answer(self, method, path, headers):
        self.peers.add(headers[""])
        return 200, {"Connection": "close"}, self.bait[path[1:]]

    def name(self, host, *addresses):
        self.hosts.write_text("".join(f"{a} {host}\n" for a in addresses))

    def read(self, host):
        """errno of reading a blob to which the registry leads by this name, and who
        was asked for it."""
        self.count += 1
        data = b"blob %d" % self.count
        digest = self.emu.add_blob("a", data)
        self.bait[digest] = data
        self.trap.seen.clear()
        self.emu.fault(path=f"/blobs/{digest}", count=0, redirect={
            "url": f"http://{host}:{self.trap.port}/{digest}"})
        return errno_of(read_file, self.mount / f"a/_blobs/{digest}"), len(self.trap.seen)

    def stop(self):
        try:
            self.mount.finish()
        finally:
            self.mount.destroy()
            self.trap.stop()
            self.emu.stop()


def main():
    ip("link", "set", "lo", "up")
    for address in (PUBLIC, OTHER, *NEAR[2:]):
        ip("addr", "add", f"{address}/32", "dev", "lo")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    folder = Path(tempfile.mkdtemp(prefix="rfs-near-"))
    near = Near(folder)
    try:
        cases = 0
        near.name("far.test", OTHER)
        assert near.read("far.test")[0] is None, near.mount.status("errors")
        cases += 1
        for number, address in enumerate(NEAR):
            near.name(f"n{number}.test", address)
            assert near.read(f"n{number}.test") == ("EIO", 0), (
                address, near.mount.status("errors"))
            cases += 1
        # Far when it is first asked for, near from then on.
        near.name("twice.test", OTHER)
        assert near.read("twice.test")[0] is None
        for address in NEAR[:3]:
            near.name("twice.test", address)
            # Its old address may be known still; the near one gets nothing.
            near.read("twice.test")
            assert address not in near.peers
        assert "127.0.0.1" not in near.peers
        cases += 1
        print("cases:", cases)
    finally:
        near.stop()
        os.chdir("/")
        shutil.rmtree(folder)


if __name__ == "__main__":
    try:
        main()
    except http.client.HTTPException as e:
        sys.exit(f"emulator: {e}")
