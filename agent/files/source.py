"""Where bytes are read from: a file at a time, at offsets, from several threads."""

from __future__ import annotations

from typing import Protocol


class Reader(Protocol):
    """One open file of a share."""

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`; give the bytes read, fewer only at the end of the file.

        Raises:
            UnreachableError: The share does not answer.
            ReleaseMissingError: The file is not there.
        """
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...
