# SPDX-License-Identifier: Apache-2.0
"""What the tests of registryfs check share: a home, a run, an image."""
import base64
import json
import os
import subprocess

import pytest

from mounting import REPORT, SUPPRESSIONS, program
from tools import run

ROWS = ["name", "endpoint", "tls", "clock", "log-in", "catalogue", "tags", "head",
        "manifest", "referrers", "blob", "ranges", "redirect", "rate limit", "push",
        "mount", "delete"]
SECRET = "s3cr3t-w0rd"


class Check:
    """What one run said."""

    def __init__(self, done):
        self.status, self.text, self.said = done.returncode, done.stdout, done.stderr
        self.document = json.loads(done.stdout) if done.stdout.startswith("{") else {}
        self.rows = self.document.get("rows", [])

    def row(self, name):
        found = [r for r in self.rows if r["name"] == name]
        assert found, f"no row {name}: {self.text}{self.said}"
        return found[0]

    def works(self, name):
        return self.row(name)["works"]

    def seen(self, name):
        return self.row(name)["seen"]

    def advice(self, name):
        return self.row(name).get("advice", "")


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def env(home):
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(home),
           "LC_ALL": "C.UTF-8", "ASAN_OPTIONS": "detect_leaks=1:exitcode=99",
           "LSAN_OPTIONS": f"suppressions={SUPPRESSIONS}:print_suppressions=0",
           "UBSAN_OPTIONS": "print_stacktrace=1", "TSAN_OPTIONS": "exitcode=98"}
    env.update({k: os.environ[k] for k in env if k in os.environ and k.endswith("OPTIONS")})
    return env


@pytest.fixture
def check(env):
    """check("host/repo", "--option") -> Check; json=False for the table"""
    def go(*words, json=True, **more):
        done = run(program(), "check", *(["--json"] if json else []), *words,
                   check=False, env={**env, **more}, stdin=subprocess.DEVNULL)
        assert not REPORT.search(done.stderr), done.stderr
        assert SECRET not in done.stdout + done.stderr
        return Check(done)
    return go


@pytest.fixture
def app(emulator, images):
    """app("profile", "switch=value") -> emulator that holds team/app:1.4"""
    def go(*args, **kwargs):
        emu = emulator(*args, **kwargs)
        images.single.fill(emu, "team/app")
        emu.app = f"{emu.address}/team/app"
        return emu
    return go


def log_in(home, address, user="jo", word=SECRET, **more):
    path = home / ".docker/config.json"
    path.parent.mkdir(exist_ok=True)
    auth = base64.b64encode(f"{user}:{word}".encode()).decode()
    path.write_text(json.dumps({"auths": {address: {"auth": auth}}, **more}))
    path.chmod(0o600)
    return path


def writes(emu):
    return [(e["method"], e["target"]) for e in emu.log(where="registry")
            if e["method"] not in ("GET", "HEAD")]
