"""The summary of a sync: the one line in the log that ends it, with its times and bytes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from agent.files.progress import ByteCounter

if TYPE_CHECKING:
    from collections.abc import Iterator


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

# Sources of bytes that were in the store already when the sync began.
_HERE: Final = ("reused", "resumed")


@dataclass
class SyncSummary:
    """One sync, with its times and bytes so far.

    Attributes:
        version: The release that is synced.
        previous: The release that was active when the sync began.
        number: The number of this attempt in a row, from 1.
        moved: The bytes that were staged, by source.
        phases: The seconds of each phase.
        began: The time at which it began, on the monotonic clock.
        ended: The time at which it ended, on the same clock; None while it goes on.
    """

    version: str | None
    previous: str | None
    number: int = 1
    moved: ByteCounter = field(default_factory=ByteCounter)
    phases: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the block's time to a phase, also if the block raises."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.took(phase, time.monotonic() - began)

    def took(self, phase: str, seconds: float) -> None:
        """Add seconds to a phase."""
        self.phases[phase] = self.phases.get(phase, 0.0) + seconds

    @property
    def seconds(self) -> float:
        """The seconds that the sync took, or has taken so far."""
        return (time.monotonic() if self.ended is None else self.ended) - self.began

    def end(self) -> None:
        """Record that the sync has ended now."""
        self.ended = time.monotonic()

    def fields(self, outcome: Outcome, reason: str | None = None) -> dict[str, object]:
        """Return the fields of the line in the log that ends the sync."""
        counts = dict(self.moved.by_source)
        here = sum(counts.get(source, 0) for source in _HERE)
        return {
            "version": self.version,
            "previous": self.previous,
            "outcome": outcome,
            "attempt": self.number,
            **({"reason": reason} if reason else {}),
            **{f"{name}_seconds": round(taken, 3) for name, taken in self.phases.items()},
            "seconds": round(self.seconds, 3),
            "staged_bytes": sum(counts.values()) - here,
            "reused_bytes": here,
        }
