"""The thread that loads requested releases until none is left."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from agent.worker.background import give_memory_back, nicely, one_line
from agent.worker.serving import Served

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.worker.release import Release
    from agent.worker.replacing import Gap, Swap
    from agent.worker.serving import Serving

M = TypeVar("M")

_REMEDY: Final = "Raise the memory limit, or have the worker swap by replacing (--swap replace)."

_LINGERS_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.001

_log: Final = logging.getLogger("agent.worker")


class _StaleError(Exception):
    """Another release was requested in the meantime."""


@dataclass(frozen=True)
class Loader(Generic[M]):
    """Loads models in a thread; see `Holder` for the fields."""

    serving: Serving[M]
    load: Callable[[Release], M]
    check: Callable[[M, Release], None] | None
    close: Callable[[M], None] | None
    niceness: int
    swap: Swap
    fits: Callable[[Release], str | None] | None

    def start(self) -> None:
        """Start the thread, as a daemon: a load of minutes must not delay the process' end.

        Raises:
            RuntimeError: The container's limit of threads is reached.
        """
        try:
            threading.Thread(target=self._run, name="model-loader", daemon=True).start()
        except RuntimeError as error:
            # Without this the next request would wait for a loader that does not exist.
            self.serving.not_started(one_line(error))
            raise

    def _run(self) -> None:
        while release := self.serving.next():
            if not self.serving.serves:
                self._beside(release)
            elif (reason := self._misfit(release)) is None:
                nicely(self.niceness, lambda release=release: self._beside(release))  # type: ignore[misc]
            elif self.swap == "replace":
                self._replace(release, reason)
            else:
                self.serving.fail(release, f"{reason} {_REMEDY}")
            give_memory_back()

    def _misfit(self, release: Release) -> str | None:
        """Return the reason why memory does not hold the release's model too; None if it does."""
        try:
            return self.fits(release) if self.fits else None
        except Exception:  # noqa: BLE001 - an estimate that fails must not refuse a release
            _log.exception("model.fit_unknown version=%s", release.version)
            return None

    def _beside(self, release: Release) -> None:
        """Load the release while the old model serves, swap them, and free the old one."""
        _log.info("model.loading version=%s digest=%s", release.version, release.digest)
        began = time.perf_counter()
        try:
            fresh = self._prepare(release, lambda: self.serving.is_wanted(release))
        except _StaleError:
            _log.info("model.stale version=%s", release.version)
        # A loader that calls exit() must not leave the state at "loading" for ever.
        except BaseException as error:  # noqa: BLE001
            self.serving.fail(release, one_line(error))
        else:
            leaving = self.serving.swap(fresh)
            event = "stale" if leaving is fresh else "loaded"
            seconds = time.perf_counter() - began
            _log.info("model.%s version=%s seconds=%.3f", event, release.version, seconds)
            if leaving:
                leaving.free(self.close)

    def _replace(self, release: Release, reason: str) -> None:
        """Free the model that serves, then load the release; if that fails, load the old one."""
        gap = self._make_room(release, reason)
        if gap is None:
            return
        try:
            self._fill(gap)
        # Without this requests would wait for ever, and no later reload would start a loader.
        except BaseException as error:  # noqa: BLE001
            self.serving.end_gap(gap, None)
            self.serving.fail(release, one_line(error))

    def _make_room(self, release: Release, reason: str) -> Gap | None:
        """Free the model that serves; return None if a newer request made that unnecessary."""
        opened = self.serving.open_gap(release)
        if opened is None:
            return None
        gap, old = opened
        _log.warning("model.replacing version=%s reason=%r", old.release.version, reason)
        old.drain()
        if self.serving.put_back(gap, old, release):
            return None
        gone = _reference(old.model)
        old.close(self.close)
        del old, opened  # Drop the last references: the next model needs their memory.
        _await_end(gone)
        return gap

    def _fill(self, gap: Gap) -> None:
        """Load one release after another until one serves, or none is left to try."""
        give_memory_back()
        while release := self.serving.next_in_gap(gap):
            fresh = self._try(release, gap)
            if fresh and self.serving.end_gap(gap, fresh):
                return
            if fresh:
                fresh.free(self.close)
            del fresh
            give_memory_back()
        self.serving.end_gap(gap, None)

    def _try(self, release: Release, gap: Gap) -> Served[M] | None:
        _log.info("model.loading version=%s digest=%s", release.version, release.digest)
        try:
            return self._prepare(release, lambda: self.serving.may_end_gap(gap, release))
        except _StaleError:
            _log.info("model.stale version=%s", release.version)
        except BaseException as error:  # noqa: BLE001 - as above
            _log.error("model.failed version=%s reason=%r", release.version, one_line(error))
            gap.note_failure(release, one_line(error))
        return None

    def _prepare(self, release: Release, wanted: Callable[[], bool]) -> Served[M]:
        fresh = Served(self.load(release), release, self.serving.changed)
        try:
            self._examine(fresh.model, release, wanted)
        except BaseException:
            fresh.free(self.close)
            raise
        return fresh

    def _examine(self, model: M, release: Release, wanted: Callable[[], bool]) -> None:
        # The model is dropped for good: it was not checked, so it must not serve, even if its
        # release is requested again before the swap.
        if not wanted():
            raise _StaleError
        if self.check:
            self.check(model, release)


def _reference(model: object) -> Callable[[], object]:
    try:
        return weakref.ref(model)
    except TypeError:  # Its type supports no weak references.
        return lambda: None


def _await_end(reference: Callable[[], object]) -> None:
    """Wait, for at most 1 s, until nothing refers to a model any more.

    The last batch has ended, but the function that ran it may not have returned yet. Until then its
    variables keep the model alive.
    """
    until = time.monotonic() + _LINGERS_SECONDS
    while reference() is not None and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
