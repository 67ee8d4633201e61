# SPDX-License-Identifier: Apache-2.0
"""The rows of writing: cp against skopeo and curl, the same image both ways.

Each copy goes to a repository that is not there yet, with a fresh cache and
without skopeo's memory of where blobs are; both registries keep their storage
in memory.
"""
import hashlib
import itertools
import json
import os
import random
import shutil
import statistics
import subprocess
from pathlib import Path

from rig import LINK_RATE, MIB, digest_of, shell
from rows import GIB, Row

KIND = "application/vnd.oci.image."
LAYERS = 10
COUNTER = itertools.count()


def fresh(what):
    """A repository nobody has used."""
    return f"bench/{what}-{next(COUNTER)}"


def image(rig, what, sizes):
    """An image of such layers in the first registry: its repository.  They do not
    compress and are no archives: nobody looks inside here."""
    def make():
        registry, repo = rig.registry(), f"team/{what}"
        layers = [registry.add_blob(repo, size, seed=f"{what}{i}")
                  for i, size in enumerate(sizes)]
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                             "rootfs": {"type": "layers", "diff_ids": layers}}).encode()
        document = json.dumps({
            "schemaVersion": 2, "mediaType": KIND + "manifest.v1+json",
            "config": {"mediaType": KIND + "config.v1+json", "size": len(config),
                       "digest": registry.add_bytes(repo, config)},
            "layers": [{"mediaType": KIND + "layer.v1.tar+gzip", "size": size,
                        "digest": digest} for digest, size in zip(layers, sizes)]})
        done = registry.request("PUT", f"/v2/{repo}/manifests/1", document.encode(),
                                {"Content-Type": KIND + "manifest.v1+json"})
        if done.status != 201:
            raise RuntimeError(f"manifest: status {done.status}")
        return repo, digest_of(document.encode())
    return rig.once(("image", what), make)


def big(rig):
    return image(rig, "big", [rig.bytes(GIB)])


def ten_sizes(rig):
    return [rig.bytes(n * 10 * MIB) for n in range(1, LAYERS + 1)]


def ten(rig):
    return image(rig, "ten", ten_sizes(rig))


def skopeo(rig, source, target):
    """Seconds of a copy by skopeo, as if it had never run."""
    home = rig.folder / "skopeo"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    (home / "auth").write_text('{"auths":{}}')
    cache = Path("/var/lib/containers/cache/blob-info-cache-v1.boltdb")
    cache.unlink(missing_ok=True)
    return shell("skopeo copy -q --insecure-policy --preserve-digests "
                 "--src-tls-verify=false --dest-tls-verify=false $A $B",
                 A=source, B=target, HOME=str(home), XDG_RUNTIME_DIR=str(home),
                 REGISTRY_AUTH_FILE=str(home / "auth"))


def need_tag(registry, repo, tag, digest):
    answer = registry.request("HEAD", f"/v2/{repo}/manifests/{tag}",
                              headers={"Accept": KIND + "manifest.v1+json"})
    if answer.headers["Docker-Content-Digest"] != digest:
        raise RuntimeError(f"{repo}:{tag} is not {digest}: status {answer.status}")


def copied(rig, row, m, source, target, check):
    """One cp -r through the mount, timed and checked."""
    registry, repo = target
    address = source[0]
    before = m.metrics()["metrics"]
    row.ours.append(shell("cp -r $A $B", A=str(m.point / address / source[1] / "_tags/1"),
                          B=str(m.point / registry[0] / repo / "_tags")))
    after = m.metrics()["metrics"]
    row.requests = after["http_requests"] - before["http_requests"]
    row.bytes = (after["http_bytes_in"] - before["http_bytes_in"]
                 + after["http_bytes_out"] - before["http_bytes_out"])
    row.saw(m)
    need_tag(registry[1], repo, "1", check)


def between(rig, row, which, delay=False):
    """Registry to registry; with `delay` both at the end of a line of 30 ms."""
    repo, digest = which(rig)
    a, b = rig.registry(), rig.registry("second")
    reach = rig.link if delay else (lambda address: address)
    one, two = reach(a.address), reach(b.address)
    for _ in range(rig.rounds):
        row.peer("skopeo copy", skopeo(rig, f"docker://{one}/{repo}:1",
                                       f"docker://{two}/{fresh('s')}:1"))
        with rig.mount(None, plain_http=f"{one} {two}") as m:
            copied(rig, row, m, (one, repo), ((two, b), fresh("c")), digest)
    return row


def copy_big(rig):
    """cp -r of an image of one 1 GiB layer from registry to registry, cold"""
    return between(rig, Row("cp -r of 1 layer of 1 GiB, registry to registry",
                            targets={"skopeo copy": 1 / 0.8}), big)


def copy_ten(rig):
    """cp -r of an image of ten layers (10 to 100 MiB), cold"""
    return between(rig, Row("cp -r of 10 layers, 550 MiB, registry to registry",
                            targets={"skopeo copy": 1 / 0.7}), ten)


def copy_ten_link(rig):
    """the same, both registries at the end of a line of 30 ms and 1 Gb/s"""
    row = between(rig, Row("cp -r of 10 layers, 550 MiB, 30 ms, 1 Gb/s",
                           targets={"skopeo copy": 1}), ten, delay=True)
    line = sum(ten_sizes(rig)) / LINK_RATE
    row.limits = [("time over what the line needs", middle(row.ours) / line, 1.15)]
    return row


