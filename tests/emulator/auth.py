# SPDX-License-Identifier: Apache-2.0
"""Who may do what: Basic, and Bearer with its token server.

Tokens are opaque and remembered here, so that they can be expired at will.
"""
import base64
import binascii
import json
import re
import secrets
import threading
import time
from dataclasses import dataclass
from urllib.parse import parse_qs

from emulator.aws import Passwords
from emulator.reply import as_json, error, text


@dataclass
class Token:
    user: str
    granted: set                # (type, name, action)
    until: float


class Auth:
    def __init__(self, profile):
        self.profile = profile
        self.token_origin = ""          # set when the port is known
        self.exists = lambda repo: True     # set by whoever knows
        self.lock = threading.Lock()
        self.tokens = {}
        self.passwords = Passwords()    # Amazon's

    # -- the registry's side -------------------------------------------------
    def check(self, request, needs):
        """None if the request may do what it needs, else the refusal.
        needs: set of (type, name, action); empty for the probe."""
        if self.profile.auth == "basic":
            return self._check_basic(request, needs)
        if self.profile.auth == "bearer":
            return self._check_bearer(request, needs)
        return None

    def _check_basic(self, request, needs):
        refusal = self.profile.vendor == "aws" and \
            self.passwords.refusal(request, self.profile.users)
        if refusal:
            return refusal
        user = self.basic_user(request)
        if user is None and not (self.profile.anonymous_pull and needs
                                 and all(a == "pull" for _, _, a in needs)):
            return self._refuse(needs, self._basic_challenge())
        if any(not self.allowed(user, *need) for need in needs):
            return error(403, "DENIED", "requested access to the resource is denied")
        return None

    def _check_bearer(self, request, needs):
        scheme, _, text = (request.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer":
            return self._refuse(needs, self._bearer_challenge(request, needs))
        if text in self.profile.registry_tokens:
            user = self.profile.registry_tokens[text]
            if all(self.allowed(user, *need) for need in needs):
                return None
            return error(403, "DENIED", "denied")
        with self.lock:
            token = self.tokens.get(text)
        if token is None or token.until < time.monotonic():
            return self._refuse(
                needs, self._bearer_challenge(request, needs, "invalid_token"),
                self.profile.expired_status)
        if not needs <= token.granted:
            return self._refuse(
                needs, self._bearer_challenge(request, needs, "insufficient_scope"))
        return None

    def _refuse(self, needs, challenge, status=401):
        headers = [("WWW-Authenticate", c) for c in self._challenges(needs, challenge)]
        if status != 401:
            headers = []
        if status == 401 and self.profile.refused_text:
            return text(401, self.profile.refused_text, "text/plain; charset=utf-8",
                        headers)
        detail = [{"Type": t, "Class": "", "Name": n, "Action": a}
                  for t, n, a in sorted(needs)]
        return error(status, "UNAUTHORIZED" if status == 401 else "DENIED",
                     self.profile.expired_text if status != 401 else
                     "authentication required", detail or None, headers)

    def _challenges(self, needs, own):
        if needs and not self.profile.challenge_resources:
            return []
        if self.profile.challenge is not None:
            return self.profile.challenge
        return [own]

    def _basic_challenge(self):
        return f'Basic realm="{self.profile.realm_text}"'

    def _bearer_challenge(self, request, needs, problem=None):
        origin = request.near(self.token_origin) if self.profile.near \
            else self.token_origin
        realm = self.profile.realm or origin + self.profile.token_path
        text = f'Bearer realm="{realm}",service="{self.profile.service}"'
        if needs and self.profile.challenge_scope:
            text += f',scope="{" ".join(format_scopes(needs))}"'
        if problem:
            text += f',error="{problem}"'
        return text

    # -- the token server's side ---------------------------------------------
    def answer(self, request):
        """GET or POST of the token end point."""
        if request.method == "POST":
            form = parse_qs(request.body_bytes(1 << 20).decode("ascii", "replace"))
            return self.answer_form({k: v[0] for k, v in form.items()})
        if request.method != "GET" or self.profile.token_get != 200:
            return error(max(self.profile.token_get, 400), "UNSUPPORTED", "no GET here")
        user = self.basic_user(request)
        if user is None and "Authorization" in request.headers:
            return self._denied()
        return self._issue(user, request.query.get("scope", []),
                           request.arg("offline_token") == "true")

    def answer_form(self, one):
        if self.profile.token_post != 200:
            return error(self.profile.token_post, "UNSUPPORTED", "no POST here")
        if one.get("grant_type") == "refresh_token":
            user = self.profile.identity_tokens.get(one.get("refresh_token", ""))
        elif self.profile.users.get(one.get("username")) == one.get("password", ""):
            user = one.get("username")
        else:
            user = None
        if user is None or not one.get("service") or not one.get("client_id"):
            return self._denied()
        return self._issue(user, one.get("scope", "").split(),
                           one.get("access_type") == "offline")

    def _denied(self):
        code = "DENIED" if self.profile.denied_status == 403 else "UNAUTHORIZED"
        return error(self.profile.denied_status, code, self.profile.denied_text)

    def _issue(self, user, scopes, offline):
        if user is None and not (self.profile.anonymous_pull or not self.profile.users):
            return self._denied()
        granted = {g for g in parse_scopes(self._seen(scopes))
                   if self.allowed(user, *g)}
        text = secrets.token_urlsafe(24) + "x" * self.profile.token_padding
        if self.profile.token_jwt:
            text = jwt(self.profile.token_jwt)
        advertised = self.profile.expires_in
        life = self.profile.token_lifetime
        if life is None:
            life = 60 if advertised is None else advertised
        with self.lock:
            self.tokens[text] = Token(user, granted, time.monotonic() + life)
        body = {name: text for name in self.profile.token_fields}
        if advertised is not None:
            body["expires_in"] = advertised
        body["issued_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if offline and user is not None:
            body["refresh_token"] = secrets.token_urlsafe(24)
            self.profile.identity_tokens[body["refresh_token"]] = user
        return as_json(200, body)

    def _seen(self, scopes):
        scopes = [s for item in scopes for s in item.split()]
        keep = {"all": scopes, "first": scopes[:1], "last": scopes[-1:], "none": []}
        return keep[self.profile.token_scopes]

    # -- shared ----------------------------------------------------------------
    def expire_tokens(self):
        with self.lock:
            self.tokens.clear()
        self.passwords.expire()

    def revoke(self, token):
        with self.lock:
            self.tokens.pop(token, None)

    def basic_user(self, request):
        scheme, _, text = (request.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, _, word = base64.b64decode(text).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        known = self.profile.users.get(name)
        good = self.passwords.is_good(name, word)
        return name if good or (known is not None and known == word) else None

    def allowed(self, user, kind, name, action):
        """The access list decides; without one, users may do all."""
        if kind == "registry" and self.profile.catalog_status == 401:
            return False
        if kind == "repository" and action == "pull" and \
                self.profile.hides_missing and not self.exists(name) and \
                name.partition("/")[0] != user:
            return False
        if kind == "repository" and self.profile.access:
            return any(re.fullmatch(rule["repo"], name)
                       and rule.get("user", "*") in ("*", user)
                       and action in rule["actions"]
                       for rule in self.profile.access)
        if user is None and self.profile.users:
            return self.profile.anonymous_pull and action == "pull"
        return True


def jwt(life):
    """A token of which only the claims mean anything, by a clock that is wrong."""
    now = int(time.time()) - 86400
    parts = ({"alg": "none"}, {"iat": now, "exp": now + int(life)},
             {"signature": secrets.token_urlsafe(12)})
    return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode()
                    .rstrip("=") for p in parts)


def format_scopes(needs):
    """{("repository","a","pull"), …} -> ["repository:a:pull,push"]"""
    by_name = {}
    for kind, name, action in needs:
        by_name.setdefault((kind, name), []).append(action)
    return [f"{kind}:{name}:{','.join(sorted(actions))}"
            for (kind, name), actions in sorted(by_name.items())]


def parse_scopes(scopes):
    """Splits at the first and the last colon, as names may hold some."""
    for scope in scopes:
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        for action in actions.split(","):
            yield (kind, name, action)
