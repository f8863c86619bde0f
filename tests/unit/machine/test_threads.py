"""Calls that may never return."""

from __future__ import annotations

import asyncio
import threading

import pytest

from agent.errors import UnreachableError
from agent.machine import threads
from agent.machine.threads import Lane


def test_lane_gives_what_the_call_gives() -> None:
    """A call in time is like a plain one: its value, or its error."""
    lane = Lane("the share", seconds=5)
    assert lane.call(int, "7") == 7
    with pytest.raises(ValueError, match="invalid literal"):
        lane.call(int, "seven")


def test_own_timeout_of_a_call_is_not_mistaken() -> None:
    """A `TimeoutError` that the call itself raises is its error, not a missed deadline."""

    def fail() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        Lane("the share", seconds=5).call(fail)


def test_hung_call_costs_its_deadline_once_and_one_thread() -> None:
    """While one call hangs, further ones fail at once, so that threads do not pile up."""
    release = threading.Event()
    lane = Lane("the share /mnt", seconds=0.05)
    before = threading.active_count()
    for _ in range(20):
        with pytest.raises(UnreachableError, match=r"/mnt did not answer within 0\.05 s"):
            lane.call(release.wait)
    assert threading.active_count() == before + 1
    release.set()
    patient = Lane("the share", seconds=5)
    assert patient.call(release.wait) is True


def test_lane_is_open_again_once_the_hung_call_returned() -> None:
    """A share that comes back is asked again."""
    release, entered = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        release.wait()

    lane = Lane("the share", seconds=0.05)
    with pytest.raises(UnreachableError):
        lane.call(hang)
    assert entered.is_set()
    release.set()
    lane._pending and lane._pending.result(5)
    assert lane.call(int, "1") == 1


async def test_run_awaits_a_thread_of_its_own() -> None:
    """`run` gives the value or the error of a function that blocks."""
    assert await threads.run(int, "7") == 7
    with pytest.raises(ValueError, match="seven"):
        await threads.run(int, "seven")


async def test_no_error_is_waited_for_in_vain() -> None:
    """A future of asyncio loses StopIteration, and with it whoever awaits the thread."""
    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(threads.run(next, iter(())), 5)


async def test_thread_that_nobody_awaits_any_more_ends_in_silence() -> None:
    """Giving up a call that hangs leaves no error behind when its thread ends at last."""
    release, ended = threading.Event(), threading.Event()

    def hang() -> None:
        release.wait()
        ended.set()

    task = asyncio.ensure_future(threads.run(hang))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    await asyncio.to_thread(ended.wait, 5)
