# SPDX-License-Identifier: Apache-2.0
"""The n-th request of a pull and of a push spoilt in each way, and each body cut at
each of 16 points: it ends, and ends right.

A pull resolves a tag, reads all that is in the image, a file of its root file system
and parts of a large blob; a push copies an image, a blob and a tag: both behind
tokens and, to read, redirects.  Whatever is hit, a file is byte for byte right or
reading it fails; a tag is there with all of its image, or not at all; a fault that
can be told and passes is not noticed; and when it is over all of it works.

RFS_SWEEP=full plays every combination, otherwise some of each."""
import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from matrixops import MIB, Scene, pour
from matrixplay import LONGEST, PATIENT, SHORT, Place, name_of, outcome
from pushing import pending
from tools import read_file, sha256

FULL = os.environ.get("RFS_SWEEP") == "full"
POINTS = 16
AT_ONCE = 12
# None: must not be noticed.  Else what may be seen of it, besides nothing: what
# spoils data cannot be told from a registry that holds wrong data, and silence may
# be longer than all the time there is.
FAULTS = {
    "closed": ({"drop": "fin"}, None),
    "reset": ({"drop": "rst"}, None),
    "503": ({"status": 503}, None),
    "429": ({"status": 429, "headers": {"Retry-After": "0"}}, None),
    "done, not told": ({"status": 502, "after": True}, None),
    "page": ({"status": 200, "html": True}, "EIO|EBADMSG"),
    "flip": ({"flip": 17}, "EIO|EBADMSG|EACCES|ETIMEDOUT"),
    "silence": ({"delay": 600}, "ETIMEDOUT|EIO"),
}


class Run:
    """A pull or a push of its own image; `seen` are its errors by name."""

    def __init__(self, place):
        self.emu = place.emulators["guarded"]
        self.scene = Scene(place, place.number(self.emu), self.emu)
        self.seen, self.got = [], {}

    def rule(self):
        """Its requests to the registry, the token server and storage."""
        s = self.scene
        names = [s.image.config, s.image.layer, s.other.config, s.other.layer]
        return "|".join([f"c{s.number}(/|%2F)", self.digest[7:],
                         *(sha256(x)[7:] for x in names)])

    def step(self, function, *args):
        try:
            return function(*args)
        except OSError as e:
            self.seen.append(name_of(e))
        return None


class Pull(Run):
    def __init__(self, place):
        super().__init__(place)
        self.digest, self.data = self.scene.large()

    def play(self):
        """Raises an AssertionError for a wrong byte."""
        s, top = self.scene, self.scene.top / "_tags/1"
        at, end = MIB + 4321, MIB + 8321
        for what, path, truth in (
                ("manifest", top / "manifest.json", s.image.body),
                ("config", top / "config.json", s.image.config),
                ("layer", top / "blobs/sha256" / sha256(s.image.layer)[7:],
                 s.image.layer),
                ("file", s.tree() / "etc/name", s.image.text),
                ("blob", s.blob(self.digest), self.data)):
            data = self.step(read_part, path, at, end) if what == "blob" else None
            assert data in (None, self.data[at:end]), "wrong bytes of a part"
            data = self.step(read_file, path)
            assert data in (None, truth), f"wrong bytes: {what}"
        self.step(os.listdir, s.manifest("referrers"))


def read_part(path, at, end):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.pread(fd, end - at, at)
    finally:
        os.close(fd)


class Push(Run):
    def __init__(self, place):
        super().__init__(place)
        self.data = os.urandom(1 << 16) + bytes(1_400_000)
        self.digest = sha256(self.data)

    def play(self):
        s = self.scene
        folder = s.top / "_tags/2/blobs/sha256"
        before = len(self.seen)
        self.step(os.makedirs, folder, 0o755, True)
        for data in (s.other.config, s.other.layer, s.other.body):
            self.step(pour, folder / sha256(data)[7:], data)
        self.step(pour, s.top / "_tags/2/index.json", s.other.index())
        published = len(self.seen) == before
        self.step(pour, s.blob(self.digest), self.data)
        if "2" in s.held()["tags"] and "3" not in s.held()["tags"]:
            self.step(os.symlink, "2", s.top / "_tags/3")
        self.check(published)

    def check(self, published):
        """A tag is there with all of its image, or not at all."""
        s = self.scene
        held = s.held()
        parts = {sha256(s.other.config), sha256(s.other.layer)}
        assert not published or held["tags"].get("2") == s.other.digest, \
            "copied, and no tag"
        for tag in {"2", "3"} & set(held["tags"]):
            assert held["tags"][tag] == s.other.digest and \
                s.other.digest in held["manifests"] and \
                parts <= set(held["blobs"]), f"half an image under {tag}"
        if not self.seen:
            assert self.digest in held["blobs"] and held["tags"].get("3"), "not there"


