"""The bytes of files: each an open file of its own, in memory or under a directory.

Ranges that were never written are zeros and take no space.
"""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from tests.doubles.loopback.bodies import FileSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.doubles.azure_files.ranges import ByteRange

_PIECE: Final = 1 << 20
_ZEROS: Final = bytes(_PIECE)


class Content:
    """The bytes of one file.

    Args:
        fd: An open file, readable and writable; closed with this object.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __del__(self) -> None:
        with suppress(OSError):
            os.close(self._fd)

    def write(self, offset: int, data: bytes) -> None:
        """Put `data` at `offset`."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self._fd, view, offset)
            offset, view = offset + done, view[done:]

    def clear(self, span: ByteRange) -> None:
        """Make a range zeros again."""
        for start in range(span.start, span.end, _PIECE):
            self.write(start, _ZEROS[: min(_PIECE, span.end - start)])

    def resize(self, size: int) -> None:
        """Cut, or lengthen by zeros."""
        os.ftruncate(self._fd, size)

    def read(self, span: ByteRange) -> bytes:
        """The bytes of a range."""
        return os.pread(self._fd, span.length, span.start)

    def source(self, span: ByteRange) -> FileSource:
        """A range as a body; it stays readable when the file is deleted or replaced meanwhile."""
        return FileSource(os.dup(self._fd), span.start, span.length)


class Depot(Protocol):
    """Where shares, directories and the bytes of files are kept; paths begin with the share."""

    def add_directory(self, path: tuple[str, ...]) -> None:
        """A share or a directory was created."""
        ...

    def add_file(self, path: tuple[str, ...], size: int) -> Content:
        """A file of zeros, in place of what was there."""
        ...

    def rename(self, old: tuple[str, ...], new: tuple[str, ...]) -> None:
        """A file or directory has another name; a file that had it is gone."""
        ...

    def remove(self, path: tuple[str, ...]) -> None:
        """A file, directory or share was deleted, with all that is in it."""
        ...


class MemoryDepot:
    """Keeps nothing but bytes, in anonymous memory that goes with the process."""

    def add_directory(self, path: tuple[str, ...]) -> None:
        """Nothing to keep."""

    def add_file(self, path: tuple[str, ...], size: int) -> Content:
        """A file of zeros."""
        content = Content(os.memfd_create(path[-1][:60].encode().decode("ascii", "ignore")))
        content.resize(size)
        return content

    def rename(self, old: tuple[str, ...], new: tuple[str, ...]) -> None:
        """Nothing to keep."""

    def remove(self, path: tuple[str, ...]) -> None:
        """Nothing to keep."""


class DiskDepot:
    """Keeps every share as a plain tree of directories and files under `root`.

    What is there at the start is served as if it had been uploaded. Only bytes and names are kept:
    metadata, headers, leases and which ranges were written do not outlive the process.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def add_directory(self, path: tuple[str, ...]) -> None:
        """Make the directory, unless it is there."""
        self._at(path).mkdir(exist_ok=True)

    def add_file(self, path: tuple[str, ...], size: int) -> Content:
        """A file of zeros; whoever reads the old one goes on reading that."""
        at = self._at(path)
        at.unlink(missing_ok=True)
        content = Content(os.open(at, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644))
        content.resize(size)
        return content

    def rename(self, old: tuple[str, ...], new: tuple[str, ...]) -> None:
        """Rename on disk."""
        self._at(old).replace(self._at(new))

    def remove(self, path: tuple[str, ...]) -> None:
        """Delete on disk: a file, or a directory and all in it."""
        at = self._at(path)
        if not at.is_dir():
            at.unlink(missing_ok=True)
            return
        for inner in at.iterdir():
            self.remove((*path, inner.name))
        at.rmdir()

    def found(self) -> Iterator[tuple[tuple[str, ...], int | None]]:
        """What is there: paths, parents first, and the sizes of files (None: a directory)."""
        for at in sorted(self._root.rglob("*")):
            path = at.relative_to(self._root).parts
            if at.is_dir():
                yield path, None
            elif at.is_file() and len(path) > 1:
                yield path, at.stat().st_size

    def open_file(self, path: tuple[str, ...]) -> Content:
        """A file that is there."""
        return Content(os.open(self._at(path), os.O_RDWR))

    def _at(self, path: tuple[str, ...]) -> Path:
        return self._root.joinpath(*path)


def allow_many_files() -> None:
    """Raise the limit of open files as far as it goes: every file on a share is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
