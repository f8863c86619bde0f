"""The same trouble again and again is one Event with a count, as Kubernetes' own recorder does it.

(client-go's `tools/events`: the second occurrence makes a series of the Event, later ones are
counted and written now and then; a series that paused for long has ended.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.sidecar.kubernetes.notices import Notice

# Longer than the longest back-off of the agent.
ENDED_SECONDS: Final = 600.0
# Between two updates of one series. What comes in between is in the next one's count.
UPDATE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Event:
    """An Event to create, or one that is there and gets another count.

    Attributes:
        name: What it is called in the cluster.
        notice: What it says.
        count: How often it happened; more than 1: it is there already.
    """

    name: str
    notice: Notice
    count: int = 1


@dataclass
class _Running:
    name: str
    last: float
    written: float
    count: int = 1


class Series:
    """Tells what is new from what goes on.

    Args:
        name: Makes the name of a new Event.
    """

    def __init__(self, name: Callable[[], str]) -> None:
        self._name = name
        self._running: dict[str, _Running] = {}

    def next(self, notice: Notice, now: float) -> Event | None:
        """What to write for a notice at `now` seconds; None if it is counted only."""
        fresh = now - ENDED_SECONDS
        self._running = {same: one for same, one in self._running.items() if one.last > fresh}
        running = self._running.get(notice.same or "")
        if running is None:
            return self._begin(notice, now)
        running.count, running.last = running.count + 1, now
        if running.count > 2 and now - running.written < UPDATE_SECONDS:  # noqa: PLR2004 - a series
            return None
        running.written = now
        return Event(running.name, notice, running.count)

    def _begin(self, notice: Notice, now: float) -> Event:
        name = self._name()
        if notice.same:
            self._running[notice.same] = _Running(name, now, now)
        return Event(name, notice)
