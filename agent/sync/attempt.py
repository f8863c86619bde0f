"""Attempts at a release, each of which ends in one line of the log that says all about it."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from agent.files.progress import ByteCounter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from structlog.typing import FilteringBoundLogger

Outcome = Literal[
    "success",
    "quarantined",
    "error",
    "superseded",
    "stopped",
    "taken_back",
    "repaired",
    "fell_back",
]

# What was here already when the attempt began; all else came from elsewhere.
_HERE: Final = ("reused", "resumed")


@dataclass
class Attempt:
    """One attempt, with what it took so far.

    Attributes:
        version: The release that it is about.
        previous: What was active when it began.
        number: Which try in a row it is, from 1.
        moved: Bytes that were staged, by where they came from.
        phases: Seconds by phase.
        began: When it did, on the monotonic clock.
    """

    version: str | None
    previous: str | None
    number: int = 1
    moved: ByteCounter = field(default_factory=ByteCounter)
    phases: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Count the time of the block to a phase, however it ends."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.took(phase, time.monotonic() - began)

    def took(self, phase: str, seconds: float) -> None:
        """Count seconds to a phase."""
        self.phases[phase] = self.phases.get(phase, 0.0) + seconds

    def fields(self, outcome: Outcome, reason: str | None = None) -> dict[str, object]:
        """What the line that ends it says; the name of the event says the outcome, too."""
        counts = dict(self.moved.by_source)
        here = sum(counts.get(source, 0) for source in _HERE)
        return {
            "version": self.version,
            "previous": self.previous,
            "outcome": outcome,
            "attempt": self.number,
            **({"reason": reason} if reason else {}),
            **{f"{name}_seconds": round(taken, 3) for name, taken in self.phases.items()},
            "seconds": round(time.monotonic() - self.began, 3),
            "staged_bytes": sum(counts.values()) - here,
            "reused_bytes": here,
        }


class Attempts:
    """The attempts of a sidecar: one at a time, from its first step to the line that ends it.

    Args:
        log: Where the lines go.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._open: Attempt | None = None
        self._observed = 0.0

    def observed(self, seconds: float, *, desired: str | None) -> None:
        """A look took so long, and the marker names `desired`: another attempt is superseded."""
        self._observed = seconds
        if self._open is None:
            return
        self._open.took("observe", seconds)
        if desired not in {None, self._open.version}:
            self.superseded(desired)

    def on(self, version: str, *, previous: str | None, number: int) -> Attempt:
        """The attempt that a step at `version` belongs to; it begins with its first step."""
        if self._open is None or self._open.version != version:
            self._open = Attempt(version, previous, number)
            self._open.began -= self._observed
            self._open.took("observe", self._observed)
        return self._open

    def take(self, version: str) -> Attempt:
        """The open attempt, which the caller ends; a new one where there is none."""
        taken, self._open = self._open, None
        return taken or Attempt(version, None)

    def end(
        self,
        event: str,
        outcome: Outcome,
        reason: str | None = None,
        *,
        level: int = logging.INFO,
        **more: object,
    ) -> None:
        """End the open attempt, if there is one, in its line."""
        if self._open:
            ended, self._open = self._open, None
            self._log.log(level, event, **ended.fields(outcome, reason), **more)

    def superseded(self, by: str | None) -> None:
        """End the open attempt, since the marker moved on."""
        same = self._open is not None and self._open.version == by
        reason = "the marker was written anew" if same else f"the marker names {by} now"
        self.end("sync.superseded", "superseded", reason)
