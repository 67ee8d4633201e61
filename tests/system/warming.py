# SPDX-License-Identifier: Apache-2.0
"""What the tests of warm, evict and cache share."""
import json
import os

import pytest

import tarmaker
from mounting import program
from tools import run, sha256sum


def tool(mount, *words, check=True, env=None, **kwargs):
    """registryfs WORDS…, with the mount's environment."""
    return run(program(), *words, check=check, env={**mount.env, **(env or {})}, **kwargs)


def warm(mount, *paths, rc=0, **kwargs):
    done = tool(mount, "warm", *paths, check=False, **kwargs)
    assert done.returncode == rc, f"{done.stdout}\n{done.stderr}"
    return done


def cached(path):
    return os.getxattr(path, "user.registryfs.cached").decode()


def verified(path):
    return os.getxattr(path, "user.registryfs.verified").decode()


def cache_of(mount):
    return json.loads(tool(mount, "cache", "--json", mount.point).stdout)


@pytest.fixture
def both(mount, emu, images):
    """A mount of an emulator with two images that share nothing, and an index."""
    images.single.fill(emu, "team/app")
    images.multi.fill(emu, "team/app")
    images.large.fill(emu, "team/app")
    return mount(emu)


def tree_of(folder):
    """path -> what is there, links not followed."""
    found = {}
    for d, dirs, files in os.walk(folder):
        for n in dirs + files:
            p = os.path.join(d, n)
            key = os.path.relpath(p, folder)
            if os.path.islink(p):
                found[key] = os.readlink(p)
            elif os.path.isfile(p):
                found[key] = sha256sum(p)
            else:
                found[key] = None
    return found


def blobs_of(images, which):
    image = getattr(images, which)
    return set(image.blobs()) - set(image.manifests())


def all_cached(both, image_digests):
    return {d for d in image_digests if cached(both / f"team/app/_blobs/{d}") == "100"}


def some_layer(**files):
    """A layer of these files: name -> bytes."""
    tar = b"".join(tarmaker.file(k.replace("__", "/"), v) for k, v in files.items())
    return tarmaker.Layer(tar + tarmaker.END)
