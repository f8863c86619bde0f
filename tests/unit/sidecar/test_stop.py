"""Steps beside the loop: a stop of them is never lost, and they let the worker go first."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from agent.errors import StoppedError
from agent.sidecar.loop import Sidecar
from tests.support.pods import Pod

if TYPE_CHECKING:
    from pathlib import Path

    from agent.sync.steps import Steps


@pytest.fixture
async def sidecar(tmp_path: Path) -> Sidecar:
    """A sidecar over an empty share and store that is not run; it polls once an hour."""
    return Sidecar(Pod(tmp_path).context(poll_interval="1h", listen="127.0.0.1:0"))


async def test_a_stop_in_the_moment_of_a_wake(sidecar: Sidecar) -> None:
    """SIGTERM ends the wait for the next poll also when `POST /check` ends it just then."""
    resting = asyncio.ensure_future(sidecar._rest())
    await asyncio.sleep(0)
    sidecar.look_now()
    await asyncio.sleep(0)
    resting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(resting), 300)


async def test_a_second_signal_changes_nothing(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever presses Ctrl-C twice still sees a clean end."""
    whole, cleaning = web.AppRunner.cleanup, asyncio.Event()

    async def slowly(runner: web.AppRunner) -> None:
        cleaning.set()
        await asyncio.sleep(0.2)
        await whole(runner)

    monkeypatch.setattr(web.AppRunner, "cleanup", slowly)
    running = asyncio.ensure_future(sidecar.run())
    while not sidecar._looked:  # noqa: ASYNC110 - it is told of nothing
        await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(cleaning.wait(), 300)
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.wait_for(running, 300)


async def test_a_step_that_was_stopped_is_not_complained_of(sidecar: Sidecar) -> None:
    """That a step ended because it was told to is no error, so none is logged."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    def step(steps: Steps) -> None:
        loop.call_soon_threadsafe(began.set)
        steps.stop.wait(300)
        raise StoppedError

    running = asyncio.ensure_future(sidecar._runner.run(step))
    await began.wait()
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    del running
    gc.collect()
    assert complaints == []


async def test_a_step_lets_the_worker_go_first(sidecar: Sidecar) -> None:
    """Its thread has the lowest priority, and so have what it starts: threads and a child."""
    seen: list[int] = []
    ours = os.getpriority(os.PRIO_PROCESS, 0)

    def look() -> None:
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    def step(_: Steps) -> None:
        look()
        inside = threading.Thread(target=look)
        inside.start()
        inside.join()
        seen.append(int(subprocess.check_output(["nice"])))

    await sidecar._runner.run(step)
    look()
    assert seen == [19, 19, 19, ours]
