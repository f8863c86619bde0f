"""A mirror of the Hub on a network of containers, which has one model."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tests.containers.running import service
from tests.support import models
from tests.support.shares import REVISION
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testcontainers.core.network import Network

# What has an agent on that network ask the mirror instead of the Hub; it has no Xet.
MIRROR: Final = {"HF_ENDPOINT": "http://hub:8080", "HF_HUB_DISABLE_XET": "1"}


@contextmanager
def mirror(
    image: str, network: Network, directory: Path, write: Callable[[Path], None]
) -> Iterator[None]:
    """Have the Hub's double serve what `write` writes as FastEmbed's MiniLM, while entered.

    Args:
        image: The double's.
        network: Where it is `hub`.
        directory: A new one for the model's files.
        write: Writes them into an empty directory.
    """
    repo = directory / models.MINILM_REPO
    write(repo / REVISION)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(REVISION)
    double = service(
        image,
        *("--root", "/hub", "--cdn-host", "cdn"),
        volumes={str(directory): {"bind": "/hub", "mode": "ro"}},
    )
    with double.with_network(network).with_network_aliases("hub", "cdn"):
        until(lambda: b"http://" in double.get_wrapped_container().logs())
        yield
