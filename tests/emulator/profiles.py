# SPDX-License-Identifier: Apache-2.0
"""How each kind of registry behaves: a row of switches per profile.

To add a registry: one row in PROFILES, and a new switch in Profile where it
does something no other does.  Every switch can be changed while running.
"""
import dataclasses
import json
from dataclasses import dataclass, field


@dataclass
class Profile:
    # Access (auth.py)
    auth: str = "none"                  # none, basic, bearer
    realm_text: str = "Registry Realm"
    service: str = "emulator"
    users: dict = field(default_factory=dict)            # name -> password
    identity_tokens: dict = field(default_factory=dict)  # refresh token -> user
    registry_tokens: dict = field(default_factory=dict)  # bearer token -> user
    access: list = field(default_factory=list)   # {"repo": regex, "user", "actions"}
    anonymous_pull: bool = False
    realm: str = ""                     # "" = this token server; may be relative
    challenge: list = None              # WWW-Authenticate values, as they are
    challenge_scope: bool = True        # name the missing scope
    challenge_resources: bool = True    # False: only /v2/ carries a challenge
    token_fields: list = field(default_factory=lambda: ["token", "access_token"])
    expires_in: int = 300               # None: the field is left out
    token_lifetime: float = None        # seconds; None: as expires_in says
    token_post: int = 200               # status that refuses the POST form
    token_get: int = 200
    token_scopes: str = "all"           # all, first, last, none
    denied_status: int = 401            # of the token server: 401, 403, 404
    expired_status: int = 401           # of the registry, for an expired token
    token_padding: int = 0              # bytes that make tokens long

    # Manifests (engine.py)
    check_accept: bool = True
    digest_header: bool = True
    head_manifest: int = 200            # e.g. 405
    list_child: bool = True             # list not accepted: its amd64 child
    manifest_type: str = ""             # Content-Type of all manifests instead

    # Lists
    tags_paged: bool = False
    tags_max: int = 1000
    catalog_status: int = 200
    catalog_default: int = 100
    catalog_max: int = 1000
    link_style: str = "relative"        # relative, absolute, unquoted, extra, http
    referrers: str = "off"              # off, on, unfiltered

    # Blobs
    redirect: int = 0                   # 0, 302, 303, 307, 308
    redirect_head: bool = True
    redirect_host: str = "localhost"    # the registry is 127.0.0.1
    url_ttl: float = 1200.0
    ranges: bool = True
    lying_416: bool = True              # 416 with the blob's Content-Length
    storage_auth: int = 400             # status for a forwarded Authorization

    # Uploads
    location: str = "absolute"          # absolute, relative
    single_post: bool = False
    check_chunk: bool = False           # Content-Range of a PATCH is checked
    stale_state: int = 404              # 404 drops the session, 416 keeps it
    delete: bool = False
    delete_tag: int = 400               # 400 DIGEST_INVALID, 202, 405
    read_only: bool = False
    check_blobs: bool = True
    oci_subject: bool = False
    api_version: bool = True            # Docker-Distribution-Api-Version

    def update(self, values):
        """Sets switches by name; an unknown name is an error."""
        names = {f.name for f in dataclasses.fields(self)}
        for name, value in values.items():
            if name not in names:
                raise KeyError(f"no such switch: {name}")
            setattr(self, name, value)


USERS = {"jo": "secret"}

PROFILES = {
    "distribution": {},
    "distribution3": dict(tags_paged=True, check_chunk=True, stale_state=416,
                          delete_tag=202, list_child=False, lying_416=False),
    "bearer": dict(auth="bearer", users=USERS),
    "basic": dict(auth="basic", users=USERS),
    "redirect": dict(redirect=307),
    "referrers": dict(referrers="on", oci_subject=True, tags_paged=True),
}


def make_profile(name, settings=()):
    """A profile by name, with NAME=JSON settings (or NAME=text) on top."""
    profile = Profile()
    profile.update({k: _copy(v) for k, v in PROFILES[name].items()})
    for item in settings:
        key, _, text = item.partition("=")
        try:
            profile.update({key: json.loads(text)})
        except json.JSONDecodeError:
            profile.update({key: text})
    return profile


def _copy(value):
    return dict(value) if isinstance(value, dict) else value
