"""Where releases come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import ConfigError
from agent.shares.directory import DirectoryShare

if TYPE_CHECKING:
    from agent.shares.base import Share


def connect(address: str) -> Share:
    """The share at `address`.

    Raises:
        ConfigError: The address is of no known kind.
    """
    if "://" in address:
        raise ConfigError(
            f"--share {address!r} is of no kind that this version reads.",
            remedy="Give a directory, such as the mount of the share.",
        )
    return DirectoryShare(Path(address))
