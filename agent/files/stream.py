"""A file of a source as a stream that can be read from anywhere."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.files.source import Reader, Source

# Formats are told by a few bytes here and there: each read may be a request.
_BUFFER_BYTES: Final = 64 * 1024


@contextmanager
def opened(source: Source, path: str, size: int) -> Iterator[BinaryIO]:
    """Give a stream of the file at `path`, which has `size` bytes.

    Raises:
        AgentError: As `Source.open` and `Reader.read_into` raise, while it is read.
    """
    reader = source.open(path)
    try:
        yield io.BufferedReader(_Raw(reader, size), _BUFFER_BYTES)
    finally:
        reader.close()


class _Raw(io.RawIOBase):
    """The file without a buffer: each read is one of the source."""

    def __init__(self, reader: Reader, size: int) -> None:
        super().__init__()
        self._reader = reader
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to an offset, and return it."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = start + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` from where it stands."""
        done = self._reader.read_into(memoryview(buffer).cast("B"), self._at)
        self._at += done
        return done
