"""Refuses releases that run code when they are loaded, unless the operator allows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import PickleError

if TYPE_CHECKING:
    from agent.release.manifest import Manifest


def refuse(release: Manifest, *, allowed: bool) -> None:
    """Refuse a release that runs code when it is loaded, unless that is allowed.

    Raises:
        PickleError: It holds a pickle.
    """
    if release.pickles and not allowed:
        raise PickleError(
            f"The release {release.version} holds {release.pickles[0]}, a pickle, which runs code "
            "when it is loaded.",
            remedy="Publish safetensors instead, or allow it with --allow-pickle.",
        )
