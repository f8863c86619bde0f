"""Steps beside the loop: how they end, and how they are ended."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest

from agent.errors import NoSpaceError, StoppedError
from agent.sidecar import runner as runner_module
from agent.sidecar.runner import Runner
from tests.support.parts import Parts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from agent.sync.steps import Steps


class Marker:
    """A marker that moves when a test says so."""

    def __init__(self) -> None:
        self.now = 1
        self.looks = 0

    def watch(self) -> Callable[[], Awaitable[bool]]:
        """Return a look at it."""
        before = self.now

        async def has_moved() -> bool:
            self.looks += 1
            return self.now != before

        return has_moved


@pytest.fixture
def marker() -> Marker:
    """A marker that does not move by itself."""
    return Marker()


@pytest.fixture
def runner(tmp_path: Path, marker: Marker) -> Runner:
    """A runner that looks at the marker many times a second."""
    return Runner(Parts(tmp_path).steps, marker.watch, 0.01)


class Step:
    """A step that goes on until it is stopped, or lets go of by the test."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.ended = threading.Event()
        self.deaf = threading.Event()

    def __call__(self, steps: Steps) -> None:
        """Wait for the stop."""
        self.began.set()
        steps.stop.wait(20)
        if self.deaf.is_set():
            self.ended.wait(20)
        self.ended.set()
        raise StoppedError

    async def running(self) -> None:
        """Wait until it runs."""
        while not self.began.is_set():  # noqa: ASYNC110 - it is set in a thread
            await asyncio.sleep(0.005)


async def test_a_step_that_ends(runner: Runner) -> None:
    """It is done in a thread of its own, with steps of its own, before the loop goes on."""
    seen: list[object] = []
    await runner.run(lambda steps: seen.extend([steps.stop, threading.current_thread()]))
    await runner.run_watched(lambda steps: seen.extend([steps.stop, threading.current_thread()]))
    assert len(set(map(id, seen))) == 4
    assert threading.current_thread() not in seen


async def test_a_step_that_fails(runner: Runner) -> None:
    """Its error is that of whoever had it done."""

    def step(_: Steps) -> None:
        raise NoSpaceError("It is full.", remedy="Make room.")

    for run in (runner.run, runner.run_watched):
        with pytest.raises(NoSpaceError, match="It is full"):
            await run(step)


async def test_a_marker_that_moves_on(runner: Runner, marker: Marker) -> None:
    """The step is stopped, and has ended before the next one can begin."""
    step = Step()
    running = asyncio.ensure_future(runner.run_watched(step))
    await step.running()
    marker.now = 2
    with pytest.raises(StoppedError):
        await running
    assert step.ended.is_set()


async def test_a_marker_that_stays(runner: Runner, marker: Marker) -> None:
    """It is looked at while the step takes long, and the sidecar counts as alive all the while."""
    done, began = threading.Event(), time.monotonic()
    running = asyncio.ensure_future(runner.run_watched(lambda _: done.wait(20)))
    while marker.looks < 3:  # noqa: ASYNC110 - it is told of nothing
        await asyncio.sleep(0.005)
    assert runner.turned > began
    done.set()
    await running


async def test_a_marker_that_moves_too_late(runner: Runner, marker: Marker) -> None:
    """A step that came to its end is done, whatever the marker says by then."""

    def step(_: Steps) -> None:
        marker.now = 2

    await runner.run_watched(step)


async def test_a_step_that_is_cancelled(runner: Runner) -> None:
    """SIGTERM stops it, and waits until it has ended: the store is left in order."""
    step = Step()
    running = asyncio.ensure_future(runner.run_watched(step))
    await step.running()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert step.ended.is_set()


async def test_a_step_that_hangs(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not stop, as on a dead disk, is left behind in time."""
    monkeypatch.setattr(runner_module, "_STOP_SECONDS", 0.05)
    step = Step()
    step.deaf.set()
    running = asyncio.ensure_future(runner.run(step))
    await step.running()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not step.ended.is_set()
    step.ended.set()


async def test_what_is_watched_may_fail_as_it_is_stopped(runner: Runner, marker: Marker) -> None:
    """That the marker moved is what counts then."""

    async def work() -> None:
        try:
            await asyncio.sleep(20)
        finally:
            raise NoSpaceError("It is full.", remedy="Make room.")

    running = asyncio.ensure_future(runner.watched(work()))
    await asyncio.sleep(0.02)
    marker.now = 2
    with pytest.raises(StoppedError):
        await running
