# SPDX-License-Identifier: Apache-2.0
"""The vendors' own APIs that list repositories, beside the registry.

They are on the token server's port, as the real ones are where users log in
(hub.docker.com, gitlab.com, api.github.com).  A repository whose name matches
`api_private` is shown only to who is logged in.
"""
import json
import re
import secrets
from urllib.parse import parse_qs, unquote, urlencode

from emulator.auth import jwt
from emulator.aws import Aws
from emulator.reply import as_json, text

HUB_DENIED = {"detail": "Incorrect authentication credentials"}
MFA = {"detail": "Require secondary authentication on MFA enabled account",
       "login_2fa_token": "x"}
GITLAB_MISSING = {"message": "404 Not Found"}
GITHUB_MISSING = {"message": "Not Found", "status": "404"}
GITHUB_DENIED = {"message": "Requires authentication", "status": "401"}


class Vendors:
    """Answers what is the API's, and leaves the rest to the token server."""

    def __init__(self, store, auth, profile):
        self.store = store
        self.auth = auth
        self.profile = profile
        self.logins = {}                # token -> user
        self.aws = Aws(store, auth.passwords, profile)

    def answer(self, request):
        vendor = getattr(self, "_" + self.profile.vendor, None)
        reply = None
        if vendor and self.profile.api_status != 200:
            if not request.path.endswith(("/token", "/jwt/auth")):
                return text(self.profile.api_status, "Too Many Requests",
                            "text/plain")
        if vendor:
            reply = vendor(request)
        return reply if reply is not None else self.auth.answer(request)

    # -- shared ----------------------------------------------------------------
    def _names(self, user, under=""):
        """Visible names, sorted: all, or those at or beneath a path."""
        hidden = self.profile.api_private
        return [n for n in sorted(self.store.repos)
                if (not under or n == under or n.startswith(under + "/"))
                and (user or not hidden or not re.fullmatch(hidden, n))]

    def _page(self, request, items, per_page="per_page"):
        """(items of this page, URL of the next or None)"""
        size = min(int(request.arg(per_page, 20)), self.profile.api_page)
        number = int(request.arg("page", 1))
        query = {k: v[0] for k, v in request.query.items()}
        query["page"] = str(number + 1)
        some = items[(number - 1) * size:number * size]
        raw = request.target.partition("?")[0]
        origin = self.profile.api_next or request.origin
        more = number * size < len(items) or self.profile.api_ring
        if self.profile.api_ring:
            query["page"] = "1"
        return some, f"{origin}{raw}?{urlencode(query)}" if more else None

    def _linked(self, request, items):
        some, more = self._page(request, items)
        if self.profile.api_odd:
            some = [None, {"path": None, "name": 7}, "x", *some]
        link = [("Link", f'<{more}>; rel="next", <{request.origin}/>; rel="first"')]
        return as_json(200, some, link if more else [])

    # -- Azure: the log-in of all, and the registry's end point that takes it -----
    def _entra(self, request):
        if request.method != "POST":
            return None
        form = {k: v[0] for k, v in parse_qs(
            request.body_bytes(1 << 20).decode("ascii", "replace")).items()}
        m = re.fullmatch(r"/([^/]+)/oauth2/v2.0/token", request.path)
        if m:
            return self._entra_login(m[1], form)
        if request.path != "/oauth2/exchange":
            return self.auth.answer_form(form)
        user = self.logins.get(form.get("access_token"))
        if (form.get("grant_type"), form.get("service")) != \
                ("access_token", self.profile.service) or user is None:
            return as_json(401, {"errors": [{"code": "UNAUTHORIZED",
                                             "message": "authentication required"}]})
        token = jwt(self.profile.token_jwt or 10800)
        self.profile.identity_tokens[token] = user
        return as_json(200, {"refresh_token": token})

    def _entra_login(self, tenant, form):
        wanted = {"grant_type": "client_credentials",
                  "scope": "https://containerregistry.azure.net/.default",
                  "client_assertion_type":
                      "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}
        user = self.profile.entra.get(" ".join((tenant, form.get("client_id", ""),
                                                form.get("client_assertion", ""))))
        if user is None or any(form.get(k) != v for k, v in wanted.items()):
            return as_json(401, {"error": "invalid_client", "error_description":
                                 "AADSTS700213: No matching federated identity "
                                 "record found."})
        token = secrets.token_urlsafe(24)
        self.logins[token] = user
        return as_json(200, {"token_type": "Bearer", "expires_in": 3599,
                             "access_token": token})

    # -- Docker Hub --------------------------------------------------------------
    def _hub(self, request):
        if request.path in ("/v2/auth/token", "/v2/users/login"):
            return self._hub_login(request)
        m = re.fullmatch(r"/v2/namespaces/([^/]+)/repositories", request.path)
        if not m:
            return None
        user = None
        if "Authorization" in request.headers:
            user = self.logins.get(request.headers["Authorization"].partition(" ")[2])
            if user is None:
                return as_json(401, HUB_DENIED)
        names = self._names(user, m[1])
        if not names:
            return as_json(404, {"message": "object not found"})
        some, more = self._page(request, names, "page_size")
        results = [{"name": n.partition("/")[2], "namespace": m[1],
                    "repository_type": "image", "status": 1} for n in some]
        if self.profile.api_odd:
            results = [None, {"name": None}, {"name": 7}, {"name": "../etc"},
                       {"name": "Big"}, *results]
        return as_json(200, {"count": len(names), "next": more, "previous": None,
                             "results": results})

    def _hub_login(self, request):
        form = json.loads(request.body_bytes(1 << 16))
        old = request.path == "/v2/users/login"
        if old != self.profile.api_old:
            return as_json(404, {"message": "not found"})
        user = form.get("username" if old else "identifier")
        word = form.get("password" if old else "secret")
        if self.profile.users.get(user) != word:
            return as_json(401, HUB_DENIED)
        if self.profile.api_mfa:
            return as_json(401, MFA)
        token = secrets.token_urlsafe(24)
        self.logins[token] = user
        return as_json(200, {"token" if old else "access_token": token})

    # -- Amazon --------------------------------------------------------------------
    def _aws(self, request):
        return self.aws.answer(request) if "X-Amz-Target" in request.headers else None

    # -- GitLab --------------------------------------------------------------------
    def _gitlab_user(self, request):
        """(user, refusal)"""
        for header in ("PRIVATE-TOKEN", "JOB-TOKEN"):
            word = request.headers.get(header)
            if word:
                if word in self.profile.api_tokens:
                    return self.profile.api_tokens[word], None
                return None, as_json(403, {"error": "insufficient_scope"})
        return None, None

    def _gitlab(self, request):
        raw = request.target.partition("?")[0]
        if not raw.startswith("/api/v4/"):
            return None
        user, refusal = self._gitlab_user(request)
        if refusal:
            return refusal
        m = re.fullmatch(r"/api/v4/(groups|projects)/([^/]+)/registry/repositories",
                         raw)
        if m:
            return self._gitlab_list(request, m[1], unquote(m[2]), user)
        m = re.fullmatch(r"/api/v4/users/([^/]+)/projects", raw)
        if m and m[1] in self.profile.users:
            return self._linked(request, self._gitlab_projects(user, m[1]))
        if raw == "/api/v4/projects":
            return self._linked(request, self._gitlab_projects(user, ""))
        return as_json(404, GITLAB_MISSING)

    def _gitlab_projects(self, user, under):
        paths = {"/".join(n.split("/")[:2]) for n in self._names(user, under)}
        return [{"id": i, "path_with_namespace": p.capitalize()}
                for i, p in enumerate(sorted(paths))]

    def _gitlab_list(self, request, kind, path, user):
        """Projects have two components here, groups and users one."""
        names = self._names(user, path)
        if not names or ("/" in path) != (kind == "projects") or \
                path.count("/") > 1 or path in self.profile.users:
            return as_json(404, GITLAB_MISSING)
        return self._linked(request, [{"id": i, "name": "", "path": n}
                                      for i, n in enumerate(names)])

    # -- GitHub --------------------------------------------------------------------
    def _ghcr(self, request):
        m = re.fullmatch(r"/(orgs|users)/([^/]+)/packages", request.path)
        if not m:
            return None
        scheme, _, word = request.headers.get("Authorization", "").partition(" ")
        user = self.profile.api_tokens.get(word) if scheme == "Bearer" else None
        if user is None:
            return as_json(401, GITHUB_DENIED)
        names = self._names(user, m[2])
        if not names or (m[2] in self.profile.users) != (m[1] == "users") or \
                request.arg("package_type") != "container":
            return as_json(404, GITHUB_MISSING)
        return self._linked(request, [{"id": i, "name": n.partition("/")[2],
                                       "package_type": "container"}
                                      for i, n in enumerate(names)])

    # -- Harbor --------------------------------------------------------------------
    def _harbor(self, request):
        m = re.fullmatch(r"/api/v2\.0/projects(?:/([^/]+)/repositories)?",
                         request.path)
        if not m:
            return None
        user = self.auth.basic_user(request)
        if user is None and "Authorization" in request.headers:
            return as_json(401, {"errors": [{"code": "UNAUTHORIZED"}]})
        names = self._names(user, m[1] or "")
        if m[1] and not names:
            return as_json(404, {"errors": [{"code": "NOT_FOUND"}]})
        if not m[1]:
            names = sorted({n.partition("/")[0] for n in names})
        some, more = self._page(request, names, "page_size")
        link = [("Link", f'<{more}>; rel="next"')] if more else []
        return as_json(200, [{"name": n} for n in some], link)

    # -- Quay ----------------------------------------------------------------------
    def _quay(self, request):
        if request.path != "/api/v1/repository":
            return None
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        user = self.profile.api_tokens.get(token)
        if token and user is None:
            return as_json(401, {"error_type": "invalid_token", "status": 401,
                                 "detail": "Invalid bearer token format"})
        area = request.arg("namespace", "")
        if not area or request.arg("public", "") != "true":
            return as_json(400, {"detail": "Must specify namespace and public"})
        names = [n for n in self._names(user, area) if n != area]
        start = int(request.arg("next_page", "gAAAA0").removeprefix("gAAAA"))
        end = start + self.profile.api_page
        answer = {"repositories": [
            {"namespace": area, "name": n[len(area) + 1:], "description": None,
             "is_public": True, "kind": "image", "state": "NORMAL",
             "is_starred": None} for n in names[start:end]]}
        if self.profile.api_ring:
            answer["next_page"] = "gAAAA0"
        elif end < len(names):
            answer["next_page"] = f"gAAAA{end}"
        return as_json(200, answer)


def children(names, folder):
    """Google: the next components of what lies beneath a folder."""
    found = {n[len(folder) + 1:].partition("/")[0] for n in list(names)
             if n.startswith(folder + "/")}
    return sorted(found)
