"""The state that threads share: the model that serves, the request, its outcome, and one lock."""

from __future__ import annotations

import logging
import secrets
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Generic, Literal, TypeVar

import msgspec

from agent.release.target import Target  # noqa: TC001 - msgspec reads the annotation
from agent.worker.replacing import Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.worker.release import Release

State = Literal["ready", "loading", "failed"]
M = TypeVar("M")

_log: Final = logging.getLogger("agent.worker")


class Status(msgspec.Struct, frozen=True):
    """The release that serves, and the outcome of the latest request.

    Attributes:
        version: The release that answers requests now, or None.
        digest: Its digest, or None.
        state: The state of `target`.
        reason: The reason of a failure, in one line; None unless `state` is `failed`.
        target: The release that was requested last; None if that is unknown.
        instance: A random text, made at start. A new one means that the worker has restarted and
            has forgotten earlier requests.
    """

    version: str | None
    digest: str | None
    state: State
    reason: str | None
    target: Target | None
    instance: str


class NotServingError(Exception):
    """No model is loaded yet; the message says why."""


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


class Serving(Generic[M]):
    """The state of a holder; every method takes the lock, `changed`, itself."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._instance = secrets.token_hex(8)
        self._served: Served[M] | None = None
        self._wanted: Release | None = None
        self._gap: Gap | None = None
        self._state: State = "failed"
        self._reason: str | None = "No release was asked for yet."
        self._loader_runs = False

    def status(self) -> Status:
        """Return the release that serves and the state of the latest request."""
        with self.changed:
            served = self._served.release if self._served else None
            return Status(
                version=served.version if served else None,
                digest=served.digest if served else None,
                state=self._state,
                reason=self._reason,
                target=self._wanted.target if self._wanted else None,
                instance=self._instance,
            )

    def ask(self, release: Release) -> bool:
        """Record `release` as requested; return true if a loader must be started for it."""
        with self.changed:
            served = self._served is not None and self._served.release.is_same(release)
            needed = not served and not self._loader_runs
            self._loader_runs = self._loader_runs or needed
            self._state = "ready" if served else "loading"
            self._wanted, self._reason = release, None
            return needed

    def ask_nothing(self, reason: str) -> None:
        """Record that it is unknown which release to load; the current one goes on serving."""
        with self.changed:
            self._wanted, self._state, self._reason = None, "failed", reason

    @contextmanager
    def lease(self) -> Iterator[Served[M]]:
        """Pin the model that serves; in a gap, wait until one does.

        Raises:
            NotServingError: No model serves, and no gap is open.
        """
        with self.changed:
            self.changed.wait_for(lambda: self._served is not None or self._gap is None)
            served = self._served
            if served is None:
                raise NotServingError(self._reason or "The first model is still loading.")
            served.take()
        try:
            yield served
        finally:
            served.give()

    def not_started(self, reason: str) -> None:
        """Record that no loader could be started; the next request tries again."""
        with self.changed:
            self._loader_runs, self._state, self._reason = False, "failed", reason

    def next(self) -> Release | None:
        """Return the release that the loader loads next; None ends the loader."""
        with self.changed:
            if self._state == "loading":
                return self._wanted
            # Under the lock: a request that comes after this starts a new thread, so none is lost.
            self._loader_runs = False
            return None

    def is_wanted(self, release: Release) -> bool:
        """Return true if `release` was requested last."""
        with self.changed:
            return self._wanted is not None and self._wanted.is_same(release)

    @property
    def serves(self) -> bool:
        """True if a model serves."""
        with self.changed:
            return self._served is not None

    def fail(self, release: Release, reason: str) -> None:
        """Record that `release` could not be loaded; the current one goes on serving."""
        with self.changed:
            if self.is_wanted(release):
                self._state, self._reason = "failed", reason
        _log.error("model.failed version=%s reason=%r", release.version, reason)

    def swap(self, fresh: Served[M]) -> Served[M] | None:
        """Let `fresh` serve; return the model to free: the old one, or `fresh` if it is stale."""
        with self.changed:
            if not self.is_wanted(fresh.release):
                return fresh
            old, self._served, self._state = self._served, fresh, "ready"
        return old

    def open_gap(self, release: Release) -> tuple[Gap, Served[M]] | None:
        """Take the model out of service and return it with the gap: requests wait from now on.

        Return None if another release was requested while memory was estimated: the model that
        serves may be the requested one.
        """
        with self.changed:
            old = self._served
            if old is None or not self.is_wanted(release):
                return None
            self._gap, self._served = Gap(old.release), None
            return self._gap, old

    def put_back(self, gap: Gap, old: Served[M], release: Release) -> bool:
        """Let `old` serve again if another release was requested while its batches ended."""
        with self.changed:
            return not self.is_wanted(release) and self.end_gap(gap, old)

    def next_in_gap(self, gap: Gap) -> Release | None:
        """Return the release to load in a gap; None if none is left."""
        with self.changed:
            return gap.next(self._wanted)

    def may_end_gap(self, gap: Gap, release: Release) -> bool:
        """Return true if `release` may serve now: it is the requested one, or the best there is."""
        with self.changed:
            return self.is_wanted(release) or gap.may_serve(release, wanted=self._wanted)

    def end_gap(self, gap: Gap, fresh: Served[M] | None) -> bool:
        """End the gap with `fresh`, or with no model if it is None.

        Return false, and change nothing, if a better release may be loaded instead of `fresh`.
        """
        with self.changed:
            if self._gap is not gap or (fresh and not self.may_end_gap(gap, fresh.release)):
                return False
            self._served, self._gap = fresh, None
            reason = gap.failure(self._wanted, fresh.release if fresh else None)
            if reason:
                self._state, self._reason = "failed", reason
            elif fresh and self.is_wanted(fresh.release):
                self._state = "ready"
            self.changed.notify_all()
        gap.log_end(fresh.release if fresh else None)
        return True
