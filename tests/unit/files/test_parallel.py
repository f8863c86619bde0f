"""Many small pieces of work on few threads."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from agent.errors import StoppedError, UnreachableError, VerificationError
from agent.files import parallel


def test_every_task_runs_once_with_a_buffer_of_its_own() -> None:
    """No task is forgotten or run twice, and none sees another's buffer while it runs."""
    seen: list[int] = []
    clashes: list[int] = []

    def task(number: int, buffer: memoryview) -> None:
        mark = number % 250 + 1
        buffer[:] = bytes([mark]) * len(buffer)
        time.sleep(0)
        clashes.extend([number] if set(buffer) != {mark} else [])
        seen.append(number)

    parallel.run(
        [partial(task, n) for n in range(500)], buffer_size=64, stop=threading.Event(), threads=4
    )
    assert sorted(seen) == list(range(500))
    assert clashes == []


def test_first_failure_ends_the_run() -> None:
    """What a task raises is raised, and tasks that have not begun do not run."""
    ran: list[int] = []

    def fail(_: memoryview) -> None:
        raise VerificationError("bad.", remedy="-")

    def note(_: memoryview) -> None:
        ran.append(1)

    with pytest.raises(VerificationError, match="bad"):
        parallel.run([fail, *[note] * 50], buffer_size=1, stop=threading.Event(), threads=1)
    assert ran == []


def test_stop_ends_the_run_between_two_tasks() -> None:
    """A run that is stopped says so."""
    stop = threading.Event()

    def task(_: memoryview) -> None:
        stop.set()

    with pytest.raises(StoppedError):
        parallel.run([task] * 50, buffer_size=1, stop=stop, threads=1)


def test_hung_read_is_left_behind() -> None:
    """A task that never returns costs the stall time and must write nothing; its caller goes on."""
    stop, given_up, wake = threading.Event(), threading.Event(), threading.Event()

    def hang(_: memoryview) -> None:
        wake.wait()

    with pytest.raises(UnreachableError, match="a read hangs"):
        parallel.run(
            [hang], buffer_size=1, stop=stop, threads=1, stall_seconds=0.1, given_up=given_up
        )
    assert given_up.is_set()
    assert not stop.is_set()
    wake.set()


def test_long_task_that_goes_on_is_no_hang() -> None:
    """A whole file may be one task; what it has read by now shows that it moves."""
    read: list[int] = []

    def read_slowly(_: memoryview) -> None:
        for piece in range(10):
            time.sleep(0.05)
            read.append(piece)

    parallel.run(
        [read_slowly],
        buffer_size=1,
        stop=threading.Event(),
        threads=1,
        stall_seconds=0.3,
        pulse=lambda: len(read),
    )
    assert len(read) == 10


def test_stop_does_not_wait_for_a_hung_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM ends a run in time even though one of its reads hangs."""
    monkeypatch.setattr(parallel, "STOP_SECONDS", 0.1)
    stop, wake = threading.Event(), threading.Event()

    def hang(_: memoryview) -> None:
        stop.set()
        wake.wait()

    with pytest.raises(StoppedError):
        parallel.run([hang], buffer_size=1, stop=stop, threads=1)
    wake.set()
