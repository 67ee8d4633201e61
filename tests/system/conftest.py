# SPDX-License-Identifier: Apache-2.0
"""Fixtures: real registries, the emulator, images, mounts; and a time limit."""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pytest  # noqa: E402

import images as image_maker  # noqa: E402
import mounting  # noqa: E402
from deadline import Deadline  # noqa: E402
from emulator.client import EmulatorProcess  # noqa: E402
from emulator.proxy import ProxyProcess  # noqa: E402
from emulator.world import World  # noqa: E402
from registry import DockerRegistry, make_certificate  # noqa: E402
from tools import need  # noqa: E402

LIMIT = int(os.environ.get("RFS_TEST_LIMIT", "60"))


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): time limit of this test")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    mark = item.get_closest_marker("limit")
    with Deadline(mark.args[0] if mark else LIMIT, item.nodeid):
        yield


@pytest.fixture(scope="session")
def memory():
    """A folder in memory where there is one, for registries' storage."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="rfs-test-", dir=base))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


class Images:
    """The images of the session, each made when first asked for."""

    def __init__(self, folder):
        self.folder = folder

    def __getattr__(self, name):
        image = getattr(image_maker, name)(self.folder / name)
        setattr(self, name, image)
        return image


@pytest.fixture(scope="session")
def images(memory):
    """images.single, images.multi, images.large"""
    folder = memory / "images"
    folder.mkdir()
    return Images(folder)


@pytest.fixture(scope="session")
def registry(memory, images):
    """A plain docker-registry holding team/app: 1.4, multi, v2s2 and more."""
    need("docker-registry", "skopeo")
    server = DockerRegistry(memory / "registry")
    try:
        images.single.push(server.address, "team/app")
        images.multi.push(server.address, "team/app")
        images.single.push(server.address, "team/app", "v2s2", "--format", "v2s2")
        images.single.push(server.address, "team/app/web", "1.0")
        images.large.push(server.address, "team/big")
        yield server
    finally:
        server.stop()


@pytest.fixture
def docker_registry(memory, request):
    """docker_registry(tls=True, users={…}, delete=True) -> DockerRegistry"""
    need("docker-registry")
    servers = []

    def start(tls=False, **options):
        folder = Path(tempfile.mkdtemp(prefix="registry-", dir=memory))
        if tls:
            options["tls"] = make_certificate(folder)
        servers.append(DockerRegistry(folder, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def emulator():
    """emulator("bearer", "redirect=307") -> EmulatorProcess"""
    running = []

    def start(*args, **kwargs):
        running.append(EmulatorProcess(*args, **kwargs))
        return running[-1]

    yield start
    for emu in running:
        emu.stop()


@pytest.fixture
def emu(emulator):
    """A plain emulator of distribution 2.8."""
    return emulator()


@pytest.fixture
def proxy():
    """proxy(address, delay_ms=15, rate="125M") -> ProxyProcess"""
    running = []

    def start(*args, **kwargs):
        running.append(ProxyProcess(*args, **kwargs))
        return running[-1]

    yield start
    for p in running:
        p.__exit__()


@pytest.fixture
def world(tmp_path):
    """Registries under their real names, and nothing else: see emulator/world.py.

        world.add("docker.io"); m = mount(**world.options); m / "docker.io/…"

    A test that made anybody ask for another host fails."""
    made = World(tmp_path / "world")
    yield made
    made.stop()
    made.check()


class Shelf:
    """One plain emulator and one mount of it for many layers and images.

    A daemon that died fails the test at hand; the next one gets another."""

    def __init__(self, folder):
        self.folder = folder
        self.emu = EmulatorProcess()
        self.mounts = []

    @property
    def mount(self):
        if not self.mounts or self.mounts[-1].process.poll() is not None:
            folder = self.folder / f"m{len(self.mounts)}"
            self.mounts.append(mounting.Mount(folder, self.emu.address))
        return self.mounts[-1]

    def layer(self, layer):
        """The directory of what is inside a tarmaker.Layer."""
        self.emu.add_blob("t", layer.blob)
        return self.mount / f"t/_layers/{layer.digest}"

    def image(self, image):
        """The directory of an image."""
        image.fill(self.emu, "t", f"d{image.digest[7:]}")
        return self.mount / f"t/_manifests/{image.digest}"

    def rootfs(self, image):
        return self.image(image).parents[1] / f"_rootfs/{image.digest}"

    def check(self):
        alive = self.mount.process.poll()
        assert alive is None, f"registryfs exited {alive}:\n{self.mount.log()[-4000:]}"

    def stop(self):
        try:
            for m in self.mounts[-1:]:
                m.finish()
        finally:
            for m in self.mounts:
                m.destroy()
            self.emu.stop()


@pytest.fixture(scope="module")
def module_shelf(tmp_path_factory):
    shelf = Shelf(tmp_path_factory.mktemp("shelf"))
    yield shelf
    shelf.stop()


@pytest.fixture
def shelf(module_shelf):
    """shelf.layer(Layer), shelf.image(Image), shelf.rootfs(Image) -> Path"""
    yield module_shelf
    module_shelf.check()


@pytest.fixture
def mount(tmp_path):
    """mount(source, option=value, …) -> Mount, unmounted after the test.

    A failed test still unmounts; a daemon that left otherwise than cleanly, or
    whose log holds a sanitizer report, fails the test."""
    mounts = []

    def start(source=None, **options):
        source = getattr(source, "address", source)
        folder = tmp_path / f"m{len(mounts)}"
        mounts.append(mounting.Mount(folder, source, **options))
        return mounts[-1]

    start.folder = tmp_path
    yield start
    problems = []
    for m in reversed(mounts):
        try:
            m.finish()
        except (AssertionError, OSError, subprocess.SubprocessError) as e:
            problems.append(str(e))
        finally:
            m.destroy()
    assert not problems, "\n".join(problems)
