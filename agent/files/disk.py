"""Space that files take on disk; each inode counts once, however many names it has."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import NoSpaceError

if TYPE_CHECKING:
    from collections.abc import Sequence


def require(directory: Path, wanted: int) -> None:
    """Raise unless `wanted` bytes are free below `directory`.

    Raises:
        NoSpaceError: Fewer bytes are free.
    """
    status = os.statvfs(directory)
    free = status.f_bavail * status.f_frsize
    if wanted > free:
        raise NoSpaceError(
            f"{directory} has {free} bytes free and the release needs {wanted}.",
            remedy="Free some space there, or set TMPDIR, where releases for Azure are built.",
        )


def own_bytes(root: Path) -> int:
    """Return the bytes on disk of files below `root` that have no second name."""
    return sum(blocks([root], only_own=True).values())


def blocks(roots: Sequence[Path], *, only_own: bool = False) -> dict[int, int]:
    """Return bytes on disk by inode, of files and of all files below directories."""
    seen: dict[int, int] = {}
    for root in roots:
        walk = os.walk(root) if root.is_dir() else [("", (), (str(root),))]
        for directory, _, names in walk:
            for name in names:
                with suppress(FileNotFoundError):
                    status = (Path(directory) / name).lstat()
                    if not only_own or status.st_nlink == 1:
                        seen[status.st_ino] = status.st_blocks * 512
    return seen
