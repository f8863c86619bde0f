"""The engine, the images that are built on it, and a network of containers."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

import docker
import pytest
from testcontainers.core.network import Network

from tests.containers.engine import NoEngineError, client, engine, want_running
from tests.containers.node import Node
from tests.containers.required import required
from tests.support.agents import REPO
from tests.support.pods import Pod
from tests.support.shares import EXTERNAL, INLINE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# testcontainers leaves its clients, and their sockets, to the garbage collector.
_LEFT: Final = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
BASE: Final = "model-agent-test-base"
# Debian's own Python and the certificates that every base has; without what slim images lack too.
_MAKE: Final = (
    *("mmdebstrap", "--mode=root", "--variant=minbase", "--include=python3,ca-certificates"),
    *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "locale", "man")),
    '--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*',
    *("bookworm", "-"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder wants an engine."""
    for item in items:
        if "tests/containers" in str(item.path):
            item.add_marker(pytest.mark.containers)
            item.add_marker(_LEFT)


@pytest.fixture(scope="session")
def host() -> Iterator[str]:
    """An engine's address; without one the tests are skipped, or fail if they are required."""
    with required(), engine() as address:
        os.environ |= {"DOCKER_HOST": address, "DOCKER_BUILDKIT": "1"}
        yield address


@pytest.fixture(scope="session")
def base(host: str) -> str:
    """An image with Python that the engine runs: what BASE_IMAGE names, or one from nothing."""
    with required():
        image = os.environ.get("BASE_IMAGE") or _made()
        want_running(host, image)
    return image


def _made() -> str:
    if shutil.which("mmdebstrap") is None:
        raise NoEngineError("no BASE_IMAGE is set, and there is no mmdebstrap to make one")
    with subprocess.Popen(_MAKE, stdout=subprocess.PIPE) as made:
        subprocess.run([client(), "import", "-", BASE], stdin=made.stdout, check=True)
    assert made.returncode == 0
    return BASE


@pytest.fixture(scope="session")
def images(base: str) -> dict[str, str]:
    """All images by their names, built as `make images` builds them; the network is off."""
    return built(base, "cpu")


def built(base: str, variant: str) -> dict[str, str]:
    """The images of a variant by their names."""
    command = ["make", "images", f"BASE_IMAGE={base}", f"DOCKER={client()}", f"VARIANT={variant}"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    names = ("model-agent", "embeddings-worker", "azure-files-double", "hub-double")
    return {name: f"{name}:{variant}" for name in names}


@pytest.fixture(scope="session")
def docker_client(images: dict[str, str]) -> Iterator[docker.DockerClient]:
    """The engine's own interface."""
    made = docker.from_env()
    yield made
    made.close()


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A directory that containers of any user may be given."""
    for name in ("share", "store"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o2777)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.geteuid() and "pytest" in str(parent):
            parent.chmod(0o755)
    return tmp_path


@pytest.fixture
def node(docker_client: docker.DockerClient, tmp_path: Path) -> Iterator[Node]:
    """A node whose claim `ml-models` leads to a directory."""
    share = tmp_path / "operators" / "share"
    share.mkdir(parents=True)
    with Network() as network:
        yield Node(docker_client, network, tmp_path, {"ml-models": share})


@pytest.fixture
def operators(node: Node) -> Pod:
    """Where operators stand: the node's share has v1 and v2 of one space, and v1 is promoted."""
    made = Pod(node.room / "operators")
    made.share.add("v1", INLINE)
    made.share.add("v2", EXTERNAL)
    made.agent("promote", "v1")
    return made
