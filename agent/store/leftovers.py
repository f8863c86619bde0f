"""Reuses files that another release's staging fetched before the marker moved on.

A staging directory holds its release's manifest from the start: so it is known which file each of
its files is, or was to become.
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
    """Write the manifest of the release that is being staged into its staging directory."""
    durable.write(directory / manifest.FILE_NAME, release.encoded)


def take_over(staging: Path, release: Manifest) -> None:
    """Move files that `release` has as well to its own staging directory.

    Nothing is trusted: each of their chunks is held to its digest when the release is staged. Only
    files that should become the same are moved, so that a write of the old staging that hung until
    now still writes right bytes.

    Args:
        staging: The directory of all staging directories.
        release: The release that is staged next.
    """
    # A file that cannot be moved, because a full volume takes no directory, is fetched.
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
    """Return the release that was being staged there; None where that is not known.

    A directory that is being deleted has another name than its release.
    """
    try:
        found = manifest.parse((left / manifest.FILE_NAME).read_bytes())
    except (OSError, AgentError):
        return None
    return found if found.version == left.name else None
