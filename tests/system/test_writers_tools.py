# SPDX-License-Identifier: Apache-2.0
"""The tools that people write with, against a close that fails: those that look
end with an error, those that do not leave a trace all the same, and nothing is
there that the registry has not taken.  Each is first run on a plain file, which
says what it writes, and last on a registry that takes it."""
import os
import random

import pytest
from emupush import REPO, has_blob
from pushing import errors, spool_bytes
from tools import need, run, sha256, wait_until

DENIED = '{"errors":[{"code":"DENIED","message":"not for you"}]}'

# name: (the program that it needs, a line of sh that writes $T, from $F or not)
LOOK = {
    "cp": ("cp", 'cp "$F" "$T"'),
    "cp -p": ("cp", 'cp -p "$F" "$T"'),
    "install": ("install", 'install -m 644 "$F" "$T"'),
    "mv": ("mv", 'mv "$F" "$T"'),
    "cat": ("cat", 'cat "$F" > "$T"'),
    "echo": ("env", 'env echo hello > "$T"'),
    "dd": ("dd", 'dd if="$F" of="$T" bs=64k 2>/dev/null'),
    "dd conv=fsync": ("dd", 'dd if="$F" of="$T" bs=64k conv=fsync 2>/dev/null'),
    "tee": ("tee", 'tee "$T" < "$F" >/dev/null'),
    "tar c": ("tar", 'tar --force-local -cf "$T" -C "$(dirname "$F")" data'),
    "tar x": ("tar", 'tar -cf "$F.tar" -C "$(dirname "$F")" data; tar -xf "$F.tar" '
              '-C "$(dirname "$T")" --transform="s,data,$(basename "$T"),"'),
    "gzip": ("gzip", 'gzip -nc "$F" > "$T"'),
    "rsync": ("rsync", 'rsync "$F" "$T"'),
    "rsync --inplace": ("rsync", 'rsync --inplace "$F" "$T"'),
    "curl": ("curl", 'curl -sf -o "$T" "file://$F"'),
    "sort": ("sort", 'LC_ALL=C sort -o "$T" "$F"'),
    "touch": ("touch", 'touch "$T"'),
    "sed": ("sed", 'sed -n "w $T" "$F"'),
    "awk": ("awk", 'awk \'BEGIN { print "hello" > ENVIRON["T"]; '
            'exit close(ENVIRON["T"]) != 0 }\''),
    "python close": ("python3", 'python3 -c \'import os; f = open(os.environ["T"], "w"); '
                     'f.write("hello"); f.close()\''),
    "perl checked": ("perl", 'perl -e \'open(F, ">", $ENV{T}) or die; print F "hello"; '
                     'close(F) or die\''),
}
# These end well whatever close says (faults.md 5).
DO_NOT_LOOK = {
    "bash echo": ("bash", 'bash -c \'echo hello > "$T"\''),
    "dash echo": ("dash", 'dash -c \'echo hello > "$T"\''),
    "bash {}": ("bash", 'bash -c \'{ echo a; echo b; } > "$T"\''),
    "dash {}": ("dash", 'dash -c \'{ echo a; echo b; } > "$T"\''),
    "openssl": ("openssl", 'openssl base64 -in "$F" -out "$T"'),
    "python unclosed": ("python3", 'python3 -c \'import os; '
                        'f = os.open(os.environ["T"], os.O_WRONLY | os.O_CREAT); '
                        'os.write(f, b"hello")\''),
    "perl unchecked": ("perl", 'perl -e \'open(F, ">", $ENV{T}) or die; print F "hello"; '
                       'close(F)\''),
}


def write(line, folder, target):
    source = folder / "data"
    source.write_bytes(random.Random(3).randbytes(200_000))
    os.utime(source, (1_700_000_000, 1_700_000_000))
    return run("sh", "-ec", line, check=False,
               env=dict(os.environ, F=str(source), T=str(target), HOME=str(folder)))


@pytest.mark.parametrize("name", [*LOOK, *DO_NOT_LOOK])
def test_tool(emulator, mount, tmp_path, name):
    program, line = {**LOOK, **DO_NOT_LOOK}[name]
    need(program)
    plain = tmp_path / "plain"
    done = write(line, tmp_path, plain)
    assert done.returncode == 0, done.stderr
    digest = sha256(plain.read_bytes())
    emu = emulator("distribution3")
    emu.call("raw_names", repos=[REPO])
    m = mount(emu, retries=1)
    target = m / REPO / "_blobs" / digest
    emu.fault(method="POST|PATCH|PUT", path="/blobs/", count=0, status=403, body=DENIED)

    done = write(line, tmp_path, target)
    # Who does not look at close may have been told by a write, if it was late.
    assert done.returncode != 0 if name in LOOK else \
        done.returncode == 0 or "writ" in done.stderr, done.stderr
    assert (tmp_path / "data").exists()
    wait_until(lambda: "not for you" in errors(m), 5, "a line about it")
    assert "EACCES" in errors(m) and digest in errors(m)
    wait_until(lambda: spool_bytes(m) == 0, 5, "the spool is empty")
    assert not has_blob(emu, REPO, digest) and not target.exists()

    emu.clear_faults()
    done = write(line, tmp_path, target)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: has_blob(emu, REPO, digest), 5, "the blob")
    assert sha256(target.read_bytes()) == digest
