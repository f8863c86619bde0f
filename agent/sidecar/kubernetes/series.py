"""Counts repeated notices as one Event, as Kubernetes' own recorder does.

In client-go's `tools/events` the second occurrence turns an Event into a series. Later ones are
counted, and the count is written from time to time. A series ends after a long pause.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.sidecar.kubernetes.notices import Notice

# Longer than the longest back-off of the agent.
ENDED_SECONDS: Final = 600.0
# The time between two updates of one series. The next update has the count of all in between.
UPDATE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Event:
    """An Event to create, or an existing one whose count changes.

    Attributes:
        name: The Event's name in the cluster.
        notice: The Event's content.
        count: The number of occurrences; if it is more than 1, the Event exists already.
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
    """Counts repeated notices, and decides which of them are written.

    Args:
        name: Returns the name of a new Event.
    """

    def __init__(self, name: Callable[[], str]) -> None:
        self._name = name
        self._running: dict[str, _Running] = {}

    def next(self, notice: Notice, now: float) -> Event | None:
        """Return the Event to write for a notice at `now` seconds; None if it is only counted."""
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
