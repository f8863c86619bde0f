"""Holds the model that serves, and replaces it by another without failing a request.

The next model is loaded and checked while the old one serves. Then they are swapped, batches that
run on the old one finish on it, and only then is it freed. So at most two models are in memory: one
load runs at a time, and none starts before the previous old model is gone. If memory holds only one
model, the old one can be freed first: requests wait in that gap, and none is lost.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from agent.errors import AgentError
from agent.worker.background import one_line
from agent.worker.loader import Loader
from agent.worker.release import Release, resolve_current
from agent.worker.serving import NotServingError, Serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent.worker.replacing import Swap
    from agent.worker.serving import Status

__all__ = ["Holder", "NotServingError"]

M = TypeVar("M")

_log: Final = logging.getLogger("agent.worker")


class Holder(Generic[M]):
    """Holds the model that serves; every method may be called from any thread.

    Args:
        load: Returns the model of a release, loaded from `release.path`. Runs in its own thread.
        check: Raises if the model must not serve. Warm the model and run its canary here.
        close: Called with a model that will not be used again, before it is dropped.
        niceness: The niceness of the loading thread while another model serves; 0 does not change
            it. BERT-base on 2 cores, p50 of requests during a load: 1.9 x without it, 1.2 x with
            it. Threads that `load` starts keep the niceness for good, so run a model on threads
            that existed before (`share_threads` of images/embeddings-worker).
        swap: The action for a release that does not fit beside the one that serves: `beside`
            refuses it, `replace` frees the old model first, and loads it again if the new one
            fails.
        fits: Called before a load beside a serving model. Returns None if memory holds both, else
            a sentence that says why not.
    """

    def __init__(
        self,
        load: Callable[[Release], M],
        check: Callable[[M, Release], None] | None = None,
        *,
        close: Callable[[M], None] | None = None,
        niceness: int = 19,
        swap: Swap = "beside",
        fits: Callable[[Release], str | None] | None = None,
    ) -> None:
        self._serving: Serving[M] = Serving()
        self._loader = Loader(self._serving, load, check, close, niceness, swap, fits)

    def status(self) -> Status:
        """Return the release that serves and the state of the latest request."""
        return self._serving.status()

    def follow(self, store: Path) -> None:
        """Request the release that the store's `current` names now, as a worker does at its start.

        If there is none, the state becomes `failed`; the model that serves goes on serving.
        """
        try:
            release = resolve_current(store)
        except AgentError as error:
            _log.warning("model.unresolved reason=%r", str(error))
            self._serving.ask_nothing(one_line(error))
        else:
            self.reload(release)

    def reload(self, release: Release) -> None:
        """Request `release` and return at once. The newest request wins.

        Repeating a request for a release that is loading or served is a no-op, unless the agent has
        replaced a file of it since. A release that failed is tried again.
        """
        if self._serving.ask(release):
            self._loader.start()

    @contextmanager
    def lease(self) -> Iterator[tuple[M, Release]]:
        """Pin one model, and the release that it came from, for one batch.

        A replaced model is freed when its last lease ends. So keep leases short, and keep no
        variable that refers to the model afterwards (a variable bound by `with` lives on in its
        function). While a model is replaced by one that does not fit beside it, this waits.

        Raises:
            NotServingError: No model has been loaded yet.
        """
        with self._serving.lease() as served:
            yield served.model, served.release
