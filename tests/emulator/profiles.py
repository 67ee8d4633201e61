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
    token_path: str = "/token"          # of this token server
    token_here: str = ""                # regex: paths of it, and of the vendor's
                                        # API, that the registry's port has, too
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
    denied_text: str = "incorrect username or password"
    expired_status: int = 401           # of the registry, for an expired token
    expired_text: str = "authentication required"
    refused_text: str = ""              # a 401's whole body: plain text
    hides_missing: bool = False         # no pull of what is not there: 401, not 404
    token_padding: int = 0              # bytes that make tokens long
    token_jwt: float = 0                # seconds that only the token itself tells
    entra: dict = field(default_factory=dict)    # {"TENANT CLIENT ASSERTION": user}

    # Manifests (engine.py)
    check_accept: bool = True
    accept_text: str = ""               # what else than distribution's is said
    digest_header: bool = True
    head_manifest: int = 200            # e.g. 405
    manifests_at: str = ""              # URL to which manifests and tags redirect
    list_child: bool = True             # list not accepted: its amd64 child
    manifest_type: str = ""             # Content-Type of all manifests instead
    rate_limit: int = 0                 # GETs of manifests in six hours (Hub)

    # Lists
    tags_paged: bool = False
    tags_max: int = 1000
    catalog_status: int = 200
    catalog_default: int = 100
    catalog_max: int = 1000
    catalog_over: int = 0               # status for an n over catalog_max (ECR)
    catalog_none: bool = False          # 200, and never a name (Google)
    catalog_acr: bool = False           # /acr/v1/
    acr_locked: bool = False            # its tags are not to be deleted
    child_lists: bool = False           # tags/list tells of children (Google)
    last_opaque: bool = False           # last= of a link is no name
    list_type: str = ""                 # Content-Type of tag lists instead
    list_odd: bool = False              # null and digests among tags
    link_style: str = "relative"        # relative, absolute, unquoted, extra, http
    link_more: str = ""                 # at the end of its query
    referrers: str = "off"              # off, on, unfiltered, 303

    # A vendor's own API that lists (vendors.py)
    vendor: str = ""                    # hub, gitlab, ghcr, harbor, quay
    api_status: int = 200               # of every answer
    api_page: int = 100                 # most names per page
    api_private: str = ""               # regex of names that only users see
    api_tokens: dict = field(default_factory=dict)   # token -> user
    api_old: bool = False               # only the login of old
    api_mfa: bool = False               # passwords are not enough
    api_next: str = ""                  # origin of links instead of its own
    api_ring: bool = False              # the last page leads to the first
    api_odd: bool = False               # nulls and names that are none

    # Amazon's API (aws.py)
    aws_keys: dict = field(default_factory=dict)     # id -> [secret, session or ""]
    aws_account: str = "111122223333"   # whose they are
    aws_region: str = "eu-west-1"
    aws_life: float = 43200             # of a password
    aws_clock: float = 0                # how much theirs is ahead of ours
    aws_errors: dict = field(default_factory=dict)   # action -> [type, message, times]
    aws_kept: str = ""                  # regex of what BatchDeleteImage refuses

    # Blobs
    redirect: int = 0                   # 0, 302, 303, 307, 308
    redirect_head: bool = True
    redirect_host: str = "localhost"    # the registry is 127.0.0.1
    near: bool = False                  # storage and tokens at the request's address
    storage_origin: str = ""            # instead: "https://storage.example.com"
    storage_path: str = "/store/"
    storage_here: bool = False          # at the registry's own address; relative
    url_ttl: float = 1200.0
    ranges: bool = True
    lying_416: bool = True              # 416 with the blob's Content-Length
    storage_auth: int = 400             # status for a forwarded Authorization
    storage_text: str = "Only one auth mechanism allowed"    # and what it says

    # Upload sessions (uploads.py)
    location: str = "absolute"          # absolute, relative, http, elsewhere
    upload_path: str = "uploads"        # uploads, upload (ghcr), outside (/v2/)
    location_query: str = "state"       # state (changes each time), none, empty
    range_style: str = "plain"          # plain 0-N, bytes, quay, none
    upload_header: str = "Docker-Upload-Uuid"
    stale_state: int = 404              # 404 drops the session, 416 keeps it
    single_post: bool = False
    check_chunk: bool = False           # Content-Range of a PATCH is checked
    wrong_chunk: int = 416              # its status then: 416, 404
    told_416: bool = False              # 416 carries Location and Range
    chunk_min: int = 0                  # all chunks but the last
    chunk_min_told: bool = True         # OCI-Chunk-Min-Length
    chunk_max: int = 0                  # of a PATCH with Content-Range
    chunks: bool = True                 # False: no PATCH with Content-Range
    second_stream: bool = True          # False: a later PATCH needs a range
    partial_patch: str = "kept"         # what came before a cut: kept, lost
    empty_put: int = 201                # e.g. 500: the last bytes must be in it
    put_body: int = 201                 # e.g. 400: they must not
    mount: int = 201                    # 201, 202, 401, 404, 500, …
    mount_any: bool = False             # without `from` all are searched
    sha512: bool = True
    keep_bytes: bool = True             # False: uploads are hashed and forgotten

    # Push policy
    must_exist: str = ""                # repository, project: else 404
    missing_repo: int = 404             # or 401, 403
    name_min: int = 1                   # components of a repository's name
    name_max: int = 99
    odd_name: int = 404                 # reading others than these: 404, 400
    immutable: int = 0                  # 400, 403, 409, 412: of a tag's change
    immutable_tags: str = ".*"
    quota: int = -1                     # bytes of all blobs
    quota_text: str = ("adding {size} B of storage resource, which when updated "
                       "to current usage of {used} B will exceed the configured "
                       "upper limit of {quota} B.")
    body_limit: int = 0                 # of a web server in front: 413, HTML
    read_only: bool = False
    manifest_limit: int = 4 << 20
    manifest_too_large: int = 400       # or 413
    docker_types: bool = True           # False: OCI manifests only
    check_blobs: bool = True
    check_children: bool = True
    missing_blob: int = 400             # or 404
    missing_blob_code: str = "MANIFEST_BLOB_UNKNOWN"
    if_match: bool = False              # If-Match, If-None-Match of a manifest PUT
    oci_subject: bool = False
    delete: bool = False
    delete_tag: int = 400               # 400 DIGEST_INVALID, 202, 405
    delete_blob: int = 202
    delete_tagged: int = 202            # by digest, while tags point at it
    api_version: bool = True            # Docker-Distribution-Api-Version
    error_style: str = "oci"            # oci, artifactory (no codes)

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

    # As the vendors take a push, but without their authentication.
    "hub": dict(catalog_status=401, redirect=307, tags_paged=True),
    "gar": dict(location="relative", upload_path="outside", location_query="none",
                range_style="none", chunks=False, redirect=302, name_min=3,
                referrers="on", oci_subject=True, delete=True, delete_tag=202,
                delete_tagged=400),
    "gcr": dict(location="relative", upload_path="outside", location_query="none",
                range_style="none", chunks=False, redirect=302, name_min=2,
                delete=True, delete_tag=202, delete_tagged=400),
    "ecr": dict(location_query="none", must_exist="repository", mount=202,
                chunk_min=5 << 20, chunk_min_told=False, chunk_max=20 << 20,
                redirect=307, redirect_head=False, tags_paged=True, tags_max=1000,
                referrers="on", oci_subject=True),
    "acr": dict(location="relative", redirect=307, tags_paged=True, mount_any=True,
                check_chunk=True, stale_state=416, referrers="on",
                oci_subject=True, delete=True, delete_tag=405),
    "gitlab": dict(redirect=307, catalog_status=401, tags_paged=True, name_min=2,
                   stale_state=416, check_chunk=True, delete=True, delete_tag=202),
    "ghcr": dict(location="relative", upload_path="upload", location_query="none",
                 chunk_max=4 << 20, check_chunk=True, wrong_chunk=404,
                 redirect=307, redirect_head=False, catalog_status=404,
                 referrers="303", tags_paged=True, name_min=2),
    "quay": dict(location_query="none", range_style="quay", check_chunk=True,
                 told_416=True, redirect=302, tags_paged=True, tags_max=100,
                 referrers="on", oci_subject=True, delete=True, delete_tag=202,
                 delete_blob=405),
    "harbor": dict(must_exist="project", catalog_status=401, tags_paged=True,
                   check_chunk=True, stale_state=416, referrers="on",
                   oci_subject=True, name_min=2, delete=True, delete_tag=202),
    "zot": dict(location="relative", location_query="none", check_chunk=True,
                mount_any=True, referrers="on", oci_subject=True, single_post=True,
                tags_paged=True, delete=True, delete_tag=202, docker_types=False),
    "gitea": dict(location="relative", location_query="none", check_chunk=True,
                  second_stream=False, single_post=True, mount_any=True,
                  missing_blob=404, missing_blob_code="BLOB_UNKNOWN", name_min=2,
                  manifest_limit=10 << 20, manifest_too_large=413,
                  tags_paged=True, delete=True, delete_tag=202),
    "nexus": dict(location="http", location_query="none", mount_any=True,
                  missing_blob_code="BLOB_UNKNOWN", missing_blob=404,
                  delete=True, delete_tag=202),
    "artifactory": dict(error_style="artifactory", location_query="none",
                        must_exist="project", name_min=2, missing_blob=404,
                        token_post=401, delete=True, delete_tag=202),
}

