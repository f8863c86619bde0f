"""A loaded model and the batches that run on it."""

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
        model: The loaded model.
        release: The release that it came from.
        changed: The holder's condition. It guards the number and is notified when a batch ends.
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
        """Wait until the last batch has ended, then close the model.

        Its memory is freed with this object.
        """
        self.drain()
        self.close(close)

    def drain(self) -> None:
        """Wait until the last batch has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._leases == 0)

    def close(self, close: Callable[[M], None] | None) -> None:
        """Close the model; its memory is freed with this object."""
        try:
            if close:
                close(self.model)
        # An error while a model is dropped must not end the thread that loads the next ones.
        except Exception:  # noqa: BLE001
            _log.exception("model.close_failed version=%s", self.release.version)
        _log.info("model.freed version=%s", self.release.version)
