"""Reads the active release again, a little at a time, to find files that rotted in the store.

A file that is gone, or has another size or time, is found by looking at it, at every poll. A bit
that flipped is found only by reading, which is spread over an interval, so that nobody feels it.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.store import intact, records

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from agent.release.manifest import File, Manifest
    from agent.store.records import Look
    from agent.store.store import Store

# A chunk: a file of a release, and the chunk's number in it.
Piece = tuple["File", int]


@dataclass(frozen=True)
class Seen:
    """The result of one look.

    Attributes:
        wrong: Files with wrong bytes, or with a view that is another file.
        right: Files that changed and have the right bytes: inode, size and times of each, taken
            before it was read.
        finished: Whether all of the release has been read since the round began.
    """

    wrong: tuple[str, ...] = ()
    right: Mapping[str, Look] = field(default_factory=dict)
    finished: bool = False


@dataclass
class _Round:
    """One reading of all of a release.

    It begins at a random chunk: rounds that are always cut short read all of it in the end.
    """

    release: Manifest
    pieces: list[Piece]
    began: float
    done: int = 0

    @classmethod
    def of(cls, release: Manifest) -> _Round:
        pieces = [(f, i) for f in release.files for i in range(intact.count(release, f))]
        first = random.randrange(len(pieces))  # noqa: S311 - no secret
        return cls(release, pieces[first:] + pieces[:first], time.monotonic())

    def take(self, interval: float) -> list[Piece]:
        """Return the chunks that are due now."""
        due = len(self.pieces) * (time.monotonic() - self.began) / interval
        taken = self.pieces[self.done : int(due)]
        self.done += len(taken)
        return taken


class Reverifier:
    """Looks at one release, again and again.

    Args:
        store: Where it is.
        interval: Seconds in which all of it is read once.
    """

    def __init__(self, store: Store, interval: float) -> None:
        self._store = store
        self._interval = interval
        self._round: _Round | None = None

    def look(self, version: str, stop: threading.Event) -> Seen:
        """Look at a release of the store that is on record as verified.

        Wrong files are rarely alone: if one is wrong, all of the release is read at once, so that
        one repair is enough.

        Raises:
            AgentError: Its manifest is not there or not sound.
            StoppedError: `stop` was set.
        """
        release, home = self._store.manifest(version), self._store.path(version)
        current = self._round
        if current is None or current.release.digest != release.digest:
            current = self._round = _Round.of(release)
        changed = {file: records.look(home / file.path) for file in _changed(self._store, release)}
        pieces = current.take(self._interval)
        if all(intact.is_right(release, home, *piece) for piece in pieces) and all(
            intact.is_intact(release, home, file, stop) for file in changed
        ):
            finished = current.done == len(current.pieces)
            self._round = None if finished else current
            looks = {file.path: look for file, look in changed.items()}
            return Seen(right=looks, finished=finished)
        self._round = None
        files = release.files
        wrong = (file.path for file in files if not intact.is_intact(release, home, file, stop))
        return Seen(wrong=tuple(wrong))


def _changed(store: Store, release: Manifest) -> list[File]:
    """Return the files that look otherwise than when they were verified, or that lost a view."""
    home = store.path(release.version)
    trusted = {file.path for file in records.trusted(store.agent, release, home)}
    lost = set(intact.lost_views(release, home).values())
    return [file for file in release.files if file.path not in trusted or file.path in lost]
