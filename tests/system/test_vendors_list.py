# SPDX-License-Identifier: Apache-2.0
"""Listing by vendor: who is asked, as whom, for how much, and what is shown
where nobody tells."""
import os

import pytest

from mounting import program
from test_auth import auth_file
from tools import errno_of, run


def names(path):
    """What a directory (or a mount) lists, but for what every one has."""
    path = getattr(path, "point", path)
    return sorted(n for n in os.listdir(path) if n[0] not in "._")


def asked(emu, part, where="token"):
    return emu.log(where=where, path=part)


@pytest.fixture
def login(mount, tmp_path):
    """login(emu) -> a mount with jo's credential at hand"""
    def go(emu, user="jo", word="secret", **options):
        path = auth_file(tmp_path / "auth.json", emu.address, user, word)
        return mount(emu, authfile=path, **options)
    return go


def fill(emu, *repos):
    for repo in repos:
        emu.add_blob(repo, b"x")


def errors(m):
    return (m / ".registryfs/errors").read_text()


# -- Docker Hub ------------------------------------------------------------------

@pytest.fixture
def hub(emulator):
    def go(*args):
        emu = emulator("hub-list", *args)
        fill(emu, "library/alpine", "library/busybox", "team/app", "team/hidden",
             "jo/mine")
        return emu
    return go


def test_hub_top(mount, login, hub):
    """Nobody lists namespaces: the official one, one's own, and those seen."""
    emu = hub()
    m = mount(emu)
    assert names(m) == ["library"]
    assert not asked(emu, "/v2/namespaces")
    assert names(m / "team/app") == []
    assert names(m / "team") == ["app", "hidden"]
    assert names(login(emu)) == ["jo", "library"]


def test_hub_namespace(mount, hub):
    emu = hub("api_page=1")
    m = mount(emu)
    assert names(m / "library") == ["alpine", "busybox"]
    pages = asked(emu, "/v2/namespaces/library/repositories")
    assert len(pages) == 2 and all("page_size=100" in e["target"] for e in pages)
    assert all("authorization" not in e["headers"] for e in pages)
    assert not asked(emu, "/v2/namespaces/team")
    mark = emu.mark()
    assert names(m / "library") == ["alpine", "busybox"]
    assert not emu.log(path="/v2/namespaces", since=mark)      # within tag_ttl


def test_hub_lookup_never_lists(mount, hub, images):
    emu = hub()
    images.single.fill(emu, "team/app")
    m = mount(emu)
    assert os.stat(m / "team/app/_tags/1.4")
    assert "_tags" in os.listdir(m / "team/app")
    assert not asked(emu, "/v2/namespaces")


def test_hub_namespace_is_no_repository(mount, hub):
    """Once it is known to be the Hub: tags of a namespace are not asked for."""
    emu = hub()
    m = mount(emu)
    assert names(m / "library/alpine") == []
    assert names(m / "team") == ["app", "hidden"]
    assert not emu.log(path="/v2/team/tags")


def test_hub_login(login, hub):
    """What is private is listed by a token that the password bought, once."""
    emu = hub("api_private=team/hidden")
    m = login(emu)
    assert names(m / "team") == ["app", "hidden"]
    assert names(m / "jo") == ["mine"]
    bought = [e for e in asked(emu, "/v2/auth/token") if e["method"] == "POST"]
    assert len(bought) == 1
    assert all(e["headers"]["authorization"].startswith("Bearer ")
               for e in asked(emu, "/v2/namespaces"))
    assert not emu.log(where="registry", path="/v2/auth/token")


@pytest.mark.parametrize("switch", ["api_mfa=true", "users={\"jo\":\"other\"}"])
def test_hub_login_refused(login, hub, switch):
    """As nobody then, and the password is not sent at each step."""
    emu = hub("api_private=team/hidden", switch)
    m = login(emu)
    assert names(m / "library") == ["alpine", "busybox"]
    assert names(m / "team") == ["app"]
    assert len(asked(emu, "/v2/auth/token")) == 1


