# SPDX-License-Identifier: Apache-2.0
"""Plays cells of the fault matrix, many at a time, on few mounts.

Each cell has an address of the loopback for itself, which to the mount is another
registry: what one fault leaves behind there (pauses, marks) meets no other cell.
"""
import errno
import itertools
import json
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace

import mounting
from emulator.client import EmulatorProcess
from emupush import account
from matrixops import OPERATIONS, READS, REMOVES, Scene, Small, pour
from tools import run, sha256

ACCOUNTS = 1000                         # more than there are guarded cells
PATIENT, SHORT = 8, 2                   # timeout=: of those that wait for nothing
TURNS = 4                               # of what only a busy machine delays
LONGEST = 6 * SHORT + 20                # any call, however loaded the machine is
PROFILES = {
    "plain": ["distribution3", "delete=true", "referrers=on", "oci_subject=true"],
    "old": ["distribution3", "delete=true"],
    "guarded": ["bearer", "delete=true", "delete_tag=202", "check_chunk=true",
                "tags_paged=true", "referrers=on", "oci_subject=true", "redirect=307",
                "stale_state=416", "list_child=false", "near=true"],
}


@dataclass
class Cell:
    """row, fault and form of it; expected: as in faultmatrix."""
    row: str
    fault: object
    operation: str
    form: str
    expected: str

    @property
    def is_slow(self):
        return any(k in self.fault.spec for k in ("delay", "stall", "trickle_head"))

    def __str__(self):
        return f"{self.row.split()[0]}, {self.fault.name}, {self.form}: {self.operation}"


class TooLate(AssertionError):
    """Time was over before the fault was met: the machine is busy."""


def name_of(error):
    return errno.errorcode.get(error.errno, str(error.errno))


def attempt(function, *args):
    """("ok" or an errno's name, seconds)"""
    start = time.monotonic()
    try:
        function(*args)
        result = "ok"
    except OSError as e:
        result = name_of(e)
    return result, time.monotonic() - start


class Place:
    """One mount of all hosts, and emulators that answer at every address."""

    def __init__(self, folder, env=None, **options):
        self.folder = folder
        self.known, self.unknown = itertools.count(1), itertools.count(ACCOUNTS)
        folder.mkdir(parents=True, exist_ok=True)
        self.emulators = {name: EmulatorProcess(*words, host="lo")
                          for name, words in PROFILES.items()}
        self.authfile = self._log_in(folder)
        options = {"timeout": SHORT, "retries": 3, "allow_delete": True,
                   "plain_http": "127.*", "authfile": self.authfile, **options}
        self.mount = mounting.Mount(folder / "m", env=env, **options)

    def _log_in(self, folder):
        """The same account for each address that a guarded cell may be given."""
        emu = self.emulators["guarded"]
        return account(folder, *(SimpleNamespace(address=self.host(n, emu, which))
                                 for which in (1, 2) for n in range(ACCOUNTS)))

    def number(self, emu):
        return next(self.known if emu is self.emulators["guarded"] else self.unknown)

    def host(self, number, emu, which=1):
        return f"127.{which}.{number >> 8}.{number & 255}:{emu.ports['registry']}"

    def evict(self, path):
        run(mounting.program(), "evict", "--quiet", "--force", path, env=self.mount.env)

    def errors_of(self, number):
        """Both hosts that a cell may have."""
        tail = f".{number >> 8}.{number & 255}:"
        return [line for line in self.mount.status("errors").splitlines()
                if tail in line]

    def stop(self):
        try:
            self.mount.finish()
        finally:
            self.mount.destroy()
            for emu in self.emulators.values():
                emu.ask_to_stop()
            for emu in self.emulators.values():
                emu.stop()


def warm(scene, operation):
    """Has a token for what the operation does, from before."""
    small = Small(-scene.number)
    if operation in REMOVES:
        small.load(scene.emu, scene.repo, None)
        os.rmdir(scene.top / "_manifests" / small.digest)
    elif operation in READS or operation == "mkdir":
        small.load(scene.emu, scene.repo, None)
        os.stat(scene.top / "_manifests" / small.digest)
    else:
        pour(scene.blob(sha256(small.config)), small.config)


def prepared(function, scene):
    """Without a fault only a busy machine can be too late."""
    for _ in range(TURNS):
        result, _ = attempt(function, scene)
        if result == "ok":
            return
        scene.close()
    raise AssertionError(f"cannot be prepared: {result}")


