"""Events and their listeners; the log is one, metrics and Kubernetes are others.

An event with a `level` is a line in the log, under its `name`. The others are only counted.
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
        level: Its level in the log; None if it is not logged.
    """

    name: ClassVar[str] = ""
    level: ClassVar[int | None] = logging.INFO

    def __init_subclass__(cls, *, name: str = "", level: int | None = logging.INFO) -> None:
        """Set the name and the level of this kind of event."""
        cls.name, cls.level = name, level

    def fields(self) -> Mapping[str, object]:
        """Return the fields of the event's line in the log; those that are None are left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Listener(Protocol):
    """A listener of events; any thread may call it, and it returns at once and never raises."""

    def hear(self, event: Event) -> None:
        """Handle an event."""
        ...


class Events:
    """Passes every event of one run to all listeners.

    Args:
        listeners: The listeners, in the order in which they get each event.
    """

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def tell(self, event: Event) -> None:
        """Pass an event to every listener."""
        for listener in self._listeners:
            listener.hear(event)


class LogListener:
    """Writes each event that has a level as one line into the log.

    Args:
        log: The log.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log

    def hear(self, event: Event) -> None:
        """Write the event's line."""
        if event.level is not None:
            self._log.log(event.level, event.name, **event.fields())