def test_hub_old_login(login, hub):
    emu = hub("api_private=team/hidden", "api_old=true")
    assert names(login(emu) / "team") == ["app", "hidden"]


def test_hub_login_has_ended(login, hub):
    emu = hub("api_private=team/hidden")
    m = login(emu, tag_ttl=0)
    assert names(m / "team") == ["app", "hidden"]
    emu.fault(where="token", path="/v2/namespaces", status=401, times=1)
    assert names(m / "team") in (["app"], ["app", "hidden"])
    assert names(m / "team") == ["app", "hidden"]


def test_hub_unknown_namespace(mount, hub):
    """The API says 404 of what is private, too; the registry has the word."""
    emu = hub()
    m = mount(emu)
    assert errno_of(os.listdir, m / "nobody") == "ENOENT"


def test_hub_api_is_throttled(mount, hub, images):
    """Could not ask is no empty directory, and spoils no look-up."""
    emu = hub("api_status=429")
    images.single.fill(emu, "team/app")
    m = mount(emu, timeout=2)
    assert errno_of(os.listdir, m / "team") != "ENOENT"
    assert "its API" in errors(m)
    assert os.stat(m / "team/app/_tags/1.4")
    assert "_tags" in os.listdir(m / "team/app")


def test_hub_odd_answers(mount, hub):
    """Nulls, wrong types, paths, capitals: left out."""
    emu = hub("api_odd=true")
    assert names(mount(emu) / "team") == ["app", "hidden"]


def test_hub_ring(mount, hub):
    emu = hub("api_ring=true")
    assert names(mount(emu) / "team") == ["app", "hidden"]
    assert len(asked(emu, "/v2/namespaces")) <= 3


def test_hub_next_page_elsewhere(mount, hub, emulator):
    other = emulator()
    emu = hub("api_page=1", f"api_next=http://localhost:{other.ports['registry']}/x")
    m = mount(emu, timeout=2)
    assert errno_of(os.listdir, m / "team") == "EIO"
    assert other.log() == []
    assert "elsewhere" in errors(m)


def test_no_secret_anywhere(login, hub):
    emu = hub("api_mfa=true")
    m = login(emu)
    names(m / "team")
    assert "secret" not in m.log() and "secret" not in errors(m)
    assert not [e for e in emu.log() if "secret" in e["target"]]


# -- Google ----------------------------------------------------------------------

def test_gcr_children(mount, emulator, images):
    """One level at a time; a folder is no repository."""
    emu = emulator("gcr-list")
    images.single.fill(emu, "proj/app")
    images.single.fill(emu, "proj/tools/lint")
    images.single.fill(emu, "example.com/proj/x")
    m = mount(emu)
    assert names(m / "proj") == ["app", "tools"]
    assert "_tags" not in os.listdir(m / "proj")
    assert not emu.log(path="/v2/proj/app/") and not emu.log(path="/v2/proj/tools")
    assert names(m / "proj/tools") == ["lint"]
    assert os.listdir(m / "proj/app/_tags") == ["1.4"]
    assert "_tags" in os.listdir(m / "proj/app")
    assert names(m / "example.com") == ["proj"]
    assert errno_of(os.listdir, m / "absent") == "ENOENT"
    assert "proj" in names(m)           # seen by now


# -- GitLab ----------------------------------------------------------------------

@pytest.fixture
def gitlab(emulator):
    def go(*args):
        emu = emulator("gitlab-list", *args)
        fill(emu, "grp/proj", "grp/proj/web", "grp/other/deep/er", "grp/hidden/x",
             "jo/own/img")
        return emu
    return go


