"""Reads the active release again, a little at a time, so that what rots in a store is found.

A file that is gone, or has another size or time, is seen by looking at it, which is done at every
poll. A bit that flipped under them is seen only by reading: a chunk now and then, so that all of
them come by once an interval, and nobody feels it.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.errors import StoppedError
from agent.files import verify
from agent.files.source import LocalSource
from agent.release import layout
from agent.release.manifest import chunk_count
from agent.store import records

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping
    from pathlib import Path

    from agent.release.manifest import File, Manifest
    from agent.store.store import Store

Piece = tuple["File", int]


@dataclass(frozen=True)
class Seen:
    """What a look found: files with wrong bytes, right files that changed, a round that ended.

    Of right files it has how they looked before they were read.
    """

    wrong: tuple[str, ...] = ()
    right: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    finished: bool = False


@dataclass
class _Round:
    """One reading of all of a release, from a random chunk on: a round may be cut short."""

    release: Manifest
    pieces: list[Piece]
    began: float
    done: int = 0

    @classmethod
    def of(cls, release: Manifest) -> _Round:
        pieces = [(f, i) for f in release.files for i in range(_count(f, release.chunk_size))]
        first = random.randrange(len(pieces))  # noqa: S311 - no secret
        return cls(release, pieces[first:] + pieces[:first], time.monotonic())

    def take(self, interval: float) -> list[Piece]:
        """What is due now."""
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
        """Look at a release of the store, which has a record of being verified.

        What is wrong is rarely alone: if anything is, then all of the release is read at once, so
        that one repair is enough.

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
        if all(_is_right(release, home, piece) for piece in pieces) and all(
            is_whole(release, home, file, stop) for file in changed
        ):
            finished = current.done == len(current.pieces)
            self._round = None if finished else current
            looks = {file.path: look for file, look in changed.items()}
            return Seen(right=looks, finished=finished)
        self._round = None
        wrong = (file for file in release.files if not is_whole(release, home, file, stop))
        return Seen(wrong=tuple(file.path for file in wrong))


def is_whole(release: Manifest, home: Path, file: File, stop: threading.Event) -> bool:
    """Whether a file of a release has the bytes that it should have, and so have its views.

    Raises:
        StoppedError: `stop` was set.
    """
    return not astray(release, home, file) and has_right_bytes(release, home, file, stop)


def has_right_bytes(release: Manifest, home: Path, file: File, stop: threading.Event) -> bool:
    """Whether a file of a release, which is no link to one, has the bytes that it should have.

    Raises:
        StoppedError: `stop` was set.
    """
    if records.look(home / file.path)[1] != file.size:
        return False
    for index in range(_count(file, release.chunk_size)):
        if stop.is_set():
            raise StoppedError
        if not _is_right(release, home, (file, index)):
            return False
    return True


def astray(release: Manifest, home: Path, file: File) -> tuple[str, ...]:
    """The views of a file that are not the same file."""
    inode = records.look(home / file.path)[0]
    views = (view for view, path in layout.views(release).items() if path == file.path)
    return tuple(view for view in views if records.look(home / view)[0] != inode)


def _changed(store: Store, release: Manifest) -> list[File]:
    """Files that do not look as they did when they were verified, or whose views do not."""
    home = store.path(release.version)
    trusted = {file.path for file in records.trusted(store.agent, release, home)}
    views = layout.views(release)
    lost = {
        path
        for view, path in views.items()
        if records.look(home / view)[0] != records.look(home / path)[0]
    }
    return [file for file in release.files if file.path not in trusted or file.path in lost]


def _is_right(release: Manifest, home: Path, piece: Piece) -> bool:
    return verify.is_right(release, LocalSource(home), "", *piece)


def _count(file: File, chunk_size: int) -> int:
    return max(1, chunk_count(file.size, chunk_size))
