# SPDX-License-Identifier: Apache-2.0
"""Faults that hit everything at once: all operations are prepared, then the fault
begins, all act at the same time, it ends, and all are done again.
"""
import os
import resource
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from emulator.client import EmulatorProcess
from matrixops import ALL, FRESH, OPERATIONS, READS, Scene
from matrixplay import LONGEST, Place, attempt, outcome, prepared
from registry import make_certificate
from tools import wait_until

NOT_THERE = "ENOTCONN|ECONNABORTED"


class Phase:
    """operations, and what each is expected to say; empty `after`: it is not done
    again."""
    name, operations, expected, again = "", ALL, "ok", True
    spec = None                         # a rule for each operation's own requests
    told = True                         # is a failure in `errors`?

    @staticmethod
    def options(folder):
        """Of its mount."""
        return {}

    def __init__(self, place):
        self.place = place
        self.registries = [place.emulators[n] for n in ("plain", "old")]

    def scene(self, operation):
        emu = self.place.emulators[operation.profile]
        return Scene(self.place, self.place.number(emu), emu)

    def begin(self):
        """Before anybody acts."""

    def meanwhile(self, players):
        """While they act."""

    def end(self):
        """After it, or in any case."""

    def play(self):
        """{operation: None, or what was wrong}"""
        players = [Acting(self, name) for name in self.operations]
        with ThreadPoolExecutor(len(players)) as pool:
            list(pool.map(Acting.prepare, players))
            try:
                self.begin()
                acts = [pool.submit(p.act) for p in players]
                self.meanwhile(players)
                for act in acts:
                    act.result()
            finally:
                for p in players:
                    p.spare()
                self.end()
            return {p.name: wrong for p, wrong in
                    zip(players, pool.map(Acting.judge, players))}


class Acting:
    """One operation in a phase."""

    def __init__(self, phase, name):
        self.phase, self.name = phase, name
        self.operation = OPERATIONS[name]
        self.scene = phase.scene(self.operation)
        self.scene.seen = self.hits
        self.wrong = self.rule = self.result = None
        self.took, self.lines, self.met = 0, [], True

    def hits(self):
        """1 where there is nothing to wait for."""
        return self.scene.emu.call("rules", number=self.rule)[0]["hits"] \
            if self.rule else 1

    def prepare(self):
        self.wrong = outcome(prepared, self.operation.prepare, self.scene)
        if self.phase.spec:
            n = self.scene.number
            self.rule = self.scene.emu.fault(
                **self.operation.rule, host=f"[.]{n >> 8}[.]{n & 255}:", count=0,
                **self.phase.spec)

    def act(self):
        try:
            self.result, self.took = attempt(self.operation.act, self.scene)
        except Exception as e:          # wrong bytes
            self.wrong = self.wrong or f"{type(e).__name__}: {e}"

    def spare(self):
        if self.rule:
            self.met = self.scene.emu.call("clear_faults", number=self.rule) > 0
            self.rule = None
        self.wrong = outcome(self.scene.close) or self.wrong

    def judge(self):
        return self.wrong or outcome(self._judge)

    def _judge(self):
        phase, scene = self.phase, self.scene
        expected = phase.expected
        if isinstance(expected, dict):
            expected = expected.get(self.name, expected[""])
        assert self.result in expected.split("|"), \
            f"{self.result}, not {expected}: {phase.place.errors_of(scene.number)}"
        assert self.met, f"{self.result} without a fault"
        assert self.took < LONGEST, f"{self.took:.1f} s"
        if self.result == "ok":
            self.operation.right(scene)
            return
        if phase.told:
            lines = phase.place.errors_of(scene.number)
            assert any(self.result in line for line in lines), \
                f"{self.result} is not in errors: {lines}"
        if phase.again:
            self._again()

    def _again(self):
        operation, until = self.operation, time.monotonic() + LONGEST
        if self.scene.handle is None and operation.prepare.__name__ in ("opened", "begun"):
            self.scene.handle = os.open(self.scene.blob(self.scene.digest), os.O_RDONLY)
        while True:
            result, _ = attempt(operation.again or operation.act, self.scene)
            if result == "ok":
                break
            if result in ("EEXIST", "ENOENT") and self._is_done():
                return                  # the fault came after the deed
            assert time.monotonic() < until, f"does not recover: {result}"
            time.sleep(0.1)
        operation.right(self.scene)
        self.scene.close()

    def _is_done(self):
        return outcome(self.operation.right, self.scene) is None


