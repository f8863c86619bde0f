"""Who is told of the events of a sync: the log here; metrics and Kubernetes listen likewise.

An event with a `level` is a line of the log, by its `name`; the others are only counted.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import FilteringBoundLogger


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        name: Its name in the log, `noun.verb`.
        level: Its level in the log; None where it is no line of the log.
    """

    name: ClassVar[str] = ""
    level: ClassVar[int | None] = logging.INFO

    def __init_subclass__(cls, *, name: str = "", level: int | None = logging.INFO) -> None:
        """Name a kind of event."""
        cls.name, cls.level = name, level

    def fields(self) -> Mapping[str, object]:
        """Return the fields of its line in the log."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Listener(Protocol):
    """One who is told of events, by whichever thread; it returns at once and raises nothing."""

    def hear(self, event: Event) -> None:
        """Take note of an event."""
        ...


class Events:
    """The listeners of one run, each of whom is told of every event.

    Args:
        listeners: In the order in which they are told.
    """

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def tell(self, event: Event) -> None:
        """Tell every listener of an event."""
        for listener in self._listeners:
            listener.hear(event)


class LogListener:
    """Writes each event that has a level as one line of the log.

    Args:
        log: The log.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log

    def hear(self, event: Event) -> None:
        """Write the event's line."""
        if event.level is not None:
            self._log.log(event.level, event.name, **event.fields())