class Player:
    """One cell, from its preparation to its recovery."""

    def __init__(self, place, cell):
        self.place, self.cell = place, cell
        self.operation = OPERATIONS[cell.operation]
        fault = cell.fault
        profile = fault.profile or self.operation.profile
        if fault.at != "registry":
            profile = "guarded"
        self.emu = place.emulators[profile]
        self.scene = Scene(place, place.number(self.emu), self.emu)
        self.rule = None
        self.scene.seen = self.hits

    def hits(self):
        """1 where there is nothing to wait for."""
        return self.emu.call("rules", number=self.rule)[0]["hits"] if self.rule else 1

    def _spec(self):
        s, fault = self.scene, self.cell.fault
        rule = dict(self.operation.rule)
        if fault.at == "storage":
            rule = {"method": "GET"}
        elif fault.at == "token":
            rule = {}
        rule["where"] = fault.at
        rule["count"] = 1 if self.cell.form == "once" else 0
        rule["host"] = self._address()
        return {**rule, **json.loads(json.dumps(fault.spec).replace(
            "ADDRESS", s.host.partition(":")[0]))}

    def _address(self):
        """Of its registry, storage and token server."""
        n = self.scene.number
        return f"^127[.][12][.]{n >> 8}[.]{n & 255}:"

    def play(self):
        """Raises an AssertionError that tells what was wrong."""
        try:
            if self.cell.fault.warm:
                warm(self.scene, self.cell.operation)
            prepared(self.operation.prepare, self.scene)
            self.rule = self.emu.fault(**self._spec())
            self._act()
        finally:
            if self.rule:
                self.emu.call("clear_faults", number=self.rule)
            self.scene.close()

    def _act(self):
        scene, cell, operation = self.scene, self.cell, self.operation
        result, took = attempt(operation.act, scene)
        lines = self._lines(result)
        met = self.emu.call("clear_faults", number=self.rule) > 0
        self.rule = None
        assert result in cell.expected.split("|"), \
            f"{result}, not {cell.expected}: {lines}"
        if not met:
            late = TooLate if result == "ETIMEDOUT" else AssertionError
            raise late(f"{result} without a fault: {self._asked()}")
        assert took < LONGEST, f"{took:.1f} s"
        if result == "ok":
            operation.right(scene)
            return
        if result != "ENOENT":          # that is an answer, not a failure
            assert any((cell.fault.told or result) in line for line in lines), \
                f"{result} is not in errors: {lines}"
        if "body" in cell.fault.spec and result != "ENOENT" and \
                operation.rule.get("method") != "HEAD" and \
                cell.operation not in cell.fault.but:
            words = json.loads(cell.fault.spec["body"])["errors"][0]["message"]
            assert any(words in line for line in lines), f"without its words: {lines}"
        (operation.unchanged or (lambda s: None))(scene)
        if cell.fault.recovers:
            self._recover()

    def _asked(self):
        """What the registry, and who helps it, were asked for."""
        return [f"{e['where']} {e['method']} {e['target']} {e['status']}"
                for e in self.emu.log()
                if re.search(self._address(), e["headers"].get("host", ""))]

    def _lines(self, result):
        """What `errors` says of it.  A look-up may end before the download that it
        waits for, whose failure comes later."""
        waits = result not in ("ok", "ENOENT")
        until = time.monotonic() + (LONGEST if waits else 0)
        while True:
            lines = self.place.errors_of(self.scene.number)
            if lines or time.monotonic() >= until:
                return lines
            time.sleep(0.1)

    def _recover(self):
        again = self.operation.again or self.operation.act
        until = time.monotonic() + LONGEST
        while (result := attempt(again, self.scene)[0]) != "ok":
            assert time.monotonic() < until, f"does not recover: {result}"
            time.sleep(0.1)
        self.operation.right(self.scene)


def play_cell(place, cell):
    """Anew, at another address, if it was too late for its fault."""
    for _ in range(TURNS):
        try:
            return Player(place, cell).play()
        except TooLate as e:
            late = e
    raise late


def play(folder, cells):
    """{cell's name: None, or what was wrong}.  Those that wait for a timeout do so
    all at once; the others are few at a time and have time enough."""
    results = {}
    for slow, at_once, seconds in ((True, 80, SHORT), (False, 16, PATIENT)):
        wanted = [c for c in cells if c.is_slow == slow]
        if not wanted:
            continue
        place = Place(folder / str(seconds), timeout=seconds)
        try:
            with ThreadPoolExecutor(at_once) as pool:
                results.update(zip(map(str, wanted), pool.map(
                    lambda c, p=place: outcome(play_cell, p, c), wanted)))
        finally:
            place.stop()
    return results


def outcome(function, *args):
    """An answer for one cell, not an end of all."""
    try:
        function(*args)
    except Exception as e:
        return f"{type(e).__name__}: {e}"
    return None
