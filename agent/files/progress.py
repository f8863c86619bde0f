"""Shows how far long work is: a bar on a terminal, a log line every few seconds elsewhere."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from structlog.typing import FilteringBoundLogger

    from agent.files.moved import Moved

LOG_SECONDS: Final = 5.0
_BAR_SECONDS: Final = 0.1


@contextmanager
def shown(log: FilteringBoundLogger, what: str, moved: Moved, total: int) -> Iterator[None]:
    """Show `moved` against `total` bytes until the block ends."""
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
    log: FilteringBoundLogger, what: str, moved: Moved, total: int, done: threading.Event
) -> None:
    while not done.wait(LOG_SECONDS):
        log.info("progress", what=what, bytes=moved.total, total_bytes=total)


def _bar(
    _log: FilteringBoundLogger, what: str, moved: Moved, total: int, done: threading.Event
) -> None:
    from tqdm import tqdm  # noqa: PLC0415 - only a terminal pays for the import

    with tqdm(total=total, desc=what, unit="B", unit_scale=True, leave=False) as bar:
        while not done.wait(_BAR_SECONDS):
            bar.update(moved.total - bar.n)
        bar.update(moved.total - bar.n)