def test_gitlab_group(mount, gitlab):
    emu = gitlab("api_page=1")
    m = mount(emu)
    assert names(m / "grp") == ["hidden", "other", "proj"]
    assert names(m / "grp/proj") == ["web"]
    assert names(m / "grp/other") == ["deep"]
    assert names(m / "grp/other/deep") == ["er"]
    lists = asked(emu, "/registry/repositories")
    assert len(lists) == 4 and all("/groups/grp/" in e["target"] for e in lists)


def test_gitlab_project(mount, gitlab):
    emu = gitlab()
    m = mount(emu)
    assert names(m / "grp/proj") == ["web"]
    assert "_tags" in os.listdir(m / "grp/proj")
    lists = asked(emu, "/api/v4/")
    assert [e["target"].partition("?")[0] for e in lists] == [
        "/api/v4/groups/grp%2Fproj/registry/repositories",
        "/api/v4/projects/grp%2Fproj/registry/repositories"]


def test_gitlab_user_and_membership(mount, login, gitlab):
    emu = gitlab()
    m = mount(emu)
    assert names(m / "jo") == ["own"]
    assert names(m / "jo/own") == ["img"]
    assert names(m) == ["grp", "jo"] or names(m) == ["jo"]
    assert not asked(emu, "membership")         # without a name it means all
    m = login(emu)
    assert names(m) == ["grp", "jo"]
    assert len(asked(emu, "membership=true")) == 1


@pytest.mark.parametrize("user,header", [("jo", "private-token"),
                                         ("gitlab-ci-token", "job-token")])
def test_gitlab_token(login, gitlab, user, header):
    emu = gitlab("api_private=grp/hidden/.*")
    emu.set(users={user: "secret"})
    m = login(emu, user)
    assert names(m / "grp") == ["hidden", "other", "proj"]
    assert all(e["headers"].get(header) == "secret" for e in asked(emu, "/api/v4/"))
    assert not emu.log(where="registry", path="/api/v4")


@pytest.mark.parametrize("user", ["jo", "gitlab+deploy-token-1"])
def test_gitlab_registry_only_token(login, gitlab, user):
    """A token for the registry alone: the API is asked as nobody."""
    emu = gitlab("api_private=grp/hidden/.*")
    emu.set(users={user: "secret"}, api_tokens={})
    m = login(emu, user)
    assert names(m / "grp") == ["other", "proj"]
    sent = [e for e in asked(emu, "/api/v4/") if "private-token" in e["headers"]]
    assert bool(sent) == (user == "jo")


# -- GitHub ----------------------------------------------------------------------

def test_ghcr(mount, login, emulator):
    emu = emulator("ghcr-list", "api_page=1")
    fill(emu, "org/app", "org/app/sub", "jo/mine")
    m = mount(emu)
    assert names(m) == []
    assert errno_of(os.listdir, m / "org") == "ENOENT"
    assert not asked(emu, "/packages")          # nobody is told anything
    m = login(emu)
    assert names(m) == ["jo"]
    assert names(m / "org") == ["app"]
    assert names(m / "org/app") == ["sub"]
    assert names(m / "jo") == ["mine"]
    assert [e["target"].partition("/packages")[0] for e in asked(emu, "/packages")] \
        == ["/orgs/org", "/orgs/org", "/orgs/jo", "/users/jo"]


# -- Harbor ----------------------------------------------------------------------

def test_harbor(mount, login, emulator):
    emu = emulator("harbor-list", "api_page=2", "api_private=(two|three)/.*")
    fill(emu, "one/a", "one/b/c", "one/d", "two/x", "three/y")
    m = mount(emu)
    assert names(m) == ["one"]
    assert names(m / "one") == ["a", "b", "d"]
    assert names(m / "one/b") == ["c"]
    assert len(asked(emu, "/projects/one/repositories")) == 2
    m = login(emu)
    assert names(m) == ["one", "three", "two"]
    assert names(m / "two") == ["x"]


# -- Quay ------------------------------------------------------------------------

