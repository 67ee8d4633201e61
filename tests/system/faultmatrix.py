# SPDX-License-Identifier: Apache-2.0
"""The faults of the network, row by row, for every operation that can meet them.

A row's faults are scripts for the emulator (see emulator/faults.py).  `once` is what
the user sees of one that passes, `stays` of one that lasts: an errno, "ok" for the
right result, or several of these divided by "|".  None: not played in that form.
`but` names operations for which it is otherwise.
"""
import json
from dataclasses import dataclass, field

from matrixops import (ALL, BODIES, DATA, FRESH, LISTS, MOVES, PUTS, RANGES, READS,
                       REMOVES, WAYS_OUT)

PAGE = {"html": True, "headers": {"Docker-Content-Digest": None}}
FAR = {"Retry-After": "3600"}
PAST = {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}
LIES = ["start", "end", "total", "star", "unit", "garbage", "missing", "two", "another",
        "short", "few", "extra", "multipart"]
MANIFESTS = ["stat tag", "manifest"]
MOUNT = {"mount": "ok"}
# These begin with a look-up, which has not the time to wait twice.
LOOKS = {"layer": "ok|ETIMEDOUT", "rootfs": "ok|ETIMEDOUT"}
SOME = ["list tags", "stat tag", "manifest", "blob whole", "start", "bytes", "publish",
        "remove tag"]
WHOLE = ["blob first", "blob whole", "layer"]
BLOBS = ["stat blob", *DATA, "relay, reading"]


@dataclass
class Fault:
    """at: whose answers are spoilt: registry, storage (of redirects) or token
    (server); to: the operations that meet it."""
    name: str
    spec: dict
    to: list
    once: str = None
    stays: str = None
    but: dict = field(default_factory=dict)
    at: str = "registry"
    profile: str = ""           # of the registry, if not the operation's own
    told: str = ""              # the errno in `errors`, if it is another
    recovers: bool = True       # at once, when the fault is over
    warm: bool = False          # a token is there already


def without(names, *gone):
    return [n for n in names if n not in gone]


# The token for the catalogue names no repository by which to tell it.
NAMED = without(FRESH, "list repositories")


# Storage is known by then, and the registry not asked again; that it refuses its
# catalogue means only that it does not list; old registries have no accounts here.
OFTEN = without(ALL, "blob middle", "file in rootfs", "list repositories",
                "referrer by tag", "referrers by tag")


# Of storage and of the token server: each row by one fault for all that meet it,
# the other forms of it for a few.
STORED = ["blob whole", "layer"]
ASKED = ["list tags", "start"]


def to_storage(url):
    """The registry sends to there who wants a blob."""
    return {"redirect": {"status": 307, "url": url}}


def to_token(url):
    return {"status": 401, "headers": {
        "WWW-Authenticate": f'Bearer realm="{url}",service="emulator"'}}


def elsewhere(name, spec, once, stays, **more):
    """The same at storage and at the token server, for a few."""
    return [Fault(f"{name} at storage", spec, STORED, once, stays, at="storage", **more),
            Fault(f"{name} at the token server", spec, ASKED, once, stays, at="token",
                  **more)]


def said(status, code, message, **more):
    body = json.dumps({"errors": [{"code": code, "message": message}]})
    return {"status": status, "body": body, **more}


