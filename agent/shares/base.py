"""The interface of a share: what the agent reads, and what `publish`, `promote`, `prune` write."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from agent.files.source import Source

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from agent.release.manifest import Manifest
    from agent.release.tree import Tree
    from agent.shares.lock import LockFile

STAGING: Final = ".staging"
LOCKS: Final = ".locks"

_TRASH: Final = ".trash"
_STAGED = re.compile(rf"(.+)-[0-9a-f]{{8}}(?:{re.escape(_TRASH)})?")


def staging_path(version: str) -> str:
    """Return a new path in `.staging` to build `version` in; no other publisher gets the same."""
    return f"{STAGING}/{version}-{secrets.token_hex(4)}"


def trash_path(version: str) -> str:
    """Return a new path in `.staging` to rename a directory to just before it is deleted.

    After the rename readers see nothing of it, however long the deletion takes.
    """
    return staging_path(version) + _TRASH


def staged_version(name: str) -> str | None:
    """Return the version that a directory in `.staging` was made for; None if it is not ours."""
    match = _STAGED.fullmatch(name)
    return match[1] if match else None


def is_trash(name: str) -> bool:
    """Return true if a directory in `.staging` waits to be deleted."""
    return name.endswith(_TRASH)


@dataclass(frozen=True)
class Publication:
    """A release that is being published to a share.

    Attributes:
        version: The release's version.
        make: Fills an empty directory with the release, its manifest last, and returns the
            manifest.
        check: Raises if another publisher has the lock. Called last before the commit.
        stop: Ends the publication early.
    """

    version: str
    make: Callable[[Path], Manifest]
    check: Callable[[], None]
    stop: threading.Event


class Share(Source, Protocol):
    """A place that holds a marker and releases.

    Every call may take long or never return, so callers make them in threads with a deadline. Paths
    are relative, `/`-separated and already checked. All methods raise `UnreachableError` if the
    share does not answer; a missing file is never reported that way.
    """

    def read(self, path: str, limit: int) -> bytes | None:
        """Return the first `limit` + 1 bytes of a small file; None if there is no such file.

        The bytes come from the share, not from a cache. It takes one open, one read and one close:
        on CIFS the answer of `stat` may be 30 s old, while `open` asks the server again.

        Raises:
            VerificationError: It is something else than a file.
        """
        ...

    def names(self, path: str) -> tuple[str, ...]:
        """Return the names in a directory, sorted; empty if there is none, or if it is a file."""
        ...

    def tree(self, paths: tuple[str, ...]) -> Tree:
        """Return the directories `paths` and all below them; a missing one adds nothing."""
        ...

    def hole(self, path: str, size: int, piece: int) -> int | None:
        """Return where the first piece of a file begins of which nothing was ever written.

        Args:
            path: The file.
            size: Its bytes.
            piece: The bytes of a piece; each begins at a multiple of them.

        Returns:
            None if there is no such piece, or if the share cannot tell without reading.
        """
        ...

    def write(self, path: str, data: bytes) -> None:
        """Replace a small file by `data`; readers see all of the old bytes or all of the new."""
        ...

    def lock_file(self, name: str) -> LockFile:
        """Return the lock file that decides which publisher goes first; see `lock.held`."""
        ...

    def publish(self, publication: Publication) -> None:
        """Build the release, then make it visible as `releases/<version>` in one step.

        Readers see nothing of it before that step. The caller holds the lock for this version, so
        whatever an earlier publisher of it left in `.staging` is reused or deleted. If another has
        published the very same release meanwhile, that is as good.

        Raises:
            RefusedError: Another publisher was first, with other content, or has the lock now.
            VerificationError: The share does not return the bytes that were written.
        """
        ...

    def remove(self, path: str) -> None:
        """Delete a directory: it disappears in one step, its bytes are deleted afterwards.

        A file in `.staging` is deleted as well: a `promote` that was killed may have left one.
        """
        ...

    def tidy(self) -> None:
        """Delete `.staging` if it is empty; a publisher that was killed at its end leaves it."""
        ...
