"""Sends events to the API server, in its own thread, so that nobody waits for it."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import wait
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from agent.errors import ConfigError
from agent.machine import threads
from agent.sidecar.kubernetes import notices
from agent.sidecar.kubernetes.client import AwayError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from agent.sidecar.kubernetes.client import Api
    from agent.sidecar.kubernetes.series import Event, Series
    from agent.sync.listening import Event as SyncEvent

# The longest queue of events. If the API server is away for long, the oldest are dropped.
_AT_MOST: Final = 100
_FIRST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 60.0
_REMEDY: Final = (
    "Give the pod's ServiceAccount the Role of k8s/components/events, or leave "
    "--kubernetes-events out. Everything else goes on."
)


@dataclass
class _Letter:
    told: SyncEvent
    at: datetime
    clock: float
    event: Event | None = None

    def read(self, series: Series) -> Event | None:
        """Return the Event to write, or None; it is counted once, however often it is tried."""
        if self.event is None and (notice := notices.of(self.told)):
            self.event = series.next(notice, self.clock)
        return self.event


class Courier:
    """Sends events in order, and the active release that the last of them names.

    Args:
        connect: Returns an API; called again after a failure, because certificates change.
        series: Counts repeated notices as one Event.
        log: Receives a failure once, and the recovery.

    Raises:
        ConfigError: The API server cannot be found.
    """

    def __init__(
        self, connect: Callable[[], Api], series: Series, log: FilteringBoundLogger
    ) -> None:
        self._connect = connect
        self._series = series
        self._log = log
        self._letters: deque[_Letter] = deque(maxlen=_AT_MOST)
        self._active: str | None = None
        self._annotated = True
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._refused: set[str] = set()
        self._failures = 0
        self._api: Api | None = connect()
        self._ended = threads.start(self._run)

    def hear(self, event: SyncEvent) -> None:
        """Queue an event, if Kubernetes gets a notice of its kind; any thread may call it."""
        changes, matters = notices.changes_active(event), notices.matters(event)
        if not changes and not matters:
            return
        with self._changed:
            if changes:
                self._active, self._annotated = notices.active(event), False
            if matters:
                self._letters.append(_Letter(event, datetime.now(UTC), time.monotonic()))
            self._changed.notify()

    def close(self, seconds: float) -> None:
        """End the thread; the rest of the queue is sent within `seconds`, or dropped."""
        with self._changed:
            self._closing.set()
            self._changed.notify()
        wait([self._ended], timeout=seconds)

    def _run(self) -> None:
        try:
            while self._wait():
                self._tell_all_or_rest()
        except Exception:  # noqa: BLE001 - at the top of the thread: the agent goes on without it
            self._log.exception("kubernetes.ended")
        finally:
            self._drop_api()

    def _tell_all_or_rest(self) -> None:
        try:
            self._tell_all()
        except (AwayError, ConfigError) as error:
            self._away(error)

    def _drop_api(self) -> None:
        if self._api:
            self._api.close()
            self._api = None

    def _wait(self) -> bool:
        """Wait until there is something to send; return false at the end.

        At the end the rest is sent only if the API server answered last time.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_behind() or self._closing.is_set())
            return self._is_behind() and not (self._closing.is_set() and self._failures)

    def _is_behind(self) -> bool:
        return bool(self._letters) or not self._annotated

    def _tell_all(self) -> None:
        while self._is_behind():
            self._api = self._api or self._connect()
            if self._annotated:
                letter = self._letters[0]
                self._try("Events", self._write, self._api, letter)
                with self._changed:
                    # The full queue may have dropped it in the meantime, for a newer one.
                    if self._letters and self._letters[0] is letter:
                        self._letters.popleft()
            else:
                active = self._active
                self._try("the annotation", self._api.annotate, active)
                with self._changed:
                    self._annotated = self._active == active

    def _write(self, api: Api, letter: _Letter) -> None:
        if event := letter.read(self._series):
            api.write(event, letter.at)

    def _try(self, what: str, call: Callable[..., None], *args: object) -> None:
        try:
            call(*args)
        except RefusedError as error:
            if what not in self._refused:
                self._refused.add(what)
                reason = f"{what} are refused" if what == "Events" else f"{what} is refused"
                self._log.warning("kubernetes.refused", reason=f"{reason}: {error}", remedy=_REMEDY)
        if self._failures:
            self._failures = 0
            self._log.info("kubernetes.reachable")

    def _away(self, error: Exception) -> None:
        if not self._failures:
            self._log.warning("kubernetes.unreachable", reason=str(error))
        self._drop_api()
        self._failures += 1
        self._closing.wait(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (self._failures - 1)))
