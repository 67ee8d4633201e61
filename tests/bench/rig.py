# SPDX-License-Identifier: Apache-2.0
"""What the rows are made of: a real registry, an emulated one, a mount, clocks.

Only the standard library and programs of the system.  Whatever is started is
ended again, and whatever is mounted unmounted, also when a row fails.
"""
import contextlib
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

MIB = 1 << 20
LINK_RATE = 125_000_000                 # bytes per second
REGISTRY_CONF = """version: 0.1
log: {{level: info}}
storage:
  filesystem: {{rootdirectory: {root}}}
http:
  addr: 127.0.0.1:{port}
"""
ACCESS = re.compile(rb'"(GET|HEAD) (\S+) HTTP/[\d.]+" (\d+) (\d+)')


def shell(command, **variables):
    """Seconds that a command line of sh takes."""
    start = time.monotonic()
    process = subprocess.Popen(["sh", "-ec", command], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL,
                               env=dict(os.environ, **variables))
    # To wait with a timeout is to look every 50 ms.
    timer = threading.Timer(900, process.kill)
    timer.start()
    try:
        status = process.wait()
    finally:
        timer.cancel()
        process.kill()
    if status:
        raise subprocess.CalledProcessError(status, command)
    return time.monotonic() - start


def wait_until(predicate, seconds, what):
    until = time.monotonic() + seconds
    while not predicate():
        if time.monotonic() > until:
            raise RuntimeError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def digest_of(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def drop_pages(path):
    """Takes a file's pages out of the page cache."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


class DockerRegistry:
    """docker-registry with its storage in memory, and its own access log."""

    def __init__(self, folder):
        folder.mkdir()
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.log_path = folder / "log"
        conf = folder / "conf.yml"
        conf.write_text(REGISTRY_CONF.format(root=folder / "data", port=self.port))
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                ["docker-registry", "serve", conf], stdout=log, stderr=log,
                env={"PATH": os.environ["PATH"], "HOME": str(folder)})
        wait_until(self._answers, 15, "docker-registry answers")

    def _answers(self):
        try:
            self.request("GET", "/v2/")
            return True
        except OSError:
            return False

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            answer.read()
            return answer
        finally:
            connection.close()

    def add_blob(self, repo, size, seed):
        """Uploads that many bytes that do not compress; returns the digest."""
        block = random.Random(seed).randbytes(MIB)
        pieces = [block] * (size // MIB) + [block[:size % MIB]]
        total = hashlib.sha256()
        for piece in pieces:
            total.update(piece)
        return self._upload(repo, iter(pieces), size, f"sha256:{total.hexdigest()}")

    def _upload(self, repo, body, size, digest):
        start = self.request("POST", f"/v2/{repo}/blobs/uploads/")
        where = start.headers["Location"].partition(self.address)[2]
        done = self.request("PUT", f"{where}&digest={digest}", body,
                            {"Content-Length": str(size),
                             "Content-Type": "application/octet-stream"})
        if done.status != 201:
            raise RuntimeError(f"upload: status {done.status}")
        return digest

    def add_bytes(self, repo, data):
        return self._upload(repo, data, len(data), digest_of(data))

    def add_image(self, repo, tag, tars, blobs):
        """An image of gzip layers: the digests of their archives, their blobs in
        memory; returns the manifest's digest."""
        kind = "application/vnd.oci.image."
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                             "rootfs": {"type": "layers", "diff_ids": tars}}).encode()
        document = json.dumps({
            "schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
            "config": {"mediaType": kind + "config.v1+json", "size": len(config),
                       "digest": self.add_bytes(repo, config)},
            "layers": [{"mediaType": kind + "layer.v1.tar+gzip", "size": len(b),
                        "digest": self.add_bytes(repo, b)} for b in blobs]}).encode()
        done = self.request("PUT", f"/v2/{repo}/manifests/{tag}", document,
                            {"Content-Type": kind + "manifest.v1+json"})
        if done.status != 201:
            raise RuntimeError(f"manifest: status {done.status}")
        return digest_of(document)

    def url(self, repo, digest, address=None):
        return f"http://{address or self.address}/v2/{repo}/blobs/{digest}"

    def mark(self):
        return self.log_path.stat().st_size

    def traffic(self, since, part="/blobs/"):
        """(requests, body bytes) logged since mark() for paths with `part`."""
        with open(self.log_path, "rb") as log:
            log.seek(since)
            found = [m for m in ACCESS.findall(log.read()) if part.encode() in m[1]]
        return len(found), sum(int(m[3]) for m in found if m[0] == b"GET")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Mount:
    """One daemon with a cache of its own (or a given one, which is kept); as a
    context it ends with the block.  source None: all hosts; give plain_http."""

    def __init__(self, rig, source, cache=None, **options):
        self.folder = Path(tempfile.mkdtemp(dir=rig.folder, prefix="mount-"))
        self.point = self.folder / "mnt"
        self.point.mkdir()
        self.cache = cache or self.folder / "cache"
        options = {"cache_dir": self.cache, "plain_http": source, "cache_size": "64G",
                   **options}
        words = ",".join(f"{k}={v}" for k, v in options.items() if v is not None)
        self.log = open(self.folder / "log", "w+b")
        self.process = subprocess.Popen(
            [rig.program, "-f", "-o", words, *([source] if source else []),
             str(self.point)],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env=dict(os.environ, HOME=str(self.folder)))
        wait_until(self._ready, 20, "the mount")

    def _ready(self):
        if self.process.poll() is not None:
            self.log.seek(0)
            raise RuntimeError(f"registryfs left: {self.log.read().decode()}")
        return self._is_mounted()

    def _is_mounted(self):
        with open("/proc/self/mountinfo") as f:
            return any(line.split()[4] == str(self.point) for line in f)

    def blob(self, repo, digest):
        return self.point / repo / "_blobs" / digest

    def metrics(self):
        text = (self.point / ".registryfs/status.json").read_text()
        return json.loads(text)

    def peak_rss(self):
        """VmHWM of the daemon in bytes."""
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(x.split()[1]) * 1024 for x in f if x.startswith("VmHWM"))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        if self._is_mounted() and subprocess.run(
                ["fusermount3", "-u", self.point], stderr=subprocess.DEVNULL).returncode:
            subprocess.run(["fusermount3", "-uz", self.point], check=False)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Rig:
    """Everything that a run needs, made when first asked for."""

    def __init__(self, program, scale, rounds):
        self.program, self.scale, self.rounds = program, scale, rounds
        self.stack = contextlib.ExitStack()
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.memory = Path(tempfile.mkdtemp(dir=base, prefix="rfs-bench-"))
        self.folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="rfs-bench-"))
        for folder in (self.memory, self.folder):
            self.stack.callback(shutil.rmtree, folder, ignore_errors=True)
        self.made = {}

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stack.close()

    def once(self, name, make):
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]

    def bytes(self, size):
        """A size at this scale, in whole MiB."""
        return max(1, int(size * self.scale) // MIB) * MIB

    def count(self, number):
        return max(10, int(number * self.scale))

    def registry(self, name="registry"):
        """One of several, by name; all have their storage in memory."""
        def make():
            registry = DockerRegistry(self.memory / name)
            self.stack.callback(registry.stop)
            return registry
        return self.once(name, make)

    def blob(self, size):
        """A blob of team/app in the real registry: (digest, size)."""
        size = self.bytes(size)
        return self.once(("blob", size), lambda: (
            self.registry().add_blob("team/app", size, seed=size), size))

    def emulator(self, name, profile, *settings):
        from emulator.client import EmulatorProcess
        return self.once(("emulator", name), lambda: self.stack.enter_context(
            EmulatorProcess(profile, *settings)))

    def link(self, address, delay_ms=15, rate=LINK_RATE):
        """The same address behind a line of 30 ms and 1 Gb/s."""
        from emulator.proxy import ProxyProcess
        return self.once(("link", address), lambda: self.stack.enter_context(
            ProxyProcess(address, delay_ms=delay_ms, rate=rate))).address

    def mount(self, source, **options):
        return Mount(self, source, **options)
