"""Runs many small tasks on a few threads, with one buffer per thread.

SHA-256 and positioned reads and writes release the GIL, so plain threads use all cores.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from agent.errors import StoppedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

THREADS: Final = max(2, min(4, os.cpu_count() or 2))
# Bytes of all buffers together. Huge chunks are read with fewer threads, not with more memory.
BUDGET_BYTES: Final = 64 * 1024 * 1024
STALL_SECONDS: Final = 60.0
STOP_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.2


def crew(wanted: int, buffer_size: int) -> int:
    """Return the number of threads to run: at most `wanted`, and buffers within `BUDGET_BYTES`."""
    return max(1, min(wanted, BUDGET_BYTES // buffer_size))


class _Crew:
    """The state that the threads of one run share; every field is guarded by `changed`."""

    def __init__(self, tasks: Iterable[Callable[[memoryview], None]], threads: int) -> None:
        self.tasks = deque(tasks)
        self.changed = threading.Condition()
        self.working = threads
        self.finished = 0
        self.error: BaseException | None = None

    def next(self) -> Callable[[memoryview], None] | None:
        with self.changed:
            return self.tasks.popleft() if self.tasks and not self.error else None

    def note(self, error: BaseException | None) -> None:
        with self.changed:
            self.finished += 1
            self.error = self.error or error
            self.changed.notify()

    def leave(self) -> None:
        with self.changed:
            self.working -= 1
            self.changed.notify()


def run(
    tasks: Iterable[Callable[[memoryview], None]],
    *,
    buffer_size: int,
    stop: threading.Event,
    threads: int = THREADS,
    stall_seconds: float = STALL_SECONDS,
    given_up: threading.Event | None = None,
    pulse: Callable[[], object] = lambda: None,
) -> None:
    """Run every task, each with a buffer that is its own while it runs.

    Args:
        tasks: Called in order, several at a time.
        buffer_size: Bytes of a buffer; each thread has one.
        stop: Ends the run between two tasks.
        threads: The number of threads.
        stall_seconds: The longest time in which no task may end.
        given_up: Set if the run ends while a task hangs in a read: if that task ever continues, it
            must write nothing.
        pulse: Returns a value that changes while a long task makes progress; a change resets the
            stall timer, as a task's end does.

    Raises:
        StoppedError: `stop` was set.
        UnreachableError: No task ended for `stall_seconds`: a read hangs. Its thread is left behind
            with `given_up` set.
        BaseException: The first failed task's error.
    """
    crew = _Crew(tasks, threads)
    given_up = given_up or threading.Event()
    for number in range(threads):
        threading.Thread(
            target=_work,
            args=(crew, buffer_size, (stop, given_up)),
            name=f"chunks-{number}",
            daemon=True,
        ).start()
    _watch(crew, stop, stall_seconds, given_up, pulse)
    if crew.error:
        raise crew.error
    if stop.is_set():
        raise StoppedError


def _watch(
    crew: _Crew,
    stop: threading.Event,
    stall_seconds: float,
    given_up: threading.Event,
    pulse: Callable[[], object],
) -> None:
    """Wait until all threads have ended; raise without waiting for those that hang in a read."""
    seen: tuple[int, object] | None = None
    since = time.monotonic()
    stopped_at: float | None = None
    with crew.changed:
        while crew.working:
            crew.changed.wait(_LOOK_SECONDS)
            now = time.monotonic()
            if seen != (latest := (crew.finished, pulse())):
                seen, since = latest, now
            if stop.is_set():
                stopped_at = stopped_at or now
                if now - stopped_at > STOP_SECONDS:
                    raise StoppedError
            elif now - since > stall_seconds:
                # Not `stop`: the caller goes on, perhaps with another source.
                given_up.set()
                raise UnreachableError(
                    f"No byte arrived for {stall_seconds:g} s: a read hangs.",
                    remedy="Check the mount or the network; a sidecar keeps trying.",
                )


def _work(crew: _Crew, buffer_size: int, ends: tuple[threading.Event, ...]) -> None:
    # Mapped from the kernel: malloc would keep a freed buffer, one for each thread that ever ran.
    buffer = memoryview(mmap.mmap(-1, buffer_size))
    while not any(end.is_set() for end in ends) and (task := crew.next()):
        error: BaseException | None = None
        try:
            task(buffer)
        except BaseException as caught:  # noqa: BLE001 - raised again by `run`
            error = caught
        crew.note(error)
    crew.leave()
