# SPDX-License-Identifier: Apache-2.0
"""What a registry holds after a push, as others see it: skopeo, and the files
that docker-registry keeps."""
import json
import os
import shutil
from pathlib import Path

from images import skopeo_env
from tools import run, sha256, sha256sum


def raw_manifest(server, repo, ref, env):
    """The manifest's bytes by skopeo; ref is a tag or a digest."""
    colon = "@" if ":" in ref else ":"
    return run("skopeo", "inspect", "--raw", "--tls-verify=false",
               f"docker://{server.address}/{repo}{colon}{ref}", env=env,
               text=False).stdout


def stored_blob(server, digest):
    """The file in which docker-registry keeps this content."""
    algorithm, _, name = digest.partition(":")
    return (server.root / "docker/registry/v2/blobs" / algorithm / name[:2] / name
            / "data")


def is_linked(server, repo, digest):
    """Does docker-registry know the blob in this repository?"""
    algorithm, _, name = digest.partition(":")
    return (server.root / "docker/registry/v2/repositories" / repo / "_layers"
            / algorithm / name / "link").exists()


def check_image(server, repo, ref, image, folder):
    """The registry has exactly this image under this name: manifest by skopeo,
    every reachable blob by sha256sum of docker-registry's own files."""
    body = raw_manifest(server, repo, ref, skopeo_env(folder))
    assert sha256(body) == image.digest
    for digest in image.blobs():
        assert sha256sum(stored_blob(server, digest)) == digest
        if digest not in image.manifests():
            assert is_linked(server, repo, digest)


def copy_out(server, repo, tag, folder):
    """skopeo copies it to an OCI layout, digests preserved; returns its files."""
    target = Path(folder) / "out"
    shutil.rmtree(target, ignore_errors=True)
    run("skopeo", "copy", "--insecure-policy", "--all", "--preserve-digests",
        "--src-tls-verify=false", f"docker://{server.address}/{repo}:{tag}",
        f"oci:{target}:{tag}", env=skopeo_env(folder), timeout=120)
    return {"sha256:" + p.name for p in (target / "blobs/sha256").iterdir()}


def pending(mount):
    """The texts of all pending images."""
    folder = mount / ".registryfs/pending"
    return [(folder / name).read_text() for name in sorted(os.listdir(folder))]


def errors(mount):
    return mount.status("errors")


def spool_bytes(mount):
    return json.loads(mount.status("status.json"))["outgoing"]["spool"]["bytes"]