def middle(values):
    return statistics.median(values)


def within(rig, row, address, limit):
    repo, digest = ten(rig)
    registry = rig.registry()
    for _ in range(rig.rounds):
        row.peer("skopeo copy", skopeo(rig, f"docker://{address}/{repo}:1",
                                       f"docker://{address}/{fresh('s')}:1"))
        with rig.mount(None, plain_http=address) as m:
            copied(rig, row, m, (address, repo), ((address, registry), fresh("c")),
                   digest)
    row.limits = [("seconds", middle(row.ours), limit),
                  ("bytes moved", row.bytes, 64 * 1024)]
    return row


def copy_within(rig):
    """cp -r of ten layers between repositories of one registry"""
    return within(rig, Row("cp -r of 10 layers within a registry"),
                  rig.registry().address, 0.1)


def copy_within_link(rig):
    """the same at the end of a line of 30 ms"""
    return within(rig, Row("cp -r of 10 layers within a registry, 30 ms"),
                  rig.link(rig.registry().address), 0.3)


def layout(rig, which):
    """The image as an OCI layout on disk."""
    repo, _ = which(rig)

    def make():
        folder = rig.folder / f"layout-{which.__name__}"
        skopeo(rig, f"docker://{rig.registry().address}/{repo}:1", f"oci:{folder}:1")
        return folder
    return rig.once(("layout", which.__name__), make)


def warm(folder):
    shell("cat $F/blobs/sha256/* >/dev/null", F=str(folder))


def push_disk(rig, row, which):
    _, digest = which(rig)
    folder, b = layout(rig, which), rig.registry("second")
    largest = max((folder / "blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)
    for _ in range(rig.rounds):
        warm(folder)
        row.peer("skopeo copy oci:", skopeo(
            rig, f"oci:{folder}:1", f"docker://{b.address}/{fresh('s')}:1"))
        start = b.request("POST", f"/v2/{fresh('curl')}/blobs/uploads/")
        row.peer("curl -T of the largest blob", shell(
            "curl -sf -H 'Content-Type: application/octet-stream' -T $F \"$U&digest=$D\"",
            F=str(largest), U=start.headers["Location"], D=f"sha256:{largest.name}"))
        with rig.mount(b.address) as m:
            repo = fresh("c")
            before = m.metrics()["metrics"]
            row.ours.append(shell("cp -r $A $B", A=str(folder),
                                  B=str(m.point / repo / "_tags/1")))
            row.requests = m.metrics()["metrics"]["http_requests"] - \
                before["http_requests"]
            row.saw(m)
            need_tag(b, repo, "1", digest)
    return row


def push_big(rig):
    """cp -r of an OCI layout of 1 GiB from disk, against skopeo and curl"""
    return push_disk(rig, Row("cp -r of a 1 GiB layout from disk", targets={
        "skopeo copy oci:": 1, "curl -T of the largest blob": 1 / 1.2}), big)


def push_ten(rig):
    """cp -r of an OCI layout of ten layers from disk"""
    return push_disk(rig, Row("cp -r of a 10-layer layout from disk",
                              targets={"skopeo copy oci:": 1}), ten)


def copy_again(rig):
    """cp -r of what is there already: requests counted"""
    repo, digest = ten(rig)
    a, b = rig.registry(), rig.registry("second")
    row = Row("cp -r of 10 layers that are there already")
    for _ in range(rig.rounds):
        target = fresh("again")
        with rig.mount(None, plain_http=f"{a.address} {b.address}") as m:
            copied(rig, row, m, (a.address, repo), ((b.address, b), target), digest)
            row.ours.pop()
            copied(rig, row, m, (a.address, repo), ((b.address, b), target), digest)
            again = f"docker://{b.address}/{target}:1"
            row.peer("skopeo copy", skopeo(
                rig, f"docker://{a.address}/{repo}:1", again))
    row.limits = [("requests", row.requests, 2 * (LAYERS + 4))]
    return row


def pass_10g(rig):
    """10 GiB written through the mount as one blob: memory and spool"""
    size = rig.bytes(10 * GIB)
    b = rig.registry("second")
    block = random.Random(3).randbytes(MIB)
    total = hashlib.sha256()
    for _ in range(size // MIB):
        total.update(block)
    row = Row(f"{size // MIB} MiB written as one blob")
    with rig.mount(b.address) as m:
        target = m.blob(fresh("pass"), f"sha256:{total.hexdigest()}")
        writer = subprocess.Popen(["dd", f"of={target}", "bs=1M", "status=none"],
                                  stdin=subprocess.PIPE)
        most = 0
        for i in range(size // MIB):
            writer.stdin.write(block)
            if i % 256 == 0:
                most = max(most, m.metrics()["outgoing"]["spool"]["bytes"])
        writer.stdin.close()
        if writer.wait():
            raise RuntimeError("dd failed")
        left = m.metrics()["outgoing"]["spool"]["bytes"]
        row.saw(m)
    os.unlink(_stored(b, total.hexdigest()))
    row.limits = [("peak RSS, MiB", row.rss / MIB, 64), ("spool at the end", left, 0),
                  ("spool, largest, of what was written", most / size, 1)]
    return row


def _stored(registry, name):
    return (registry.log_path.parent / "data/docker/registry/v2/blobs/sha256" / name[:2]
            / name / "data")


ROWS = [copy_big, copy_ten, copy_ten_link, copy_within, copy_within_link, push_big,
        push_ten, copy_again, pass_10g]
