"""A lock file on a mounted share: creating a file is exclusive on local disks, NFS and SMB alike.

POSIX locks cannot be relied on there: with the mount option `nobrl` each client's `flock` succeeds.
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
    """A lock file that only one publisher can create; see `agent.shares.lock.LockFile`.

    Args:
        root: The share's directory.
        name: The lock file's name.
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
        """Return the record with one open, one read and one close; None if there is no file."""
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
        """Create the file; a dead holder's file is deleted first."""
        with self._errors(self.path):
            # Not `exist_ok`: it fails if the last holder deletes the directory just then.
            with suppress(FileExistsError):
                self._file.parent.mkdir()
            if seen is not None and not self._clear(seen, record, force=force):
                return False
            self._id = _id(record)
            return _create(self._file, record)

    def beat(self, record: bytes) -> None:
        """Overwrite the record in place, if the file is ours; a missing file is not created."""
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
        """Delete the file, if it is ours."""
        held = self.look()
        if held is not None and _id(held) == self._id:
            with self._errors(self.path), suppress(FileNotFoundError):
                self._file.unlink()
        with suppress(OSError):
            self._file.parent.rmdir()

    def _clear(self, seen: bytes, record: bytes, *, force: bool) -> bool:
        """Delete a dead holder's file; return false if another publisher was first.

        Between our look and our deletion another publisher may do both and take the lock, and we
        would delete its new file. So only the creator of the dead holder's tombstone, a second
        file, may delete the lock file.
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
        """Delete a tombstone whose creator was killed before it deleted the lock file."""
        with suppress(FileNotFoundError):
            creator = holders.parse(tombstone.read_bytes())
            if force or (creator and creator.is_gone()):
                tombstone.unlink()


def _create(path: Path, record: bytes) -> bool:
    """Create a file with `record` in it; return false if it exists already."""
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(path, flags, durable.FILE_MODE)
    # Another publisher created it, or the one that just left deleted `.locks`.
    except (FileExistsError, FileNotFoundError):
        return False
    with os.fdopen(fd, "wb") as file:
        file.write(record)
    return True


def _id(record: bytes) -> str:
    holder = holders.parse(record)
    return holder.id if holder else ""
