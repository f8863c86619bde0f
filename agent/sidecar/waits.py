"""Keeps on record what a sidecar waits for, and says in the log, once, that a wait lasts long."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.machine.clock import utc_now
from agent.sync import state
from agent.sync.waiting import ReloadWaiting, WorkerAbsent, WorkerAnswers, WorkerSilent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.sidecar.worker_client import Fault
    from agent.sync.listening import Events
    from agent.sync.record import Record
    from agent.sync.waiting import Waiting

LONG_SECONDS: Final = 15.0


@dataclass
class _Open:
    event: Waiting
    began: float
    timer: asyncio.TimerHandle
    told: bool = False


class Waits:
    """The waits for one worker.

    Args:
        url: The worker's admin listener.
        record: The state on disk, which shows the wait that counts.
        told: The listeners of events.
        after: The seconds after which a wait is told of, once.
    """

    def __init__(
        self, url: str, record: Record, told: Events, *, after: float = LONG_SECONDS
    ) -> None:
        self._url = url
        self._record = record
        self._events = told
        self._after = after
        self._silence: _Open | None = None
        self._reload: _Open | None = None

    def looked(self, fault: Fault | None, seconds: float) -> None:
        """Take in how a request to the worker ended, which began `seconds` ago."""
        if fault is None:
            self._answered()
            return
        kind = WorkerSilent if fault.listens else WorkerAbsent
        if self._silence:
            since = self._silence.event.since
            self._silence.event = kind(self._url, since, fault.reason)
        else:
            event = kind(self._url, utc_now(ago=seconds), fault.reason)
            self._silence = self._open(event, seconds)
        self._show()

    @contextmanager
    def reload(self, version: str) -> Iterator[None]:
        """Wait, while the block runs, for the worker to serve a release."""
        self._reload = wait = self._open(ReloadWaiting(self._url, utc_now(), version))
        try:
            yield
        finally:
            wait.timer.cancel()
            self._reload = None
            self._show()

    def _answered(self) -> None:
        ended, self._silence = self._silence, None
        if ended:
            ended.timer.cancel()
            self._show()
        if ended and ended.told:
            seconds = round(time.monotonic() - ended.began, 3)
            self._events.tell(WorkerAnswers(self._url, seconds))

    def _open(self, event: Waiting, elapsed: float = 0.0) -> _Open:
        def tell() -> None:
            wait.told = True
            self._show()
            self._events.tell(wait.event)

        timer = asyncio.get_running_loop().call_later(self._after - elapsed, tell)
        wait = _Open(event, time.monotonic() - elapsed, timer)
        return wait

    def _show(self) -> None:
        # A reload takes its time, and is what `doing` says until it lasts. A silent worker is the
        # reason for one that does.
        lasting = self._reload if self._reload and self._reload.told else None
        shown = self._silence or lasting
        waiting = state.Waiting(shown.event.what, shown.event.since) if shown else None
        self._record.update(waiting=waiting)
