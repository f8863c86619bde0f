"""What files take on disk, each inode counted once, whatever names it has."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import NoSpaceError

if TYPE_CHECKING:
    from collections.abc import Sequence


def require(directory: Path, wanted: int) -> None:
    """See that `wanted` bytes can be written below `directory`.

    Raises:
        NoSpaceError: They cannot.
    """
    status = os.statvfs(directory)
    free = status.f_bavail * status.f_frsize
    if wanted > free:
        raise NoSpaceError(
            f"{directory} has {free} bytes free and the release needs {wanted}.",
            remedy="Make room there; TMPDIR says where a release for Azure Files is put together.",
        )


def own_bytes(root: Path) -> int:
    """Bytes on disk below `root` of files that have no other name."""
    return sum(blocks([root], only_own=True).values())


def blocks(roots: Sequence[Path], *, only_own: bool = False) -> dict[int, int]:
    """Bytes on disk by inode."""
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
