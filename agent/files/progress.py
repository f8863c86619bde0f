"""Progress of long work in bytes, shown as a bar on a terminal and as log lines elsewhere."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from structlog.typing import FilteringBoundLogger


LOG_SECONDS: Final = 5.0
_BAR_SECONDS: Final = 0.1


@dataclass
class ByteCounter:
    """Bytes by source or kind: `share`, `resumed`, `reused`, `uploaded`, …."""

    by_source: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, source: str, count: int) -> None:
        """Add bytes; several threads may call it."""
        with self.lock:
            self.by_source[source] = self.by_source.get(source, 0) + count

    def add_all(self, counts: Mapping[str, int]) -> None:
        """Add the counts of another counter."""
        for source, count in counts.items():
            self.add(source, count)

    @property
    def total(self) -> int:
        """The sum of all bytes so far."""
        return sum(self.by_source.values())


@contextmanager
def shown(log: FilteringBoundLogger, what: str, moved: ByteCounter, total: int) -> Iterator[None]:
    """Show the bytes in `moved` out of `total` until all are there, or the block ends.

    What a block does with its last byte behind it, such as measuring a model, is no progress: 100 %
    is shown once.

    Args:
        log: Gets a line now and then, where there is no terminal.
        what: The name of the work.
        moved: The bytes so far.
        total: The bytes at the end.
    """
    done = threading.Event()
    show = _bar if sys.stderr.isatty() else _lines
    thread = threading.Thread(target=show, args=(log, what, moved, total, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(1.0)


def _lines(
    log: FilteringBoundLogger, what: str, moved: ByteCounter, total: int, done: threading.Event
) -> None:
    so_far = -1
    while so_far < total and not done.wait(LOG_SECONDS):
        so_far = moved.total
        log.info("progress", what=what, bytes=so_far, total_bytes=total)


def _bar(
    _log: FilteringBoundLogger, what: str, moved: ByteCounter, total: int, done: threading.Event
) -> None:
    from tqdm import tqdm  # noqa: PLC0415 - only a terminal pays for the import

    with tqdm(total=total, desc=what, unit="B", unit_scale=True, leave=False) as bar:
        while bar.n < total and not done.wait(_BAR_SECONDS):
            bar.update(moved.total - bar.n)
        bar.update(moved.total - bar.n)
