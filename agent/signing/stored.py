"""The signature that stands beside a release's manifest in a directory of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.files import durable
from agent.files.durable import writing
from agent.release import manifest
from agent.signing import keys

if TYPE_CHECKING:
    from pathlib import Path


def read(directory: Path) -> bytes | None:
    """Return the signature of a release; None if there is none, empty if it cannot be read."""
    try:
        with (directory / manifest.SIGNATURE).open("rb") as file:
            return file.read(keys.MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError:  # it is no right one
        return b""


def keep(directory: Path, signature: bytes | None) -> None:
    """Write a signature beside a release's manifest; None removes the one that is there.

    Raises:
        NoSpaceError: The volume is full.
        ConfigError: The volume cannot be written.
    """
    path = directory / manifest.SIGNATURE
    with writing(path.name):
        if signature is None:
            path.unlink(missing_ok=True)
        else:
            durable.write(path, signature)
