"""Holds the model that serves, and replaces it by another without a request failing.

New beside old: the next model is loaded and checked while the old one serves, then they are
swapped, batches that run on the old one end on it, and only then is it freed. So there are at most
two models in memory: one load at a time, and none before the last old model is gone.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from agent.errors import AgentError
from agent.worker.background import be_nice, give_memory_back, one_line
from agent.worker.release import Release, resolve_current
from agent.worker.served import Served
from agent.worker.status import State, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

M = TypeVar("M")

_log: Final = logging.getLogger("agent.worker")


class NotServingError(Exception):
    """No model is loaded yet; the sentence says why."""


class _StaleError(Exception):
    """Another release has been asked for meanwhile."""


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
    """

    def __init__(
        self,
        load: Callable[[Release], M],
        check: Callable[[M, Release], None] | None = None,
        *,
        close: Callable[[M], None] | None = None,
        niceness: int = 19,
    ) -> None:
        self._load = load
        self._check = check
        self._close = close
        self._niceness = niceness
        self._instance = secrets.token_hex(8)
        self._changed = threading.Condition()
        self._served: Served[M] | None = None
        self._wanted: Release | None = None
        self._state: State = "failed"
        self._reason: str | None = "No release was asked for yet."
        self._loader_runs = False

    def status(self) -> Status:
        """What is served and what became of the latest request."""
        with self._changed:
            served = self._served.release if self._served else None
            return Status(
                version=served.version if served else None,
                digest=served.digest if served else None,
                state=self._state,
                reason=self._reason,
                target=self._wanted.target if self._wanted else None,
                instance=self._instance,
            )

    def follow(self, store: Path) -> None:
        """Ask for the release that the store's `current` names now, as a worker does at its start.

        If there is none, the state becomes `failed`; what serves goes on serving.
        """
        try:
            release = resolve_current(store)
        except AgentError as error:
            _log.warning("model.unresolved reason=%r", str(error))
            with self._changed:
                self._wanted, self._state, self._reason = None, "failed", one_line(error)
        else:
            self.reload(release)

    def reload(self, release: Release) -> None:
        """Ask for `release` and return at once. The newest request wins.

        Asking again for what is loading or served changes nothing; what failed is tried anew.
        """
        with self._changed:
            served = self._served and self._served.release.target == release.target
            if not served and not self._loader_runs:
                # A daemon: a load of minutes must not keep the process from ending.
                threading.Thread(target=self._run, name="model-loader", daemon=True).start()
                self._loader_runs = True
            self._state = "ready" if served else "loading"
            self._wanted, self._reason = release, None

    @contextmanager
    def lease(self) -> Iterator[tuple[M, Release]]:
        """Pin one model, and the release that it came from, for one batch.

        The model is freed once it is replaced and its last lease has ended, so keep the lease short
        and no name for the model after it (a name bound by `with` lives on in its function).

        Raises:
            NotServingError: No model has been loaded yet.
        """
        with self._changed:
            served = self._served
            if served is None:
                raise NotServingError(self._reason or "The first model is still loading.")
            served.take()
        try:
            yield served.model, served.release
        finally:
            served.give()

    def _is_wanted(self, release: Release) -> bool:
        wanted = self._wanted  # once: another thread may take it away
        return wanted is not None and wanted.target == release.target

    def _run(self) -> None:
        while release := self._next():
            self._attempt(release)
            give_memory_back()

    def _next(self) -> Release | None:
        with self._changed:
            if self._state == "loading":
                return self._wanted
            # Under the lock: a request that comes now starts a new thread, and none is lost.
            self._loader_runs = False
            return None

    def _attempt(self, release: Release) -> None:
        _log.info("model.loading version=%s digest=%s", release.version, release.digest)
        began = time.perf_counter()
        if self._served:
            be_nice(self._niceness)
        try:
            fresh = self._prepare(release)
        except _StaleError:
            _log.info("model.stale version=%s", release.version)
        # A loader that calls exit() must not leave the state at "loading" for ever.
        except BaseException as error:  # noqa: BLE001
            self._fail(release, one_line(error))
        else:
            leaving = self._swap(fresh, time.perf_counter() - began)
            if leaving:
                leaving.free(self._close)

    def _prepare(self, release: Release) -> Served[M]:
        fresh = Served(self._load(release), release, self._changed)
        try:
            self._examine(fresh.model, release)
        except BaseException:
            fresh.free(self._close)
            raise
        return fresh

    def _examine(self, model: M, release: Release) -> None:
        # Dropped here, for good: a model that was not checked must not serve, even if its release
        # is asked for again before the swap.
        if not self._is_wanted(release):
            raise _StaleError
        if self._check:
            self._check(model, release)

    def _fail(self, release: Release, reason: str) -> None:
        with self._changed:
            if self._is_wanted(release):
                self._state, self._reason = "failed", reason
        _log.error("model.failed version=%s reason=%r", release.version, reason)

    def _swap(self, fresh: Served[M], seconds: float) -> Served[M] | None:
        """Let `fresh` serve, and give what is to be freed: the old one, or `fresh` if stale."""
        with self._changed:
            if not self._is_wanted(fresh.release):
                _log.info("model.stale version=%s", fresh.release.version)
                return fresh
            old, self._served, self._state = self._served, fresh, "ready"
        _log.info("model.loaded version=%s seconds=%.3f", fresh.release.version, seconds)
        return old
