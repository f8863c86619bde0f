"""What the agent asks of a share: reads, and what `publish`, `promote` and `prune` write."""

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
    """Where to put `version` together: a name that no other publisher has, or will have."""
    return f"{STAGING}/{version}-{secrets.token_hex(4)}"


def trash_path(version: str) -> str:
    """Where to rename what is deleted next, so that it is gone in one step."""
    return staging_path(version) + _TRASH


def staged_version(name: str) -> str | None:
    """The version that a directory in `.staging` is, or was to be; None if it is not ours."""
    match = _STAGED.fullmatch(name)
    return match[1] if match else None


def is_trash(name: str) -> bool:
    """Whether a directory in `.staging` waits to be deleted."""
    return name.endswith(_TRASH)


@dataclass(frozen=True)
class Publication:
    """A release on its way to a share.

    Attributes:
        version: What it is called.
        make: Fills an empty directory with it, its manifest last, and gives the manifest.
        check: Raises once another publisher has the lock; the last thing before the commit.
        stop: Ends it early.
    """

    version: str
    make: Callable[[Path], Manifest]
    check: Callable[[], None]
    stop: threading.Event


class Share(Source, Protocol):
    """A place that holds a marker and releases.

    Every call may take long or never return, so callers make them in threads with a deadline. Paths
    are relative, `/`-separated and already checked. All raise `UnreachableError` where the share
    does not answer; that is never mixed up with a file that is not there.
    """

    def read(self, path: str, limit: int) -> bytes | None:
        """The first `limit` + 1 bytes of a small file, fresh from the share; None if there is none.

        One open, one read, one close: on CIFS a `stat` may be 30 s old, while `open` asks again.

        Raises:
            VerificationError: It is something else than a file.
        """
        ...

    def names(self, path: str) -> tuple[str, ...]:
        """The names in a directory, sorted; none if it is not there, or is a file."""
        ...

    def tree(self, paths: tuple[str, ...]) -> Tree:
        """The directories `paths` and everything below them, as far as they are there."""
        ...

    def write(self, path: str, data: bytes) -> None:
        """Replace a small file by `data`, so that readers see the old bytes or the new, whole."""
        ...

    def lock_file(self, name: str) -> LockFile:
        """What publishers agree by who of them goes first; see `agent.shares.lock.held`."""
        ...

    def publish(self, publication: Publication) -> None:
        """Have the release made, then make it `releases/<version>` in one step.

        Nothing is visible to readers before that. The caller holds the lock for this version, so
        whatever an earlier publisher of it left in `.staging` is used or deleted. If another has
        published the very same release meanwhile, that is as good.

        Raises:
            RefusedError: Another publisher was first, with other content, or has the lock now.
            VerificationError: The share does not give back what was written.
        """
        ...

    def remove(self, path: str) -> None:
        """Delete a directory with all that is in it: gone in one step, its bytes soon after.

        A file in `.staging` is deleted as well: a `promote` that was killed may have left one.
        """
        ...

    def tidy(self) -> None:
        """Delete `.staging` if it is empty, as a publisher that was killed at its end leaves it."""
        ...
