"""Who goes first, among publishers on machines that know nothing of each other.

A lock file names its holder and carries a beat. Whoever waits judges by its own clock alone: a
record that stays the same for `STALE_SECONDS` is of a holder that died, or of one of this machine
whose process is gone. `flock` would not do: under `nobrl` it is per client, so it always succeeds.

The lock saves work; it is not what keeps releases whole. A holder that was silent for too long and
comes back finds that its staging directory has another name, and its commit never replaces one.
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from agent.errors import AgentError, RefusedError, StoppedError
from agent.shares import lock_holder as holders
from agent.shares.lock_holder import Holder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from structlog.typing import FilteringBoundLogger

BEAT_SECONDS: Final = 5.0
STALE_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 1.0


class LockLostError(RefusedError):
    """Another publisher took the lock, because this one was silent for too long."""


class LockFile(Protocol):
    """A lock file on a share. All calls raise `UnreachableError` where the share is away."""

    @property
    def path(self) -> str:
        """Where it is, for people."""
        ...

    def look(self) -> bytes | None:
        """What it says; None if it is not there."""
        ...

    def take(self, seen: bytes | None, record: bytes, *, force: bool = False) -> bool:
        """Take it if it still looks as `seen`, and write `record`; False if another was first.

        `force` is for one that could not be taken for long, though it did not change: whoever took
        it last was killed before that could be seen.
        """
        ...

    def beat(self, record: bytes) -> None:
        """Write `record`.

        Raises:
            LockLostError: Another has it.
        """
        ...

    def release(self) -> None:
        """Give it back, if it is still ours."""
        ...


class Lock:
    """A lock that is held; a thread keeps its record fresh."""

    def __init__(self, file: LockFile, holder: Holder) -> None:
        self._file = file
        self._holder = holder
        self._ended = threading.Event()
        self._guard = threading.Lock()
        self._lost: LockLostError | None = None
        self._thread = threading.Thread(target=self._keep, name="lock-beat", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """See that it is still ours, on the share, now.

        Raises:
            LockLostError: It is not.
            UnreachableError: That cannot be seen.
        """
        with self._guard:
            if self._lost:
                raise self._lost
            self._beat()

    def end(self) -> None:
        """Give it back."""
        self._ended.set()
        self._thread.join(BEAT_SECONDS)
        with suppress(AgentError):
            self._file.release()

    def _keep(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            # A share that is away for a moment is no loss: the next beat tells.
            with self._guard, suppress(AgentError):
                self._beat()

    def _beat(self) -> None:
        self._holder = msgspec.structs.replace(self._holder, beat=self._holder.beat + 1)
        try:
            self._file.beat(self._holder.record())
        except LockLostError as error:
            self._lost = error
            raise


@contextmanager
def held(
    file: LockFile, *, timeout: float, stop: threading.Event, log: FilteringBoundLogger
) -> Iterator[Lock]:
    """Hold the lock while the block runs.

    Args:
        file: The lock file.
        timeout: Seconds to wait for another holder.
        stop: Ends the wait.
        log: Told of a wait, and of a lock that is taken from a dead holder.

    Raises:
        RefusedError: Another holder did not let go in time.
        StoppedError: `stop` was set.
        UnreachableError: The share does not answer.
    """
    holder = Holder.me()
    _acquire(file, holder, timeout=timeout, stop=stop, log=log)
    lock = Lock(file, holder)
    try:
        yield lock
    finally:
        lock.end()


def _acquire(
    file: LockFile,
    holder: Holder,
    *,
    timeout: float,
    stop: threading.Event,
    log: FilteringBoundLogger,
) -> None:
    ends = time.monotonic() + timeout
    last, since = file.look(), time.monotonic()
    told = False
    while True:
        age = time.monotonic() - since
        if _is_free(last, age):
            if file.take(last, holder.record(), force=age > 2 * STALE_SECONDS):
                if last:
                    log.warning("lock.broken", path=file.path, holder=_host(last))
                return
        elif not told:
            told = True
            log.info("lock.waiting", path=file.path, holder=_host(last))
        if time.monotonic() > ends:
            raise RefusedError(
                f"{_host(last)} holds {file.path} and did not let go within {timeout:g} s.",
                remedy="Wait for that publisher to end, or raise --lock-timeout.",
            )
        # Unevenly, so that many who wait do not all come at once.
        if stop.wait(_LOOK_SECONDS * random.uniform(0.5, 1)):  # noqa: S311 - spreads load
            raise StoppedError
        seen = file.look()
        if seen != last:
            last, since = seen, time.monotonic()


def _is_free(record: bytes | None, seconds: float) -> bool:
    """Whether a lock that looked like `record` for so long may be taken."""
    if record is None or seconds > STALE_SECONDS:
        return True
    holder = holders.parse(record)
    return holder is not None and holder.is_gone()


def _host(record: bytes | None) -> str:
    holder = holders.parse(record or b"")
    return f"{holder.host} (since {holder.since})" if holder else "Another publisher"
