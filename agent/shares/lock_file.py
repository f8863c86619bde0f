"""A lock file that only one can create: on a local disk, on NFS and on SMB alike.

Nothing else of POSIX locking can be relied on there: with `nobrl` every client's `flock` succeeds.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from agent.files import durable
from agent.shares import lock_holder as holders
from agent.shares.base import LOCKS
from agent.shares.lock import LockLostError
from agent.shares.lock_holder import RECORD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path


class ExclusiveFile:
    """See `agent.shares.lock.LockFile` for what each method promises.

    Args:
        root: The share.
        name: Of the lock file.
        errors: Turns an operating system's error about a path into one of ours.
    """

    def __init__(
        self, root: Path, name: str, errors: Callable[[str], AbstractContextManager[None]]
    ) -> None:
        self.path = f"{LOCKS}/{name}"
        self._root = root
        self._file = root / self.path
        self._errors = errors
        self._id = ""

    def look(self) -> bytes | None:
        """Read it, by open, read and close."""
        with self._errors(self.path):
            try:
                fd = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                if not self._root.is_dir():
                    raise
                return None
            with os.fdopen(fd, "rb") as file:
                return file.read(RECORD_BYTES)

    def take(self, seen: bytes | None, record: bytes, *, force: bool = False) -> bool:
        """Create it; a dead holder's is deleted first."""
        with self._errors(self.path):
            # Not `exist_ok`, which fails if whoever leaves deletes the directory just then.
            with suppress(FileExistsError):
                self._file.parent.mkdir()
            if seen is not None and not self._clear(seen, record, force=force):
                return False
            self._id = _id(record)
            return _create(self._file, record)

    def beat(self, record: bytes) -> None:
        """Write in place, if the file is ours; it is never made anew."""
        held = self.look()
        if held is None or _id(held) != self._id:
            raise LockLostError(
                f"Another publisher took {self.path}: this one was silent for too long.",
                remedy="Publish again.",
            )
        with self._errors(self.path):
            fd = os.open(self._file, os.O_WRONLY | os.O_CLOEXEC)
            with os.fdopen(fd, "wb") as file:
                file.write(record)

    def release(self) -> None:
        """Delete it, if it is ours."""
        held = self.look()
        if held is not None and _id(held) == self._id:
            with self._errors(self.path), suppress(FileNotFoundError):
                self._file.unlink()
        with suppress(OSError):
            self._file.parent.rmdir()

    def _clear(self, seen: bytes, record: bytes, *, force: bool) -> bool:
        """Delete the file of a dead holder, and never one that another has made since.

        Between a look and a deletion another may do both and take the lock. So only whoever creates
        the dead holder's tombstone may delete its file.
        """
        tombstone = self._file.with_name(f".{self._file.name}.{_id(seen)}")
        if not _create(tombstone, record):
            self._sweep(tombstone, force=force)
            return False
        try:
            if self.look() != seen:
                return False
            self._file.unlink(missing_ok=True)
        finally:
            tombstone.unlink(missing_ok=True)
        return True

    def _sweep(self, tombstone: Path, *, force: bool) -> None:
        """Delete the tombstone of one who died at the grave."""
        with suppress(FileNotFoundError):
            digger = holders.parse(tombstone.read_bytes())
            if force or (digger and digger.is_gone()):
                tombstone.unlink()


def _create(path: Path, record: bytes) -> bool:
    """Make a file that is not there; False if it is."""
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(path, flags, durable.FILE_MODE)
    except (FileExistsError, FileNotFoundError):  # another's, or who left took .locks along
        return False
    with os.fdopen(fd, "wb") as file:
        file.write(record)
    return True


def _id(record: bytes) -> str:
    holder = holders.parse(record)
    return holder.id if holder else ""
