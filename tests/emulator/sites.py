# SPDX-License-Identifier: Apache-2.0
"""The registries that people have, each under its real names.

A site is a profile of the emulator and the table of its hosts: which of the
emulator's ports answers for "host[:port]".  world.py puts them on the net.  To
add one: a row here.
"""
from dataclasses import dataclass

from emulator.profiles import PROFILES, USERS


@dataclass(frozen=True)
class Site:
    hosts: dict                 # "host" or "host:port" -> registry, token, storage
    profile: dict
    beside: tuple = ()          # sites that it sends its clients to


def row(base, *more, **switches):
    """A row of PROFILES, and what it says more here."""
    profile = dict(PROFILES[base])
    for name in more:
        profile.update(PROFILES[name])
    return {**profile, **switches}


def google(host, **switches):
    return row("gar", "gcr-list", service=host, realm=f"https://{host}/v2/token",
               token_path="/v2/token", token_here="/v2/token", token_post=404,
               accept_text="Manifest with tag '{tag}' has media type '{kind}', but "
                           "client accepts '{accept}'.",
               denied_text="You don't have the needed permissions to perform this "
                           "operation, and you may have invalid credentials. To "
                           "authenticate your request, follow the steps in the "
                           "documentation.",
               users={"_json_key": "{\"type\": \"service_account\"}",
                      "oauth2accesstoken": "ya29.token", **USERS},
               **switches)


# Artifact Registry keeps its blobs at its own address, relative and long.
DOWNLOADS = dict(storage_here=True, storage_auth=0, storage_path=(
    "/artifacts-downloads/namespaces/p/repositories/r/downloads/" + "B-_b" * 250))


# GitLab: GROUP/PROJECT and two more levels; a token for others is good for nothing.
DEEP = "[^/]+/[^/]+(/[^/]+){0,2}"

