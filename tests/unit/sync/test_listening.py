"""Who is told of events, in which order, and what becomes a line of the log."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from structlog.testing import capture_logs

from agent import logs
from agent.sync.listening import Event, Events, LogListener


@dataclass(frozen=True)
class Baked(Event, name="bread.baked", level=logging.WARNING):
    """Bread is ready."""

    loaves: int
    burnt: str | None = None


class Smelt(Event, level=None):
    """Somebody noticed."""


class Namer:
    """A listener that writes down who heard what."""

    def __init__(self, name: str, heard: list[tuple[str, Event]]) -> None:
        self._name = name
        self._heard = heard

    def hear(self, event: Event) -> None:
        """Write it down."""
        self._heard.append((self._name, event))


def test_every_listener_is_told_in_order() -> None:
    """Each hears every event; who stands first hears it first."""
    heard: list[tuple[str, Event]] = []
    told = Events(Namer("one", heard), Namer("two", heard))
    first, second = Baked(2), Smelt()
    told.tell(first)
    told.tell(second)
    assert heard == [("one", first), ("two", first), ("one", second), ("two", second)]


def test_a_line_of_the_log() -> None:
    """It has the event's name, level and fields; a field that is None is left out."""
    with capture_logs() as said:
        LogListener(logs.get()).hear(Baked(0))
        LogListener(logs.get()).hear(Baked(2, "one side"))
    line = {"event": "bread.baked", "log_level": "warning"}
    assert said == [line | {"loaves": 0}, line | {"loaves": 2, "burnt": "one side"}]


def test_an_event_without_a_level() -> None:
    """It is no line of the log."""
    with capture_logs() as said:
        LogListener(logs.get()).hear(Smelt())
    assert said == []