ROWS = {
    "N1/N2 nobody there": [
        Fault("storage refuses", to_storage("http://ADDRESS:1/a"), DATA, "ok",
              "ECONNREFUSED"),
        Fault("no such storage", to_storage("https://nobody.invalid/a"), DATA, None,
              "EHOSTUNREACH"),
        # (Who has a token for all of it, and is refused, is not believed.)
        Fault("token server refuses", to_token("http://ADDRESS:1/token"), NAMED, None,
              "ECONNREFUSED", {"start": "EACCES"}, profile="guarded"),
        # By a name it is another site's, which has to be allowed before.
        Fault("no such token server", to_token("https://nobody.invalid/token"), NAMED,
              None, "EACCES", profile="guarded"),
    ],
    "N3 reset or end within a body": [
        Fault("closed", {"drop": "fin"}, ALL, "ok", "EIO", WAYS_OUT),
        Fault("reset", {"drop": "rst"}, ALL, "ok", "EIO", WAYS_OUT),
        Fault("cut", {"cut": {"at": 20}}, BODIES, "ok", "EIO"),
        Fault("cut by reset", {"cut": {"at": 10, "how": "rst"}}, BODIES, "ok", "EIO"),
        Fault("request cut", {"cut_request": {"at": 20, "how": "rst"}},
              ["relay, writing", *PUTS], "ok", "EIO"),
        Fault("answer cut", {"raw": "HTTP/1.1 202 Acc"}, ALL, "ok", "EIO", WAYS_OUT),
        Fault("unread", {"refuse": True, "status": 503}, MOVES, "ok", "EIO", WAYS_OUT),
        Fault("at storage", {"cut": {"at": 20}}, DATA, "ok", "EIO", at="storage"),
        Fault("at the token server", {"drop": "rst"}, NAMED, "ok", "EIO", at="token"),
        *elsewhere("closed", {"drop": "fin"}, "ok", "EIO"),
        *elsewhere("cut by reset", {"cut": {"at": 10, "how": "rst"}}, "ok", "EIO"),
        *elsewhere("cut", {"cut": {"at": 20}}, "ok", "EIO"),
        *elsewhere("answer cut", {"raw": "HTTP/1.1 200 O"}, "ok", "EIO"),
    ],
    "N4 silence": [
        # (The bytes may still go in a PUT, if there is time.)
        Fault("no answer", {"delay": 600}, ALL, None, "ETIMEDOUT",
              {**MOUNT, "bytes": "ok|ETIMEDOUT"}),
        # (What is sent may take an answer's whole budget: it is not sent twice.)
        Fault("no answer once", {"delay": 600}, DATA, "ok", but=LOOKS),
        Fault("within a body", {"stall": {"at": 20}}, BODIES, None, "ETIMEDOUT"),
        Fault("within a head", {"trickle_head": {"bytes": 1, "every": 0.5}},
              [*READS, "mkdir", "look before sending", "start"], None, "ETIMEDOUT"),
        Fault("at storage", {"delay": 600}, DATA, "ok", "ETIMEDOUT", LOOKS, at="storage"),
        Fault("at the token server", {"delay": 600}, NAMED, None, "ETIMEDOUT",
              at="token"),
        Fault("slow", {"trickle": {"bytes": 60_000, "every": 0.01}}, BODIES, "ok", "ok"),
        *elsewhere("within a body", {"stall": {"at": 20}}, None, "ETIMEDOUT"),
        *elsewhere("within a head", {"trickle_head": {"bytes": 1, "every": 0.5}}, None,
                   "ETIMEDOUT"),
    ],
    "N5 no length, and cut": [
        Fault("cut", {"length": None, "cut": {"at": 20}}, [*DATA, "relay, reading"], "ok",
              "EIO"),
        # Of what nobody knows the length there is only what it says.
        Fault("cut document", {"length": None, "cut": {"at": 20}}, [*LISTS, "manifest"],
              "ok", "EIO"),
        *elsewhere("cut", {"length": None, "cut": {"at": 20}}, "ok", "EIO"),
    ],
    "N6 lies about ranges": [
        *[Fault(lie, {"range_lie": lie}, RANGES, "ok", "ok|EIO") for lie in LIES],
        Fault("shifted body", {"range_lie": "shifted_body"}, ["blob whole"], "ok|EBADMSG",
              "EBADMSG"),
        *[Fault(f"{lie} at storage", {"range_lie": lie}, ["blob middle"], "ok", "ok|EIO",
                at="storage") for lie in LIES],
    ],
    "N6 what is no answer": [
        Fault("no HTTP", {"raw": "SMTP ready\r\n\r\n"}, SOME, "ok", "EIO", WAYS_OUT),
        Fault("gzip", {"gzip": True}, WHOLE, "ok", "EIO"),
        Fault("too short", {"truncate": 10}, WHOLE, "ok", "EIO"),
        *[Fault(f"length {n}", {"length": n}, WHOLE, "ok", "ok|EIO")
          for n in ("99999999", "10|20", "-1", "9223372036854775807")],
        Fault("headers without end", {"huge_headers": 1 << 20},
              without(SOME, "bytes", "publish", "remove tag"), None, "EIO"),
        *elsewhere("no HTTP", {"raw": "SMTP ready\r\n\r\n"}, "ok", "EIO"),
        Fault("too short at storage", {"truncate": 10}, STORED, "ok", "EIO",
              at="storage"),
        Fault("no token", {"truncate": 10}, ASKED, None, "EIO", at="token"),
        Fault("length 99999999 at storage", {"length": "99999999"}, STORED, "ok",
              "ok|EIO", at="storage"),
        Fault("a long token", {"length": "99999999"}, ASKED, None, "EIO", at="token"),
        *elsewhere("length -1", {"length": "-1"}, "ok", "ok|EIO"),
        *elsewhere("headers without end", {"huge_headers": 1 << 20}, None, "EIO"),
        Fault("gzip at storage", {"gzip": True}, STORED, "ok", "EIO", at="storage"),
    ],
    "N7 all of it instead of a range": [
        Fault("200", {"range_lie": "ignored"}, RANGES, "ok", "ok"),
        Fault("200 at storage", {"range_lie": "ignored"}, RANGES, "ok", "ok",
              at="storage"),
    ],
    "N9 tokens that end": [
        Fault("expired", {"revoke": True}, OFTEN, "ok", profile="guarded", warm=True),
        Fault("401", {"status": 401}, OFTEN, "ok", "EACCES", WAYS_OUT,
              profile="guarded", warm=True),
    ],
    "N10 forbidden": [
        Fault("401 at the token server", {"status": 401}, NAMED, None, "EACCES",
              at="token"),
        Fault("403 at the token server", said(403, "DENIED", "not for you"), NAMED, None,
              "EACCES", at="token"),
        Fault("403", said(403, "DENIED", "not for you"),
              without(ALL, "list repositories"), None, "EACCES", MOUNT),
    ],
    "N11 storage refuses": [
        Fault("403", {"status": 403}, DATA, "ok", "EIO", at="storage"),
        Fault("401", {"status": 401}, STORED, "ok", "EIO", at="storage"),
    ],
    "N12 gone": [
        Fault("from storage", {"status": 404}, DATA, "ok", "EIO", at="storage"),
        Fault("token server", {"status": 404}, ASKED, None, "EIO", at="token"),
        Fault("blob", said(404, "BLOB_UNKNOWN", "blob unknown"), BLOBS, None, "ENOENT",
              {**{n: "ESTALE|ENOENT" for n in RANGES}, "layer": "EIO", "rootfs": "EIO"},
              told="ENOENT"),
        Fault("manifest", said(404, "MANIFEST_UNKNOWN", "unknown"), MANIFESTS, None,
              "ENOENT"),
        Fault("repository", said(404, "NAME_UNKNOWN", "no such thing"),
              ["list tags", "start", *PUTS], None, "ENOENT"),
        Fault("removed by another", said(404, "MANIFEST_UNKNOWN", "unknown", after=True),
              REMOVES, "ok"),
    ],
    "N13 a web page": [
        Fault("404", {"status": 404, **PAGE}, without(ALL, "referrers"), None, "EIO",
              WAYS_OUT),
        Fault("200", {"status": 200, **PAGE}, without(ALL, "referrers"), None, "EIO",
              {**WAYS_OUT, "stat blob": "ok", "look before sending": "ok"}),
        Fault("200 once", {"status": 200, **PAGE}, RANGES, "ok"),
        Fault("200 at the token server", {"status": 200, **PAGE}, NAMED, None, "EIO",
              at="token"),
        Fault("404 at the token server", {"status": 404, **PAGE}, ASKED, None, "EIO",
              at="token"),
        Fault("200 at storage", {"status": 200, **PAGE}, DATA, None, "EIO", at="storage"),
        Fault("404 at storage", {"status": 404, **PAGE}, STORED, "ok", "EIO",
              at="storage"),
    ],
    "N14 too many requests": [
        Fault("429", {"status": 429}, ALL, "ok", "ETIMEDOUT", WAYS_OUT),
        Fault("a second", {"status": 429, "headers": {"Retry-After": "1"}}, ALL, "ok"),
        Fault("garbage", {"status": 429, "headers": {"Retry-After": "soon"}}, READS, "ok"),
        Fault("past", {"status": 429, "headers": PAST}, READS, "ok"),
        Fault("an hour", {"status": 429, "headers": FAR}, ALL, None, "ETIMEDOUT",
              {"mount": "ok|ETIMEDOUT"}, recovers=False),
        Fault("408", {"status": 408}, ALL, "ok", "ETIMEDOUT", WAYS_OUT),
        Fault("at the token server", {"status": 429}, NAMED, "ok", "ETIMEDOUT",
              at="token"),
        Fault("429 at storage", {"status": 429}, DATA, "ok", "ETIMEDOUT", at="storage"),
        *elsewhere("a second", {"status": 429, "headers": {"Retry-After": "1"}}, "ok",
                   None),
        *elsewhere("an hour", {"status": 429, "headers": FAR}, None, "ETIMEDOUT",
                   recovers=False),
        *elsewhere("408", {"status": 408}, "ok", "ETIMEDOUT"),
    ],
    "N15 the server fails": [
        Fault("500", {"status": 500}, ALL, "ok", "EIO", WAYS_OUT),
        Fault("502", {"status": 502, **PAGE}, ALL, "ok", "EIO", WAYS_OUT),
        Fault("503", {"status": 503}, ALL, "ok", "EIO", WAYS_OUT),
        Fault("504", {"status": 504}, READS, "ok", "EIO"),
        Fault("503 at storage", {"status": 503}, DATA, "ok", "EIO", at="storage"),
        Fault("503 at the token server", {"status": 503}, NAMED, "ok", "EIO",
              at="token"),
        *[fault for status in (500, 502, 504)
          for fault in elsewhere(str(status), {"status": status}, "ok", "EIO")],
    ],
    "N16 the upload's session is lost": [
        Fault("lost", {"lose_session": True}, MOVES, "ok", "EIO", WAYS_OUT),
    ],
    "N17 not the range that was sent": [
        Fault("416", {"status": 416}, ["bytes"], "ok", "ok"),
        Fault("less taken", {"take": 1000}, ["bytes"], "ok", "ok"),
        Fault("nothing taken", {"take": 0}, ["bytes"], "ok", "ok"),
        Fault("more than was sent", {"headers": {"Range": "0-99999999999"}}, ["bytes"],
              "ok", "ok"),
        Fault("garbage", {"headers": {"Range": "yes"}}, ["bytes"], "ok", "ok"),
    ],
    "N18 the digest is refused": [
        Fault("400", {"digest_invalid": True}, ["commit"], "ok", "EIO"),
    ],
    "N19 blobs are unknown": [
        Fault("400", said(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown"), PUTS, "ok",
              "ENOENT"),
        Fault("404", said(404, "BLOB_UNKNOWN", "blob unknown"), PUTS, "ok", "ENOENT"),
    ],
    "N20 malformed, too large": [
        Fault("manifest", said(400, "MANIFEST_INVALID", "bad layers"), PUTS, None,
              "EINVAL"),
        Fault("tag", said(400, "TAG_INVALID", "no such name"), PUTS, None, "EINVAL"),
        Fault("413", {"status": 413, **PAGE}, [*PUTS, "relay, writing"], None, "EFBIG"),
    ],
    "N21 immutable": [
        Fault("400", said(400, "TAG_INVALID", "cannot be overwritten because the "
                          "repository is immutable"), PUTS, None, "EPERM"),
        *[Fault(str(status), said(status, code, "tag is immutable"),
                [*PUTS, "remove tag"], None, "EPERM")
          for status, code in ((403, "DENIED"), (409, "TAG_IMMUTABLE"),
                               (412, "PRECONDITION"))],
    ],
    "N22 the quota": [
        Fault("403", said(403, "DENIED", "quota exceeded"), ["start", *MOVES, *PUTS], None,
              "EDQUOT"),
        Fault("507", {"status": 507}, ["start", *MOVES, *PUTS], None, "EDQUOT",
              {"bytes": "ok|EDQUOT"}),
    ],
    "N23 done, and not told": [
        Fault("500", {"status": 500, "after": True}, ["commit", *PUTS, *REMOVES], "ok"),
        Fault("502", {"status": 502, "after": True, **PAGE},
              ["commit", *PUTS, *REMOVES], "ok"),
        Fault("reset", {"after": True, "cut": {"at": 0, "how": "rst"}, "length": "10"},
              ["commit", *PUTS, *REMOVES], "ok"),
        Fault("too late", {"trickle_head": {"bytes": 1, "every": 20}},
              ["commit", "relay, writing", *PUTS], "ok"),
    ],
    "N24 told, and not done": [
        Fault("201", {"not_stored": True}, PUTS, "ok|EIO", "EIO"),
    ],
    "N25 not supported": [
        Fault("405", said(405, "UNSUPPORTED", "switched off"), REMOVES, None, "EROFS",
              {"remove tag": "EPERM", "rename": "EPERM"}),
        Fault("405 to writing", said(405, "UNSUPPORTED", "read only"), ["start", *PUTS],
              None, "EROFS"),
    ],
}

# Rows that are more than a request spoilt or a phase of it (matrixphases.py).
ELSEWHERE = {
    "P1 killed in a download": ["test_cache.py::test_killed_in_mid_download",
                                "test_cache.py::test_kept_over_kill"],
    "P2, P3 killed in an upload": ["test_crash.py::test_crash",
                                   "test_crash.py::test_left_session"],
    "P5 told to stop": ["test_push_stops.py::test_stop_finishes",
                        "test_push_stops.py::test_stop_twice",
                        "test_push_stops.py::test_stop_pending"],
    "P6, P11 power, fsync": ["test_soak_quick.py::test_part",
                             "test_soak_quick.py::test_power_loss_is_seen"],
    "P7, P9 disk full, read-only": ["test_cache.py::test_disk_full",
                                    "test_soak_quick.py::test_disk"],
    "P10 damaged database": ["test_cache.py::test_damaged_database",
                             "test_cache.py::test_database_says_read_only"],
    "P12 the clock jumps": ["test_clock_jump.py::test_under_way",
                            "test_clock_jump.py::test_told_when",
                            "test_clock_jump.py::test_kept",
                            "test_clock_jump.py::test_told_to_stop"],
    "P13 two daemons": ["test_cache.py::test_two_mounts_one_cache"],
    "P14 busy": ["test_lifecycle.py::test_busy"],
    "P16 dead mount": ["test_lifecycle.py::test_dead_mount_is_replaced"],
    "P18 credential helper": ["test_auth.py::test_bad_helpers"],
}
