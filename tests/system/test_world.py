# SPDX-License-Identifier: Apache-2.0
"""The world of names: who is reached, who is refused, and that it is told."""
import os
import socket

from emulator.world import World
from registry import free_port
from tools import errno_of, run, sha256sum


def curl(world, *words):
    """(status, body) by curl, which takes the proxy from its environment."""
    done = run("curl", "-sS", "--cacert", world.ca, "-w", "\n%{http_code}", *words,
               env={"PATH": os.environ["PATH"], **world.env}, check=False)
    body, _, status = done.stdout.rpartition("\n")
    return int(status or 0), body, done


def test_names(world):
    world.add("docker.io")
    assert curl(world, "https://registry-1.docker.io/v2/")[0] == 401
    assert curl(world, "https://auth.docker.io/token?service=x")[0] == 200
    assert world.contacts == {"registry-1.docker.io:443": 1, "auth.docker.io:443": 1}


def test_whoever_is_not_there(world):
    """403 through the tunnel and without one; both are told."""
    done = curl(world, "https://www.example.com/")[2]
    assert done.returncode and "403" in done.stderr
    assert curl(world, "http://www.example.com:8080/x")[0] == 403
    assert world.refused == ["www.example.com:443", "www.example.com:8080"]
    world.refused.clear()


def test_plain_http(world, emulator):
    """Absolute addresses; each connection is for one request."""
    emu = emulator()
    emu.add_blob("a", b"x" * 300_000)
    world.route("plain.example.com:80", emu.ports["registry"])
    status, body, _ = curl(world, "http://plain.example.com/v2/",
                           "http://plain.example.com/v2/_catalog?n=5")
    assert status == 200 and '{"repositories":["a"]}' in body
    assert world.contacts["plain.example.com:80"] == 2
    assert all("proxy-connection" not in e["headers"] for e in emu.log())


def test_certificates_are_for_their_names(world):
    """One site's does not serve another's name, nor any stranger's CA."""
    emu = world.add("ghcr.io")
    world.route("other.example.com", emu.ports["registry"])
    done = curl(world, "https://other.example.com/v2/")[2]
    assert done.returncode == 60
    done = run("curl", "-sS", "https://ghcr.io/v2/", check=False,
               env={"PATH": os.environ["PATH"], "https_proxy":
                    world.env["https_proxy"]})
    assert done.returncode == 60


def test_nobody_listens(world, mount):
    """In the table, and down: no refusal of the world's."""
    world.route("down.example.com", free_port())
    m = mount(**world.options, timeout=3)
    assert errno_of(os.stat, m / "down.example.com/a/_tags/1") is not None
    assert world.refused == [] and world.contacts["down.example.com:443"] >= 1


def test_mount_asks_nobody_else(world, mount):
    """And what it asks for in vain is in the list."""
    m = mount(**world.options, timeout=3)
    failed, refused = errno_of(os.stat, m / "ghcr.io/a/b/_tags/1"), set(world.refused)
    world.refused.clear()
    assert failed == "ETIMEDOUT"        # no connection came about
    assert refused == {"ghcr.io:443"}
    assert "ghcr.io" in m.status("errors")


def test_any_server(world, mount, docker_registry, images):
    """A real one, under a name and a port of our choice."""
    server = docker_registry()
    images.single.push(server.address, "team/app")
    world.route("registry.internal:80", server.port)
    m = mount(**world.options, plain_http="registry.internal:80")
    path = m / "registry.internal:80/team/app/_tags/1.4/manifest.json"
    assert sha256sum(path) == images.single.digest


def test_stop(tmp_path):
    """Nothing of it is left."""
    world = World(tmp_path / "world")
    address = world.proxy.address.split(":")
    world.stop()
    with socket.socket() as s:
        assert s.connect_ex((address[0], int(address[1]))) != 0
