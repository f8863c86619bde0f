"""The summary of a sync: one line, at its end, that says all about it."""

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

# Bytes that were here already when the sync began; all others came from elsewhere.
_HERE: Final = ("reused", "resumed")


@dataclass
class SyncSummary:
    """One sync, with what it took so far.

    Attributes:
        version: The release that it is about.
        previous: The release that was active when it began.
        number: Which attempt in a row it is, from 1.
        moved: Bytes that were staged, by where they came from.
        phases: Seconds by phase.
        began: When it began, on the monotonic clock.
        ended: When it ended, on the same clock; None while it goes on.
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
        """Count the time of the block to a phase, however it ends."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.took(phase, time.monotonic() - began)

    def took(self, phase: str, seconds: float) -> None:
        """Count seconds to a phase."""
        self.phases[phase] = self.phases.get(phase, 0.0) + seconds

    @property
    def seconds(self) -> float:
        """Seconds that it took, or has taken so far."""
        return (time.monotonic() if self.ended is None else self.ended) - self.began

    def end(self) -> None:
        """Stop its clock."""
        self.ended = time.monotonic()

    def fields(self, outcome: Outcome, reason: str | None = None) -> dict[str, object]:
        """Return the fields of the line that ends it."""
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
