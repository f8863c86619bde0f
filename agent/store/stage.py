"""Stages a release: copies it into the store, verified, and publishes it there by one rename.

Until that rename nothing under `releases/` changes, whatever fails. What was staged by then is kept
for the next attempt.
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
from agent.release.layout import RELEASES
from agent.store import leftovers, records, room

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence

    from agent.files.source import Source
    from agent.release.manifest import File, Manifest
    from agent.release.model_ref import ModelRef
    from agent.store.store import Store

# For directories, the manifest, links and records, which take far less.
OVERHEAD_BYTES: Final = 1024 * 1024
_BLOCK: Final = 4096

# Files are the same if these are equal: size, chunk size, chunk digests.
Content = tuple[int, int, tuple[str, ...]]


@dataclass(frozen=True)
class Staged:
    """A release that has come into the store.

    Attributes:
        manifest: The release's.
        moved: Bytes by where they came from; see `ByteCounter`.
        seconds: How long it took.
        absent: The catalog's models that a tree made by hand lacks.
    """

    manifest: Manifest
    moved: Mapping[str, int]
    seconds: float
    absent: tuple[ModelRef, ...] = ()


def stage(
    source: Source,
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
        source: The share.
        release: The release's manifest.
        store: The store.
        stop: Ends it early.
        spare: Releases of the store that may be deleted for room, the first one first.
        moved: Counts bytes as they come.
        signature: The release's signature, which is kept beside its manifest.

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
    room.require(store, needed, spare=spare, reused=tuple(reuse.values()))
    with writing(release.version):
        durable.make_directory(directory)
        _remove_foreign(directory, release)
        linked = _link(release, reuse, directory, moved)
    room.make(store, needed, spare)
    with writing(release.version):
        leftovers.note(directory, release)
    home = f"{RELEASES}/{release.version}"
    jobs = [
        Job(file.path, f"{home}/{file.path}", file.size, file.chunks)
        for file in release.files
        if file.path not in linked
    ]
    Copier(source, directory, release.chunk_size, stop, moved.add).copy(jobs)
    publish(store, release, directory, signature=signature)
    return Staged(release, dict(moved.by_source), clock() - began)


def publish(
    store: Store, release: Manifest, directory: Path, *, signature: bytes | None = None
) -> None:
    """Make a complete staging directory the release: views, manifest, record, sync, rename.

    The record comes before the rename: after a crash in between, a record without its release is
    swept, while a release without a record would be hashed again. A release that stood under this
    version before, corrupt or not active, is removed as late as possible.
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
    """Return the files of the store, by content, that were verified and look untouched."""
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
    """Return the bytes that staging `release` would add to the store now."""
    return _needed(release, _reusable(store, release), store.staging / release.version)


def _needed(release: Manifest, reuse: Mapping[Content, Path], directory: Path) -> int:
    """Return the bytes of files that are neither reused nor staged yet, in whole blocks."""
    new = [f.size for f in release.files if _content(release, f) not in reuse]
    blocks = sum(-(-size // _BLOCK) * _BLOCK for size in new)
    return max(0, blocks - own_bytes(directory)) + OVERHEAD_BYTES + 2 * len(release.encoded)


def _link(
    release: Manifest, reuse: Mapping[Content, Path], directory: Path, moved: ByteCounter
) -> frozenset[str]:
    """Link files that the store has already; return the paths that need no copy."""
    linked = set()
    for file in release.files:
        original = reuse.get(_content(release, file))
        if original and _hard_link(original, directory / file.path):
            moved.add("reused", file.size)
            linked.add(file.path)
    return frozenset(linked)


def _hard_link(original: Path, path: Path) -> bool:
    """Link a file, or return False where the kernel refuses: another uid's, too many links."""
    durable.make_directory(path.parent)
    path.unlink(missing_ok=True)
    try:
        os.link(original, path)
    except OSError:
        return False
    return True


def _remove_foreign(directory: Path, release: Manifest) -> None:
    """Remove files that are not the release's, so that they are never published with it."""
    own = {directory / file.path for file in release.files}
    for parent, _, names in os.walk(directory):
        for name in names:
            path = Path(parent) / name
            if path not in own or path.is_symlink():
                path.unlink()
