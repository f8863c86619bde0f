"""Writes that survive a crash: whole or not at all, and on disk when they return."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

# One volume, one fsGroup, any uid: hard links to another uid's files need group write
# (fs.protected_hardlinks).
FILE_MODE: Final = 0o664
DIRECTORY_MODE: Final = 0o775


def write(path: Path, data: bytes) -> None:
    """Replace `path` by `data`: readers see the old bytes or the new, also after a crash."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, FILE_MODE)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def link(path: Path, target: str) -> None:
    """Make `path` a symbolic link to `target` in one step, whatever stood there before.

    The temporary name is random: two agents, or a crash before, never meet on it.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    temporary.symlink_to(target)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Put a directory's entries on disk, so that a rename in it survives a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # SMB and FUSE mounts answer EINVAL: they have no such thing, and nothing better exists.
        with suppress(OSError):
            os.fsync(fd)
    finally:
        os.close(fd)


def sync_tree(root: Path) -> None:
    """Put the entries of every directory under `root` on disk; writers sync their files."""
    for directory, _, _ in os.walk(root):
        sync_directory(root / directory)


def make_directory(path: Path) -> None:
    """Make `path` and its parents, writable by the group."""
    for directory in reversed([path, *path.parents]):
        if not directory.exists():
            with suppress(FileExistsError):
                directory.mkdir(mode=DIRECTORY_MODE)
                directory.chmod(DIRECTORY_MODE)
