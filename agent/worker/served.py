"""One loaded model, from its first batch to its last."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from agent.worker.release import Release

M = TypeVar("M")

_log: Final = logging.getLogger("agent.worker")


class Served(Generic[M]):
    """A model with the number of batches that run on it.

    Args:
        model: What was loaded.
        release: Where it came from.
        changed: The holder's condition; it guards the number and hears of every batch that ends.
    """

    def __init__(self, model: M, release: Release, changed: threading.Condition) -> None:
        self.model = model
        self.release = release
        self._changed = changed
        self._leases = 0

    def take(self) -> None:
        """Count a batch that begins."""
        with self._changed:
            self._leases += 1

    def give(self) -> None:
        """Count a batch that has ended."""
        with self._changed:
            self._leases -= 1
            self._changed.notify_all()

    def free(self, close: Callable[[M], None] | None) -> None:
        """Wait until the last batch has ended, then close the model; it goes with this object."""
        self.drain()
        self.close(close)

    def drain(self) -> None:
        """Wait until the last batch has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._leases == 0)

    def close(self, close: Callable[[M], None] | None) -> None:
        """Close the model; it goes with this object."""
        try:
            if close:
                close(self.model)
        # A model that is gone anyway must not end the thread that loads the next ones.
        except Exception:  # noqa: BLE001
            _log.exception("model.close_failed version=%s", self.release.version)
        _log.info("model.freed version=%s", self.release.version)