def clean(kind, place):
    """(number of requests, [numbers of those answered with a body], [… asked with
    one]) of a run without a fault."""
    run = kind(place)
    rule = run.emu.fault(path=run.rule(), count=0, headers={})
    run.play()
    assert not run.seen, run.seen
    log = [e for e in run.emu.log() if e["rule"] == rule]
    run.emu.call("clear_faults", number=rule)
    answers = {n: e["sent"] for n, e in enumerate(log, 1) if e["sent"] > 1}
    bodies = {n: e["received"] for n, e in enumerate(log, 1) if e["received"] > 1}
    return len(log), answers, bodies


def requests(count):
    """(name, nth, spec, allowed) of each request spoilt in each way."""
    for nth, (name, (spec, allowed)) in itertools.product(range(1, count + 1),
                                                          FAULTS.items()):
        number = list(FAULTS).index(name)
        if FULL or (nth + number) % 4 == 0:
            yield f"{name} at request {nth}", nth, spec, allowed


def cuts(answers, bodies):
    """… of each body cut at each point."""
    for key, sizes in (("cut", answers), ("cut_request", bodies)):
        for nth, size in sizes.items():
            for i in range(POINTS):
                at = i * size // POINTS
                if FULL or (nth + i) % 8 == 0:
                    yield (f"{key} {at} of {size} at request {nth}", nth,
                           {key: {"at": at, "how": "rst" if i % 2 else "fin"}}, None)


def one(kind, place, case):
    """What was wrong, if anything was."""
    name, nth, spec, allowed = case
    run = kind(place)
    rule = run.emu.fault(path=run.rule(), nth=nth, **spec)
    try:
        start = time.monotonic()
        run.play()
        took, seen = time.monotonic() - start, set(run.seen)
        hits = run.emu.call("clear_faults", number=rule)
        assert took < 3 * LONGEST, f"{took:.0f} s"
        assert hits or seen == set(), "never met"
        assert seen <= set(allowed.split("|") if allowed else ()), f"said {seen}"
        run.seen.clear()
        run.play()
        assert not run.seen, f"does not recover: {run.seen}"
        left = [text for text in pending(place.mount) if f"c{run.scene.number}/" in text]
        assert not left, f"said {seen}, and now is pending: {left}"
    except Exception as e:              # one answer of many
        return f"{name}: {type(e).__name__} {e}"
    finally:
        run.emu.call("clear_faults", number=rule)
    return None


@pytest.mark.limit(1800 if FULL else 120)
@pytest.mark.parametrize("kind", [Pull, Push])
def test_sweep(tmp_path, kind, capsys):
    wrong, played = [], 0
    for seconds, slow in ((PATIENT, False), (SHORT, True)):
        place = Place(tmp_path / str(seconds), timeout=seconds)
        try:
            count, answers, bodies = clean(kind, place)
            cases = [c for c in [*requests(count), *cuts(answers, bodies)]
                     if ("delay" in c[2]) == slow]
            with ThreadPoolExecutor(4 * AT_ONCE if slow else AT_ONCE) as pool:
                wrong += filter(None, pool.map(lambda c, p=place: one(kind, p, c), cases))
            played += len(cases)
        finally:
            wrong += filter(None, [outcome(place.stop)])
    with capsys.disabled():
        if FULL:
            print(f"\n{kind.__name__}: {count} requests, {len(answers) + len(bodies)} "
                  f"bodies, {played} runs, {len(wrong)} wrong")
    assert not wrong, f"{len(wrong)} of {played}\n" + "\n".join(wrong)
