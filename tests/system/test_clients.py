# SPDX-License-Identifier: Apache-2.0
"""Real tools read the image where it stands."""
import json
import os

import pytest

from images import skopeo_env
from tools import need, run, sha256sum


@pytest.fixture
def app(mount, registry):
    """team/app without any colon in its path, as these tools need it."""
    return mount().point / registry.address.replace(":", "+") / "team/app"


@pytest.fixture
def storage(tmp_path):
    """(options, environment) for podman and buildah: a storage of their own."""
    policy = tmp_path / "policy.json"
    policy.write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
    conf = tmp_path / "storage.conf"
    conf.write_text(f'[storage]\ndriver = "vfs"\nrunroot = "{tmp_path}/run"\n'
                    f'graphroot = "{tmp_path}/root"\n')
    env = {**skopeo_env(tmp_path), "CONTAINERS_STORAGE_CONF": str(conf)}
    return ["--signature-policy", policy], env


def test_skopeo_copy_to_dir(app, images, tmp_path):
    need("skopeo")
    run("skopeo", "copy", "--insecure-policy", f"oci:{app}/_tags/1.4",
        f"dir:{tmp_path / 'x'}", env=skopeo_env(tmp_path))
    assert sha256sum(tmp_path / "x/manifest.json") == images.single.digest
    for layer in images.single.document()["layers"]:
        assert sha256sum(tmp_path / "x" / layer["digest"][7:]) == layer["digest"]


def test_skopeo_copy_all(app, images, docker_registry, tmp_path):
    """All platforms, from the mount to another registry, digests unchanged."""
    need("skopeo")
    other = docker_registry()
    run("skopeo", "copy", "--insecure-policy", "--all", "--dest-tls-verify=false",
        f"oci:{app}/_tags/multi:multi", f"docker://{other.address}/copy:multi",
        env=skopeo_env(tmp_path))
    headers = other.get("/v2/copy/manifests/multi", "HEAD", {
        "Accept": "application/vnd.oci.image.index.v1+json"})[1]
    assert headers["Docker-Content-Digest"] == images.multi.digest


def test_skopeo_schema2(app, tmp_path):
    need("skopeo")
    run("skopeo", "copy", "--insecure-policy", f"oci:{app}/_tags/v2s2",
        f"dir:{tmp_path / 'x'}", env=skopeo_env(tmp_path))
    top = json.loads((app / "_tags/v2s2/index.json").read_text())["manifests"][0]
    assert sha256sum(tmp_path / "x/manifest.json") == top["digest"]


# podman 4 and buildah 1.28 make an image name of the path behind "oci:" and refuse
# what is no valid one, "_tags" and "+" included; so they are called from the folder.

def test_podman_pull(app, images, storage):
    need("podman")
    policy, env = storage
    done = run("podman", "pull", *policy, "-q", "oci:1.4", env=env, cwd=app / "_tags",
               timeout=120)
    got = run("podman", "image", "inspect", "--format", "{{.Digest}}",
              done.stdout.strip(), env=env).stdout.strip()
    assert got == images.single.digest


def test_buildah_from(app, storage):
    need("buildah")
    policy, env = storage
    name = run("buildah", "from", *policy, "oci:1.4", env=env, cwd=app / "_tags",
               timeout=120).stdout.split()[-1]
    point = run("buildah", "mount", name, env=env).stdout.strip()
    try:
        assert os.path.exists(os.path.join(point, "etc/passwd"))
    finally:
        run("buildah", "umount", name, env=env, check=False)
        run("buildah", "rm", name, env=env, check=False)


def test_skopeo_to_containers_storage(app, images, storage, tmp_path):
    """Any path will do for skopeo, so also into podman's storage."""
    need("skopeo", "podman")
    _, env = storage
    target = f"containers-storage:[vfs@{tmp_path}/root+{tmp_path}/run]localhost/x:1"
    run("skopeo", "copy", "--insecure-policy", f"oci:{app}/_tags/1.4", target, env=env,
        timeout=120)
    got = run("podman", "image", "inspect", "--format", "{{.Digest}}", "localhost/x:1",
              env=env).stdout.strip()
    assert got == images.single.digest


def test_umoci_unpack(app, images, tmp_path):
    need("umoci")
    run("umoci", "unpack", "--image", f"{app}/_tags/1.4:1.4", tmp_path / "bundle")
    root = tmp_path / "bundle/rootfs"
    assert (root / "etc/passwd").read_text().startswith("root:")
    some = next(root.glob("usr/share/doc/*/copyright"))
    assert some.read_bytes() == open("/" + str(some.relative_to(root)), "rb").read()


@pytest.mark.parametrize("tag, name", [("1.4", "single"), ("multi", "multi")])
def test_cp(app, images, tmp_path, tag, name):
    """cp -r makes an OCI layout on disk, digests right."""
    need("skopeo")
    image, copy = getattr(images, name), tmp_path / "layout"
    run("cp", "-r", app / "_tags" / tag, copy)
    assert {f"sha256:{p.name}" for p in (copy / "blobs/sha256").iterdir()} \
        == set(image.blobs())
    for path in (copy / "blobs/sha256").iterdir():
        assert sha256sum(path) == "sha256:" + path.name
    assert run("sha256sum", copy / "manifest.json").stdout
    run("skopeo", "inspect", f"oci:{copy}:{tag}", env=skopeo_env(tmp_path))
    raw = run("skopeo", "inspect", "--raw", f"oci:{copy}:{tag}",
              env=skopeo_env(tmp_path), text=False).stdout
    assert raw == image.data(image.digest)


@pytest.mark.parametrize("command", [
    ("rsync", "-r", "{}/", "{}"), ("cp", "-a", "{}", "{}"),
    ("sh", "-c", "mkdir $1 && tar cf - -C $0 . | tar xf - -C $1", "{}", "{}"),
    ("python3", "-c", "import shutil, sys;"
     "shutil.copytree(sys.argv[1], sys.argv[2], symlinks=True)", "{}", "{}")])
def test_other_copiers(app, images, tmp_path, command):
    need(command[0])
    copy, names = tmp_path / "layout", iter((app / "_tags/1.4", tmp_path / "layout"))
    run(*[c.format(next(names)) if "{}" in c else c for c in command])
    for digest in images.single.blobs():
        assert sha256sum(copy / "blobs/sha256" / digest[7:]) == digest


def test_shell(app, images):
    """The first screen of the manual."""
    image = app.parent / "app+1.4"
    text = run("sh", "-c", f"cat {image}/manifest.json | jq -r .config.digest").stdout
    assert text.strip() == images.single.document()["config"]["digest"]
    links = run("ls", "-l", f"{image}/layers/").stdout
    for layer in images.single.document()["layers"]:
        assert layer["digest"][7:] in links
    found = run("find", f"{app}/_tags/1.4", "-name", "index.json").stdout.split()
    assert len(found) == 1
    assert run("du", "-s", "--apparent-size", f"{app}/_tags/1.4").stdout
