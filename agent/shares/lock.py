"""A lock between publishers on machines that cannot see each other.

A lock file names its holder and carries a beat, a number that the holder increases. A waiting
publisher uses only its own clock: a holder is dead if its record stays the same for
`STALE_SECONDS`, or if its process on this machine has ended. `flock` would not work: with the
mount option `nobrl` it is per client, so it always succeeds.

The lock saves work; releases stay consistent without it. A holder that was silent for too long and
comes back finds that its staging directory was renamed, and its commit never replaces a release.
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
    """A lock file on a share; all calls raise `UnreachableError` if the share does not answer."""

    @property
    def path(self) -> str:
        """The file's path on the share, for logs and errors."""
        ...

    def look(self) -> bytes | None:
        """Return the record in the file; None if there is no file."""
        ...

    def take(self, seen: bytes | None, record: bytes, *, force: bool = False) -> bool:
        """Take the lock if its record is still `seen`, and write `record`.

        `force` is for a lock that could not be taken for a long time although its record did not
        change: its last taker was killed after it took the lock and before it wrote its record.

        Returns:
            True if the lock is ours now, False if another was first.
        """
        ...

    def beat(self, record: bytes) -> None:
        """Write `record`, whose beat shows that its holder lives.

        Raises:
            LockLostError: Another publisher has the lock.
        """
        ...

    def release(self) -> None:
        """Release the lock, if it is still ours."""
        ...


class Lock:
    """A lock that this process holds; a thread keeps its record fresh."""

    def __init__(self, file: LockFile, holder: Holder) -> None:
        self._file = file
        self._holder = holder
        self._ended = threading.Event()
        self._guard = threading.Lock()
        self._lost: LockLostError | None = None
        self._thread = threading.Thread(target=self._keep, name="lock-beat", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise unless the share confirms, now, that the lock is still ours.

        Raises:
            LockLostError: Another publisher has it.
            UnreachableError: The share does not answer.
        """
        with self._guard:
            if self._lost:
                raise self._lost
            self._beat()

    def end(self) -> None:
        """Stop the thread and release the lock."""
        self._ended.set()
        self._thread.join(BEAT_SECONDS)
        with suppress(AgentError):
            self._file.release()

    def _keep(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            # A share that is unreachable for a moment does not cost the lock: the next beat tells.
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
        log: Receives a wait, and a lock that is taken from a dead holder.

    Raises:
        RefusedError: Another holder did not release it in time.
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
                f"{_host(last)} holds {file.path} and did not release it within {timeout:g} s.",
                remedy="Wait until that publisher has ended, or raise --lock-timeout.",
            )
        # A random wait, so that many publishers who wait do not all ask at once.
        if stop.wait(_LOOK_SECONDS * random.uniform(0.5, 1)):  # noqa: S311 - spreads load
            raise StoppedError
        seen = file.look()
        if seen != last:
            last, since = seen, time.monotonic()


def _is_free(record: bytes | None, seconds: float) -> bool:
    """Return true if a lock whose record was `record` for `seconds` may be taken."""
    if record is None or seconds > STALE_SECONDS:
        return True
    holder = holders.parse(record)
    return holder is not None and holder.is_gone()


def _host(record: bytes | None) -> str:
    holder = holders.parse(record or b"")
    return f"{holder.host} (since {holder.since})" if holder else "Another publisher"
