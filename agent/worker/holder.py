"""Holds the model that serves, and replaces it by another without a request failing.

New beside old: the next model is loaded and checked while the old one serves, then they are
swapped, batches that run on the old one end on it, and only then is it freed. So there are at most
two models in memory: one load at a time, and none before the last old model is gone. Where memory
holds one only, the old one can be freed first: requests wait in that gap, and none is lost.
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
    from agent.worker.status import Status

__all__ = ["Holder", "NotServingError"]

M = TypeVar("M")

_log: Final = logging.getLogger("agent.worker")


class Holder(Generic[M]):
    """The model that serves. Every method may be called from any thread.

    Args:
        load: Gives the model of a release, from `release.path`. Runs in a thread of its own.
        check: Raises if the model is not fit to serve: the place to warm it and to try its canary.
        close: Called with a model that will not be used again, before it is dropped.
        niceness: Of the loading thread while another model serves; 0 leaves it alone. BERT-base on
            2 cores, p50 of requests during a load: 1.9 x without, 1.2 x with it. Threads that
            `load` starts keep it for good, so let a model run on threads that were there before
            (`share_threads` of images/embeddings-worker).
        swap: What to do with a release that does not fit beside the one that serves: `beside`
            refuses it, `replace` frees the old model first, and loads it again if the new one
            fails.
        fits: Asked before a load beside a serving model: None if memory holds both, else a
            sentence that says why not.
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
        """What is served and what became of the latest request."""
        return self._serving.status()

    def follow(self, store: Path) -> None:
        """Ask for the release that the store's `current` names now, as a worker does at its start.

        If there is none, the state becomes `failed`; what serves goes on serving.
        """
        try:
            release = resolve_current(store)
        except AgentError as error:
            _log.warning("model.unresolved reason=%r", str(error))
            self._serving.ask_nothing(one_line(error))
        else:
            self.reload(release)

    def reload(self, release: Release) -> None:
        """Ask for `release` and return at once. The newest request wins.

        Asking again for what is loading or served changes nothing, unless the agent has repaired
        files of it since; what failed is tried anew.
        """
        if self._serving.ask(release):
            self._loader.start()

    @contextmanager
    def lease(self) -> Iterator[tuple[M, Release]]:
        """Pin one model, and the release that it came from, for one batch.

        The model is freed once it is replaced and its last lease has ended, so keep the lease short
        and no name for the model after it (a name bound by `with` lives on in its function). While
        one model is replaced by another that does not fit beside it, this waits.

        Raises:
            NotServingError: No model has been loaded yet.
        """
        with self._serving.lease() as served:
            yield served.model, served.release