# As the vendors list, with their authentication.
BEARER = dict(auth="bearer", users=USERS, anonymous_pull=True)
PROFILES.update({
    "hub-list": dict(BEARER, service="registry.docker.io", vendor="hub",
                     catalog_status=401, tags_paged=True),
    "gitlab-list": dict(BEARER, service="container_registry", vendor="gitlab",
                        token_path="/jwt/auth", api_tokens={"secret": "jo"},
                        catalog_status=401, tags_paged=True),
    "ghcr-list": dict(BEARER, service="ghcr.io", vendor="ghcr", catalog_status=404,
                      api_tokens={"secret": "jo"}, tags_paged=True),
    "harbor-list": dict(BEARER, service="harbor-registry", vendor="harbor",
                        token_path="/service/token", catalog_status=401,
                        tags_paged=True),
    "quay-list": dict(BEARER, service="quay.test", vendor="quay",
                      token_path="/v2/auth", api_tokens={"secret": "jo"},
                      tags_paged=True),
    "gcr-list": dict(BEARER, service="gcr.io", catalog_none=True, child_lists=True),
    "acr-list": dict(BEARER, service="emu.azurecr.io", token_path="/oauth2/token",
                     catalog_acr=True, tags_paged=True),
    "ecr-list": dict(auth="basic", users={"AWS": "secret"}, tags_paged=True,
                     catalog_over=405, last_opaque=True, link_style="absolute",
                     list_type="text/plain; charset=utf-8"),
})


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
