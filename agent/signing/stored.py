"""Reads and writes the signature beside the manifest of a release, in a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.files import durable
from agent.files.durable import writing
from agent.release import manifest
from agent.signing import keys

if TYPE_CHECKING:
    from pathlib import Path


def read(directory: Path) -> bytes | None:
    """Return the signature of a release: None without one, and empty if it cannot be read."""
    try:
        with (directory / manifest.SIGNATURE).open("rb") as file:
            return file.read(keys.MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError:  # then it counts as a wrong one
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
