"""Holds releases of a store to their manifests: every byte, and the views of every file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.errors import StoppedError, VerificationError
from agent.files import verify
from agent.files.source import LocalSource
from agent.release import layout
from agent.release.manifest import chunk_count
from agent.store.records import look

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from agent.release.manifest import File, Manifest

_REMEDY: Final = "The release is staged again from the share."


def require(
    release: Manifest,
    home: Path,
    *,
    stop: threading.Event,
    log: FilteringBoundLogger,
    whole: bool = False,
) -> None:
    """Hash every byte of a release, and see that its views are the same files.

    Args:
        release: What should be there.
        home: The release's directory.
        stop: Ends it early.
        log: Told of progress.
        whole: Whether to compare the digest of each whole file too; see `agent.files.verify`.

    Raises:
        VerificationError: A file or a view is missing, or is not what the manifest says.
        StoppedError: `stop` was set.
    """
    for file in release.files:
        if look(home / file.path)[1] != file.size:
            what = f"{file.path} of {home.name} in the store is missing or has another size."
            raise VerificationError(what, remedy=_REMEDY)
    for view, path in lost_views(release, home).items():
        what = f"{view} of {home.name} in the store is not the same file as {path}."
        raise VerificationError(what, remedy=_REMEDY)
    verify.verify(release, LocalSource(home), "", stop=stop, log=log, whole=whole)


def is_intact(release: Manifest, home: Path, file: File, stop: threading.Event) -> bool:
    """Return whether a file of a release has its right bytes, and its views are the same file.

    Raises:
        StoppedError: `stop` was set.
    """
    lost = file.path in lost_views(release, home).values()
    return not lost and has_right_bytes(release, home, file, stop)


def has_right_bytes(release: Manifest, home: Path, file: File, stop: threading.Event) -> bool:
    """Return whether a file of a release is a regular file with its right bytes.

    Raises:
        StoppedError: `stop` was set.
    """
    if look(home / file.path)[1] != file.size:
        return False
    for index in range(count(release, file)):
        if stop.is_set():
            raise StoppedError
        if not is_right(release, home, file, index):
            return False
    return True


def is_right(release: Manifest, home: Path, file: File, index: int) -> bool:
    """Return whether one chunk of a file has its right bytes."""
    return verify.is_right(release, LocalSource(home), "", file, index)


def count(release: Manifest, file: File) -> int:
    """Return the number of reads that cover a file: its chunks; one for an empty file."""
    return max(1, chunk_count(file.size, release.chunk_size))


def lost_views(release: Manifest, home: Path) -> dict[str, str]:
    """Return the views that are not the same file as their original, each with the original."""
    views = layout.views(release).items()
    return {view: path for view, path in views if look(home / view)[0] != look(home / path)[0]}
