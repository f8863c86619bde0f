"""Reuses what another release's staging brought before the marker moved on.

A staging directory has its release's manifest from the begin, so that it is known later which of
its files, whole or half done, another release wants as they should become.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from agent.errors import AgentError
from agent.files import durable
from agent.release import manifest

if TYPE_CHECKING:
    from pathlib import Path

    from agent.release.manifest import Manifest


def note(directory: Path, release: Manifest) -> None:
    """Say in a staging directory what is being staged there."""
    durable.write(directory / manifest.FILE_NAME, release.encoded)


def take_over(staging: Path, release: Manifest) -> None:
    """Move files that `release` has as well to its own staging directory.

    Nothing is trusted: whoever stages it holds each of their chunks to its digest. And only files
    that should become the same are taken: a write of the old staging that hung until now still
    writes the right bytes.

    Args:
        staging: Where all staging directories are.
        release: What is staged next.
    """
    # What cannot be moved, for want of space for a directory, is fetched.
    with suppress(OSError):
        for directory in staging.iterdir():
            if directory.name != release.version:
                _take_from(directory, release, staging / release.version)


def _take_from(left: Path, release: Manifest, directory: Path) -> None:
    old = _noted(left)
    if old is None or old.chunk_size != release.chunk_size:
        return
    found = {(file.size, file.chunks): left / file.path for file in old.files}
    for file in release.files:
        source, target = found.get((file.size, file.chunks)), directory / file.path
        if source and source.is_file() and not target.exists():
            durable.make_directory(target.parent)
            source.rename(target)


def _noted(left: Path) -> Manifest | None:
    """What was being staged there; None of a release that is being deleted, and the like."""
    try:
        found = manifest.parse((left / manifest.FILE_NAME).read_bytes())
    except (OSError, AgentError):
        return None
    return found if found.version == left.name else None
