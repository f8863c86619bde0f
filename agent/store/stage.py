"""Stages a release: from the share into the store, verified, and published by one rename.

Until that rename nothing under `releases/` changes, whatever fails; what was staged by then is kept
and used by the next attempt.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from time import monotonic as clock
from typing import TYPE_CHECKING, Final

from agent.errors import ReleaseMissingError, VerificationError
from agent.files import durable
from agent.files.copy import Copier, Job
from agent.files.disk import own_bytes
from agent.files.durable import writing
from agent.files.progress import ByteCounter
from agent.release import layout, manifest
from agent.store import leftovers, records

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence

    from agent.release.manifest import File, Manifest
    from agent.shares.base import Share
    from agent.store.store import Store

# For directories, the manifest, links and records; far above what they take.
OVERHEAD_BYTES: Final = 1024 * 1024
_BLOCK: Final = 4096

# What makes two files the same: size, chunk size, chunk digests.
Content = tuple[int, int, tuple[str, ...]]


@dataclass(frozen=True)
class Staged:
    """A release that is in the store now: what moved, and how long it took in seconds."""

    manifest: Manifest
    moved: Mapping[str, int]
    seconds: float


def stage(
    share: Share,
    release: Manifest,
    store: Store,
    *,
    stop: threading.Event,
    spare: Sequence[str] = (),
    moved: ByteCounter | None = None,
    signature: bytes | None = None,
) -> Staged:
    """Bring `release` into the store. The caller holds the store's lock.

    Args:
        share: Where it comes from.
        release: Its manifest.
        store: Where it goes.
        stop: Ends it early.
        spare: Releases of the store that may be deleted for room, the first one first.
        moved: Counts bytes as they come.
        signature: What signs it, which goes along.

    Raises:
        VerificationError: Bytes on the share are not what the manifest says.
        NoSpaceError: It does not fit; nothing was written.
        UnreachableError: The share does not answer.
        StoppedError: `stop` was set.
    """
    began = clock()
    moved = moved or ByteCounter()
    directory = store.staging / release.version
    leftovers.take_over(store.staging, release)
    store.sweep(keep_staging=release.version)
    reuse = _reusable(store, release)
    needed = _needed(release, reuse, directory)
    store.need(needed, spare=spare, reused=tuple(reuse.values()))
    with writing(release.version):
        durable.make_directory(directory)
        _remove_foreign(directory, release)
        linked = _link(release, reuse, directory, moved)
    store.make_room(needed, spare)
    with writing(release.version):
        leftovers.note(directory, release)
    copier = Copier(share, directory, release.chunk_size, stop, moved.add)
    source = f"releases/{release.version}"
    copier.copy(
        [
            Job(file.path, f"{source}/{file.path}", file.size, file.chunks)
            for file in release.files
            if file.path not in linked
        ]
    )
    publish(store, release, directory, signature=signature)
    return Staged(release, dict(moved.by_source), clock() - began)


def publish(
    store: Store, release: Manifest, directory: Path, *, signature: bytes | None = None
) -> None:
    """Make a complete staging directory the release: views, manifest, record, sync, rename.

    The record comes before the rename: a release without one would be hashed again, while a record
    without its release is swept. What stood under this version before was not sound, or is not
    active; it makes way last of all.
    """
    with writing(release.version):
        for view, path in layout.views(release).items():
            durable.make_directory((directory / view).parent)
            if not (directory / view).exists():
                os.link(directory / path, directory / view)
        durable.write(directory / manifest.FILE_NAME, release.encoded)
        if signature is not None:
            durable.write(directory / manifest.SIGNATURE, signature)
        durable.sync_tree(directory)
        store.remove(release.version)
        if not records.write(store.agent, release, directory):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        directory.rename(store.path(release.version))
        durable.sync_directory(store.path(release.version).parent)


def _content(release: Manifest, file: File) -> Content:
    return file.size, release.chunk_size, file.chunks


def _reusable(store: Store, release: Manifest) -> dict[Content, Path]:
    """Files of the store, by content, that this agent verified and that look untouched."""
    wanted = {_content(release, file) for file in release.files}
    found: dict[Content, Path] = {}
    for version in store.versions():
        try:
            held = store.manifest(version)
        except (VerificationError, ReleaseMissingError):
            continue
        for file in records.trusted(store.agent, held, store.path(version)):
            if _content(held, file) in wanted:
                found[_content(held, file)] = store.path(version) / file.path
    return {content: path for content, path in found.items() if content[0]}


def needed_bytes(store: Store, release: Manifest) -> int:
    """Bytes that staging `release` would add to the store now."""
    return _needed(release, _reusable(store, release), store.staging / release.version)


def _needed(release: Manifest, reuse: Mapping[Content, Path], directory: Path) -> int:
    """Bytes that staging will add: what is neither reused nor staged already, in whole blocks."""
    new = [f.size for f in release.files if _content(release, f) not in reuse]
    blocks = sum(-(-size // _BLOCK) * _BLOCK for size in new)
    return max(0, blocks - own_bytes(directory)) + OVERHEAD_BYTES + 2 * len(release.encoded)


def _link(
    release: Manifest, reuse: Mapping[Content, Path], directory: Path, moved: ByteCounter
) -> frozenset[str]:
    """Link what the store has already; give the paths that need no copy."""
    linked = set()
    for file in release.files:
        original = reuse.get(_content(release, file))
        if original and _hard_link(original, directory / file.path):
            moved.add("reused", file.size)
            linked.add(file.path)
    return frozenset(linked)


def _hard_link(original: Path, path: Path) -> bool:
    """Link, or say that the kernel refuses (another uid's file, too many links): then copy."""
    durable.make_directory(path.parent)
    path.unlink(missing_ok=True)
    try:
        os.link(original, path)
    except OSError:
        return False
    return True


def _remove_foreign(directory: Path, release: Manifest) -> None:
    """Remove files that the release does not have, so that they are never published with it."""
    own = {directory / file.path for file in release.files}
    for parent, _, names in os.walk(directory):
        for name in names:
            path = Path(parent) / name
            if path not in own or path.is_symlink():
                path.unlink()
