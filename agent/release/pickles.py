"""Refuses releases that run code when they are loaded, unless the operator allows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import PickleError
from agent.release.manifest import is_pickle

if TYPE_CHECKING:
    from collections.abc import Iterable


def refuse(version: str, paths: Iterable[str], *, allowed: bool) -> None:
    """Refuse a release that runs code when it is loaded, unless that is allowed.

    Args:
        version: The release.
        paths: The paths of its files; their names are enough, so nothing need be copied before.
        allowed: Whether the operator allows such files.

    Raises:
        PickleError: It holds a pickle.
    """
    pickle = None if allowed else next(filter(is_pickle, paths), None)
    if pickle:
        raise PickleError(
            f"The release {version} holds {pickle}, a pickle, which runs code when it is loaded.",
            remedy="Publish safetensors instead, or allow it with --allow-pickle.",
        )
