"""Counts bytes on their way, for progress, logs and metrics."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class Moved:
    """Bytes by where they came from, or went: `share`, `resumed`, `reused`, `uploaded`, …."""

    by_source: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, source: str, count: int) -> None:
        """Count bytes; called from several threads."""
        with self.lock:
            self.by_source[source] = self.by_source.get(source, 0) + count

    def add_all(self, counts: Mapping[str, int]) -> None:
        """Count what was counted elsewhere."""
        for source, count in counts.items():
            self.add(source, count)

    @property
    def total(self) -> int:
        """All bytes so far."""
        return sum(self.by_source.values())
