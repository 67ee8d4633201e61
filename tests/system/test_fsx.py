# SPDX-License-Identifier: Apache-2.0
"""Random reads of all kinds, beside evictions, faults and remounts, give the truth.

RFS_FSX_OPS sets how many operations, RFS_FSX_SEED which ones."""
import os
import random
import subprocess
import time

import pytest
from fsx import Fsx, Wrong
from mounting import sanitized
from tarmaker import END, Layer, build, directory, file, gz_members, whiteout

OPS = int(os.environ.get("RFS_FSX_OPS", "0")) or (2000 if sanitized() else 5000)
SEED = int(os.environ.get("RFS_FSX_SEED", "1"))
MIB = 1 << 20
REPO = "t/fsx"


def contents(dice):
    """Files of sizes at which something may be off by one."""
    sizes = (0, 1, 4095, 4096, 4097, 65_536, 262_143, 262_145, 1_500_000)
    found = {f"d{i % 3}/f{size}": dice.randbytes(size) for i, size in enumerate(sizes)}
    found["d0/zeros"] = bytes(900_000)
    found["d1/text"] = b"".join(b"line %d\n" % i for i in range(60_000))
    found["d2/sparse"] = bytes(300_000) + dice.randbytes(5000) + bytes(100_001)
    return found


def archive(files):
    return b"".join(directory(f"d{i}") for i in range(3)) + b"".join(
        file(name, data) for name, data in files.items()) + END


class Stage:
    """What there is to read: {path: bytes} of two layers, their root and blobs."""

    def __init__(self, emu, folder, seed=7):
        dice = random.Random(seed)
        one, two = contents(dice), contents(dice)
        upper = {name: data for i, (name, data) in enumerate(two.items()) if i % 2}
        first, second = archive(one), archive(upper)
        second = whiteout("d2/f4095") + second
        image = build(folder, [
            Layer(first, gz_members(first, [700_000, 900_000], 1)), Layer(second)])
        image.fill(emu, REPO, "1")
        self.files = {f"{REPO}/_tags/1/index.json": (folder / "index.json").read_bytes()}
        for data in (dice.randbytes(4 * MIB + 77), bytes(MIB), b"x"):
            self.files[f"{REPO}/_blobs/{emu.add_blob(REPO, data)}"] = data
        for layer, files in zip(image.layers, (one, upper)):
            self.files[f"{REPO}/_blobs/{layer.digest}"] = layer.blob
            self.files |= {f"{REPO}/_layers/{layer.digest}/{name}": data
                           for name, data in files.items()}
        merged = {**one, **upper}
        del merged["d2/f4095"]
        self.files |= {f"{REPO}/_rootfs/{image.digest}/{name}": data
                       for name, data in merged.items()}


@pytest.fixture
def start(mount, emulator, tmp_path):
    """start(seed, option=…) -> Fsx on a cache that holds a third of it all"""
    def go(seed, **options):
        emu = emulator()
        stage = Stage(emu, tmp_path / f"image{seed}")
        options = {"cache_size": "4M", "timeout": 3, "retries": 1, **options}
        m = mount(emu, **options)
        stage.files[f"{REPO}/_tags/1/index.json"] = \
            (m / f"{REPO}/_tags/1/index.json").read_bytes()
        m.expect_exit = None
        evictable = [f"{REPO}/_tags/1", *(n for n in stage.files if "_blobs" in n)]
        return Fsx(m, emu, stage.files, evictable, m / f"{REPO}/_tags/new",
                   seed, tmp_path / "scratch")
    return go


@pytest.mark.limit(120 + OPS // 40)
@pytest.mark.parametrize("verify", ["lazy", "strict"])
def test_fsx(start, verify):
    """A third of them where every byte is proven first."""
    fsx = start(SEED, verify=verify)
    began = time.monotonic()
    counts = fsx.run(OPS if verify == "lazy" else OPS // 3)
    print(f"{sum(counts.values())} operations in {time.monotonic() - began:.1f} s: "
          f"{dict(counts)}")
    assert fsx.m.process.poll() is None


def test_a_wrong_byte_is_found(start):
    """And the run that led to it is told."""
    fsx = start(3)
    name = next(n for n in fsx.names if n.endswith("text") and "_rootfs" in n)
    wrong = bytearray(fsx.files[name])
    wrong[len(wrong) // 2] ^= 1
    fsx.files = {**fsx.files, name: bytes(wrong)}
    fsx.names = [name]
    with pytest.raises(Wrong, match=r"seed 3, after .*wrong from byte") as e:
        fsx.run(2000)
    assert "pread" in str(e.value)


def test_a_late_release(mount, emu):
    """Who made a file and wrote nothing ends after others have written it: what he
    made is not put over theirs."""
    m = mount(emu)
    path = m / "t/_tags/new/.tmp"
    os.makedirs(path.parent)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[fd]) as keeper:
        os.close(fd)
        os.truncate(path, 3000)
        keeper.stdin.close()            # it has that open file to the end
    m.status("status")
    for _ in range(2):
        with open(path, "r+b", buffering=0) as f:
            assert f.write(b"x" * 10) == 10
            assert os.pread(f.fileno(), 4000, 0) == b"x" * 10 + bytes(2990)
    os.unlink(path)
    os.rmdir(path.parent)
