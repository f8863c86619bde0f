"""The bytes that a store takes and may still take, and releases that are deleted for more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from agent.errors import NoSpaceError
from agent.files import disk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agent.store.store import Store


def free_bytes(store: Store) -> int:
    """Return the bytes that may still be written: what the volume has, within the limit."""
    status = os.statvfs(store.root)
    free = status.f_bavail * status.f_frsize
    return free if store.limit is None else min(free, store.limit - used_bytes(store))


def most_bytes(store: Store) -> int:
    """Return the bytes that the store may ever take: the limit, or the size of the volume."""
    status = os.statvfs(store.root)
    size = status.f_blocks * status.f_frsize
    return size if store.limit is None else min(size, store.limit)


def used_bytes(store: Store) -> int:
    """Return the bytes that the store takes; a file with several names counts once."""
    return sum(disk.blocks([store.root]).values())


def require(
    store: Store, wanted: int, *, spare: Sequence[str] = (), reused: Sequence[Path] = ()
) -> None:
    """See that `wanted` bytes can be written; nothing is deleted yet.

    Args:
        store: The store.
        wanted: Bytes to write.
        spare: Releases that may be deleted for them.
        reused: Files of these releases that stay, under another name.

    Raises:
        NoSpaceError: They cannot be written, even without the `spare` releases.
    """
    free = free_bytes(store)
    if wanted <= free or wanted <= free + _reclaimable(store, spare, reused):
        return
    limit = f" (--store-limit {store.limit})" if store.limit is not None else ""
    raise NoSpaceError(
        f"The store {store.root} has {max(free, 0)} bytes free{limit} and the release needs "
        f"{wanted} more.",
        remedy="Give the volume more room, and raise --store-limit with it.",
    )


def make(store: Store, wanted: int, spare: Sequence[str]) -> None:
    """Delete `spare` releases, the first one first, until `wanted` bytes can be written."""
    for version in spare:
        if free_bytes(store) >= wanted:
            return
        store.remove(version)


def require_and_make(store: Store, wanted: int, spare: Sequence[str]) -> None:
    """Delete as many of the `spare` releases as it takes to write `wanted` bytes.

    Raises:
        NoSpaceError: All of them are too few; none was deleted.
    """
    require(store, wanted, spare=spare)
    make(store, wanted, spare)


def _reclaimable(store: Store, spare: Sequence[str], reused: Sequence[Path]) -> int:
    """Return the bytes that deleting the `spare` releases frees: those of no other file."""
    others = [store.path(version) for version in store.versions() if version not in spare]
    kept = disk.blocks([*others, store.agent]) | disk.blocks(reused)
    going = disk.blocks([store.path(version) for version in spare])
    return sum(size for inode, size in going.items() if inode not in kept)