class Refused(Phase):
    name, expected = "N1 connection refused", "ECONNREFUSED"

    def begin(self):
        for emu in self.registries:
            emu.call("listen", on=False)

    def end(self):
        for emu in self.registries:
            emu.call("listen", on=True)


class NoName(Phase):
    """A name that has no address, or nobody to ask for one."""
    name, operations = "N2 no such name", FRESH
    expected, told, again = "EHOSTUNREACH|ETIMEDOUT", False, False

    def scene(self, operation):
        scene = super().scene(operation)
        scene.host = f"c{scene.number}.invalid"
        return scene


class WrongCertificate(Phase):
    """Signed by another authority than the one that is trusted: nothing is asked,
    neither over TLS nor in the clear."""
    name, operations, expected, again = "N8 TLS", FRESH, "EIO", False

    @staticmethod
    def options(folder):
        return {"plain_http": False, "cert_dir": folder / "certs.d", "timeout": 8}

    def __init__(self, place):
        super().__init__(place)
        (place.folder / "one").mkdir()
        (place.folder / "two").mkdir()
        self.emu = EmulatorProcess("distribution3", host="lo",
                                   tls=make_certificate(place.folder / "one"))
        self.other = make_certificate(place.folder / "two")[0]
        place.emulators["tls"] = self.emu

    def scene(self, operation):
        scene = Scene(self.place, self.place.number(self.emu), self.emu)
        folder = self.place.folder / "certs.d" / scene.host
        folder.mkdir(parents=True)
        shutil.copy(self.other, folder / "ca.crt")
        return scene

    def end(self):
        assert self.emu.log() == []


class Killed(Phase):
    """kill -9 of the daemon while every operation waits for an answer."""
    name, expected, told = "P1 to P3 killed", {"": NOT_THERE, "mount": NOT_THERE}, False
    spec = {"delay": 600}

    @staticmethod
    def options(folder):
        return {"timeout": 60}          # nobody gives up before

    def meanwhile(self, players):
        for p in players:
            wait_until(lambda p=p: p.hits() or p.result, LONGEST,
                       f"{p.name} is asked for")
        self.place.mount.kill()

    def end(self):
        self.place.mount.kill()
        self.place.mount.start()
        self.place.mount.expect_exit = 0


class KilledAfter(Killed):
    """The same when the registry has done what was asked, and nobody was told."""
    name = "P4 killed after the deed"
    operations = ["commit", "publish", "link", "remove tag", "remove manifest",
                  "remove blob", "referrer by tag"]
    spec = {"trickle_head": {"bytes": 1, "every": 20}}


class CacheGone(Phase):
    """The cache directory is deleted under a running mount."""
    name, told = "P8 cache deleted", False
    expected = {"": "ok|EIO|EROFS|ENOSPC", **{n: "ok" for n in READS}}

    def begin(self):
        shutil.rmtree(self.place.mount.options["cache_dir"])

    def end(self):
        self.place.mount.restart()


class FewFiles(Phase):
    """The daemon may open no more files."""
    name = "P17 no more files"
    expected = "ok|EIO|EMFILE|ENFILE|ENOMEM"
    told = False

    def _limit(self, soft):
        pid = self.place.mount.process.pid
        hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))

    def begin(self):
        pid = self.place.mount.process.pid
        self.before = resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
        self._limit(len(os.listdir(f"/proc/{pid}/fd")))

    def end(self):
        self._limit(self.before)


class Suspended(Phase):
    """The machine sleeps for a moment, and wakes to find every connection gone."""
    name = "P15 suspended"

    def begin(self):
        self.place.mount.process.send_signal(signal.SIGSTOP)

    def meanwhile(self, players):
        for emu in self.registries:
            emu.call("listen", on=False)
            emu.call("listen", on=True)
        self.place.mount.process.send_signal(signal.SIGCONT)


PHASES = [Refused, NoName, WrongCertificate, Suspended, FewFiles, CacheGone, Killed,
          KilledAfter]


def play_phases(folder, names):
    """{"phase: operation": None, or what was wrong}"""
    results = {}
    for phase in PHASES:
        if phase.name not in names:
            continue
        own = folder / phase.name.split()[0]
        place = Place(own, **phase.options(own))
        try:
            played = phase(place).play()
        finally:
            place.stop()
        results.update({f"{phase.name}: {k}": v for k, v in played.items()})
    return results
