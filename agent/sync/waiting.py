"""The events of what a sidecar waits for longer than it should. Pure: no I/O."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from agent.sync.listening import Event


@dataclass(frozen=True)
class Waiting(Event):
    """A wait for the worker.

    Attributes:
        url: The worker's admin listener.
        since: The time at which the wait began, in UTC.
    """

    url: str
    since: str

    @property
    def what(self) -> str:
        """The thing that is waited for, for people."""
        return f"the worker at {self.url}"


@dataclass(frozen=True)
class WorkerSilent(Waiting, name="worker.silent", level=logging.WARNING):
    """The worker has not answered for a while; `reason` goes on with "which"."""

    reason: str

    @property
    def what(self) -> str:
        """The worker, and how it is silent."""
        return f"{super().what}, which {self.reason}"


class WorkerAbsent(WorkerSilent, name="worker.silent"):
    """Nothing listens at the worker's address: it may not have started yet."""


@dataclass(frozen=True)
class WorkerAnswers(Event, name="worker.answers"):
    """The worker answers again, after `seconds` of a silence that was told of."""

    url: str
    seconds: float


@dataclass(frozen=True)
class ReloadWaiting(Waiting, name="reload.waiting"):
    """The worker was asked for a release a while ago, and does not serve it yet."""

    version: str

    @property
    def what(self) -> str:
        """The worker, and the release that it is to serve."""
        return f"{super().what} to serve {self.version}"
