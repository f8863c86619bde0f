"""What the agent asks of a share: four reads, and what `publish` and `promote` write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.adopt import Tree


class Reader(Protocol):
    """One open file of a share."""

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`; give the bytes read, fewer only at the end of the file.

        Raises:
            UnreachableError: The share does not answer.
        """
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class Share(Protocol):
    """A place that holds a marker and releases.

    Every call may take long or never return, so callers make them in threads with a deadline. Paths
    are relative, `/`-separated and already checked. All raise `UnreachableError` where the share
    does not answer; that is never mixed up with a file that is not there.
    """

    @property
    def address(self) -> str:
        """What `--share` said, for people."""
        ...

    def read(self, path: str, limit: int) -> bytes | None:
        """The first `limit` + 1 bytes of a small file, fresh from the share; None if there is none.

        One open, one read, one close: on CIFS a `stat` may be 30 s old, while `open` asks again.
        """
        ...

    def names(self, path: str) -> tuple[str, ...]:
        """The names in a directory, sorted; none if it is not there."""
        ...

    def tree(self, paths: tuple[str, ...]) -> Tree:
        """Everything below the directories `paths`, as far as they are there."""
        ...

    def open(self, path: str) -> Reader:
        """Open a file for reading at offsets.

        Raises:
            ReleaseMissingError: It is not there.
        """
        ...

    def write(self, path: str, data: bytes) -> None:
        """Replace a small file by `data`, so that readers see the old bytes or the new, whole."""
        ...

    def publish(self, version: str, make: Callable[[Path], None]) -> None:
        """Let `make` fill an empty directory, then make it `releases/<version>` in one step.

        Nothing is visible to readers before that, and nothing is left if `make` fails.

        Raises:
            RefusedError: Another publisher was first.
        """
        ...