def test_quay(mount, login, emulator):
    """A namespace's public ones by the API; those of one's own by _catalog."""
    emu = emulator("quay-list", "api_page=2", "api_private=team/hidden")
    fill(emu, "team/app", "team/lib", "team/tools", "team/hidden")
    m = mount(emu)
    assert names(m / "team") == ["app", "lib", "tools"]
    assert len(asked(emu, "/api/v1/repository")) == 2
    assert not errors(m)
    m = login(emu, "$oauthtoken")
    assert names(m / "team") == ["app", "hidden", "lib", "tools"]
    m = login(emu)
    assert names(m) == ["team"]
    assert names(m / "team") == ["app", "hidden", "lib", "tools"]
    assert [e["headers"].get("authorization") for e in
            asked(emu, "/api/v1/repository")] == [None] * 2 + ["Bearer secret"] * 2 + \
        [None] * 2


def test_quay_ring(mount, emulator):
    """Pages that lead to each other end."""
    emu = emulator("quay-list", "api_ring=true")
    fill(emu, "team/app")
    m = mount(emu)
    assert errno_of(os.listdir, m / "team") == "EIO"
    assert len(asked(emu, "/api/v1/repository")) <= 3


# -- the table of registryfs check -----------------------------------------------

@pytest.mark.parametrize("profile,said", [
    ("hub-list", "2 repositories in team"), ("ecr-list", "2 repositories"),
    ("gitlab-list", "2 repositories in team")])
def test_check(emulator, images, tmp_path, profile, said):
    emu = emulator(profile)
    emu.set(auth="bearer", users={})
    images.single.fill(emu, "team/app")
    fill(emu, "team/other")
    done = run(program(), "check", f"{emu.address}/team/app", check=False,
               env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]})
    row = [line for line in done.stdout.splitlines() if line.startswith("catalogue")]
    assert row[0].split(None, 2)[1] == "yes" and said in row[0], done.stdout


# -- Azure, Amazon -----------------------------------------------------------------

@pytest.mark.parametrize("switch", ["catalog_status=200", "catalog_acr=false"])
def test_acr(login, emulator, switch):
    emu = emulator("acr-list", switch)
    fill(emu, "a", "b/c")
    m = login(emu)
    assert names(m) == ["a", "b"]
    assert names(m / "b") == ["c"]


def test_acr_own_list(login, emulator):
    """Docker's list refused, once the host is known: its own is asked."""
    emu = emulator("acr-list", "catalog_max=2", "catalog_default=2")
    fill(emu, "a", "b", "c", "d/e")
    emu.fault(where="registry", path="/v2/_catalog", status=405, times=99)
    assert names(login(emu)) == ["a", "b", "c", "d"]


def test_ecr(login, emulator):
    """Opaque links, and never more than 1000 at once."""
    emu = emulator("ecr-list")
    wanted = [f"n{i:04}" for i in range(2300)]
    emu.call("many_repos", count=len(wanted), pattern="n{:04d}")
    m = login(emu, "AWS")
    assert names(m) == wanted
    pages = asked(emu, "/v2/_catalog", "registry")
    assert len([e for e in pages if e["status"] == 200]) == 3
    assert all("n=1000" in e["target"] for e in pages)


# -- everywhere --------------------------------------------------------------------

def test_nolist_and_offline(mount, hub):
    emu = hub()
    m = mount(emu, nolist=True)
    assert errno_of(os.listdir, m / "team") == "ENOENT"
    assert names(m / "team/app") == []
    assert names(m / "team") == ["app"]
    assert not asked(emu, "/v2/namespaces")


def test_allow(mount, hub):
    """The list is asked for what may be touched, and shows only that."""
    emu = hub()
    m = mount(allow=f"{emu.address}/team/app")
    host = m.host(emu)
    assert names(host / "team") == ["app"]
    assert errno_of(os.listdir, host / "library") == "EPERM"
    assert not asked(emu, "/v2/namespaces/library")