SITES = {
    "docker.io": Site(
        {"registry-1.docker.io": "registry", "auth.docker.io": "token",
         "hub.docker.com": "token", "production.cloudflare.docker.com": "storage"},
        row("hub", "hub-list", realm="https://auth.docker.io/token",
            rate_limit=200, hides_missing=True, redirect_head=False,
            access=[{"repo": ".*", "actions": ["pull"]},
                    {"repo": "jo/.*", "user": "jo", "actions": ["push", "delete"]}],
            storage_origin="https://production.cloudflare.docker.com")),
    "gcr.io": Site(
        {"gcr.io": "registry", "us.gcr.io": "registry", "eu.gcr.io": "registry",
         "asia.gcr.io": "registry", "storage.googleapis.com": "storage"},
        google("gcr.io", name_min=2, referrers="off", oci_subject=False,
               storage_origin="https://storage.googleapis.com")),
    "europe-docker.pkg.dev": Site(
        {"europe-docker.pkg.dev": "registry"},
        google("europe-docker.pkg.dev", **DOWNLOADS)),
    "111122223333.dkr.ecr.eu-west-1.amazonaws.com": Site(
        {"111122223333.dkr.ecr.eu-west-1.amazonaws.com": "registry",
         "api.ecr.eu-west-1.amazonaws.com": "token",
         "prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com": "storage"},
        row("ecr", "ecr-list", vendor="aws", refused_text="Not Authorized\n", challenge=[
            "Basic realm=\"https://111122223333.dkr.ecr.eu-west-1.amazonaws.com/\","
            "service=\"ecr.amazonaws.com\""],
            storage_origin="https://prod-eu-west-1-starport-layer-bucket.s3."
                           "eu-west-1.amazonaws.com")),
    "public.ecr.aws": Site(
        {"public.ecr.aws": "registry", "d2glxqk2uabbnd.cloudfront.net": "storage",
         "api.ecr-public.us-east-1.amazonaws.com": "token"},
        row("ecr", "bearer", vendor="aws", aws_region="us-east-1", service="public.ecr.aws",
            anonymous_pull=True, catalog_status=404, expired_status=400,
            expired_text="Your authorization token has expired. Reauthenticate and "
                         "try again.",
            users={"AWS": "secret"}, token_fields=["token"],
            realm="https://public.ecr.aws/token/", token_here="/token/",
            storage_origin="https://d2glxqk2uabbnd.cloudfront.net")),
    "team.azurecr.io": Site(
        {"team.azurecr.io": "registry",
         "weumanaged1.blob.core.windows.net": "storage"},
        row("acr", "acr-list", service="team.azurecr.io", link_more="&orderby=",
            accept_text="OCI artifact found, but accept header does not support OCI "
                        "artifacts",
            token_fields=["access_token"], expires_in=None, token_lifetime=300,
            realm="https://team.azurecr.io/oauth2/token",
            token_here="/oauth2/.*", storage_text=(
                "Authentication information is not given in the correct format. "
                "Check the value of Authorization header."),
            storage_origin="https://weumanaged1.blob.core.windows.net")),
    "registry.gitlab.com": Site(
        {"registry.gitlab.com": "registry", "gitlab.com": "token",
         "cdn.registry.gitlab-static.net": "storage"},
        row("gitlab", "gitlab-list", realm="https://gitlab.com/jwt/auth",
            token_fields=["token"], expires_in=None, token_lifetime=900,
            denied_status=403, denied_text="access forbidden",
            access=[{"repo": DEEP, "user": "jo",
                     "actions": ["pull", "push", "delete"]},
                    {"repo": DEEP, "actions": ["pull"]}],
            storage_origin="https://cdn.registry.gitlab-static.net")),
    "ghcr.io": Site(
        {"ghcr.io": "registry", "api.github.com": "token",
         "pkg-containers.githubusercontent.com": "storage"},
        row("ghcr", "ghcr-list", realm="https://ghcr.io/token", token_here="/token",
            denied_status=403, denied_text="denied",
            storage_origin="https://pkg-containers.githubusercontent.com")),
    "quay.io": Site(
        {"quay.io": "registry", "cdn01.quay.io": "storage"},
        row("quay", "bearer", anonymous_pull=True, service="quay.io",
            link_style="absolute",
            token_fields=["token"], realm="https://quay.io/v2/auth",
            token_here="/v2/auth", storage_auth=0,      # Go sends it to sub-domains
            storage_origin="https://cdn01.quay.io")),
    "harbor.example.com": Site(
        {"harbor.example.com": "registry"},
        row("harbor", "harbor-list", realm="https://harbor.example.com/service/token",
            token_here=r"/service/token|/api/v2\.0/.*")),
    "zot.example.com": Site(
        {"zot.example.com": "registry"},
        row("zot", "basic", realm_text="Authorization Required",
            upload_header="Blob-Upload-UUID")),
    "git.example.com": Site(
        {"git.example.com": "registry"},
        row("gitea", "bearer", anonymous_pull=True, token_post=405, odd_name=400,
            token_fields=["token"], service="container_registry",
            challenge=["Bearer realm=\"https://git.example.com/v2/token\","
                       "service=\"container_registry\",scope=\"*\"", "Basic"],
            realm="https://git.example.com/v2/token", token_path="/v2/token",
            token_here="/v2/token")),
    "nexus.example.com": Site(
        {"nexus.example.com": "registry"},
        row("nexus", "basic", list_odd=True,
            challenge=["BASIC realm=\"Sonatype Nexus Repository Manager\""])),
    "acme.jfrog.io": Site(
        {"acme.jfrog.io": "registry"},
        row("artifactory", "bearer", anonymous_pull=True, service="acme.jfrog.io",
            list_odd=True,
            realm="https://acme.jfrog.io/artifactory/api/docker/docker-local/v2/token",
            token_here="/artifactory/api/docker/docker-local/v2/token")),
    "registry.example.com": Site(
        {"registry.example.com": "registry"},
        row("distribution", "basic", realm_text="Registry Realm", delete=True)),
    "registry3.example.com:5000": Site(
        {"registry3.example.com:5000": "registry", "auth.example.com": "token",
         "s3.example.com": "storage"},
        row("distribution3", "bearer", anonymous_pull=True, delete=True, redirect=307,
            service="registry3", realm="https://auth.example.com/token",
            storage_origin="https://s3.example.com")),
    "mirror.example.com": Site(
        {"mirror.example.com": "registry"},
        row("distribution", read_only=True)),
    "registry.k8s.io": Site(
        {"registry.k8s.io": "registry",
         "prod-registry-k8s-io-eu-west-1.s3.dualstack.eu-west-1.amazonaws.com":
             "storage"},
        row("distribution", read_only=True, catalog_status=404, redirect=307,
            manifests_at="https://us-west1-docker.pkg.dev/v2/k8s-artifacts-prod/images",
            storage_origin="https://prod-registry-k8s-io-eu-west-1.s3.dualstack."
                           "eu-west-1.amazonaws.com"),
        beside=("us-west1-docker.pkg.dev",)),
    "us-west1-docker.pkg.dev": Site(
        {"us-west1-docker.pkg.dev": "registry"},
        google("us-west1-docker.pkg.dev", auth="none", **DOWNLOADS)),
    "mcr.microsoft.com": Site(
        {"mcr.microsoft.com": "registry", "westeurope.data.mcr.microsoft.com":
         "storage"},
        row("distribution", read_only=True, tags_paged=True, redirect=307,
            storage_origin="https://westeurope.data.mcr.microsoft.com")),
}

PROFILES.update({name: site.profile for name, site in SITES.items()})
