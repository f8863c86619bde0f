"""What happened in a pod, in order."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EVICTED = "evicted"


@dataclass(frozen=True)
class Event:
    """Something that happened to a container, or to the pod itself."""

    container: str
    what: str
    at: float


class Events:
    """A log that several threads write, and that can be waited for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._events: list[Event] = []

    def note(self, container: str, what: str) -> None:
        """Add one, and wake whoever waits."""
        with self._changed:
            self._events.append(Event(container, what, time.monotonic()))
            self._changed.notify_all()

    def all(self) -> list[Event]:
        """All until now."""
        with self._changed:
            return list(self._events)

    def of(self, container: str) -> list[str]:
        """What happened to one container."""
        return [event.what for event in self.all() if event.container == container]

    def at(self, container: str, what: str) -> float:
        """When this happened last.

        Raises:
            ValueError: it did not happen.
        """
        return max(e.at for e in self.all() if (e.container, e.what) == (container, what))

    def wait(self, happened: Callable[[], bool], *, seconds: float) -> None:
        """Wait until this holds; it is looked at after every event.

        Raises:
            TimeoutError: with all that happened instead.
        """
        with self._changed:
            if not self._changed.wait_for(happened, seconds):
                told = "\n".join(f"  {e.at:.1f} {e.container}: {e.what}" for e in self._events)
                raise TimeoutError(f"not within {seconds} s:\n{told}")
