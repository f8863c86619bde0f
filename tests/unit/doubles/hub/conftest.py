"""One Hub without tokens for all tests here, and a client whose cache is empty."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.certificates import make_certificate
from tests.support.hub_clients import Client
from tests.support.hub_double import Hub, running_hub, write_repo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.certificates import Certificate

REPO: Final = "acme/embedder"
COMMIT: Final = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS: Final = random.Random(4).randbytes(300_000)
FILES: Final = {
    "README.md": b"# Embedder\n",
    "config.json": b'{"hidden_size": 32}\n',
    "model.onnx": WEIGHTS,
    "onnx/größe + 1.txt": b"hello\n",
    "onnx/model.onnx.data": WEIGHTS[::-1],
}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """What the Hub serves TLS with."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repositories of the Hub that all tests share."""
    root = tmp_path_factory.mktemp("hub")
    write_repo(root, REPO, COMMIT, FILES)
    return root


@pytest.fixture(scope="session")
def _hub(root: Path) -> Iterator[Hub]:
    with running_hub(root, f"--renamed=acme/former={REPO}", f"--renamed=old={REPO}") as hub:
        yield hub


@pytest.fixture
def hub(_hub: Hub) -> Iterator[Hub]:
    """The shared Hub, without faults, counting from zero."""
    _hub.reset_counters()
    yield _hub
    _hub.heal()


@pytest.fixture
def client(hub: Hub, tmp_path: Path) -> Client:
    """A user without a token, whose cache is empty."""
    return Client(hub, tmp_path / "home")
