"""Runs blocking steps in threads beside the loop, and ends one early if the marker changes."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from agent.errors import AgentError, StoppedError
from agent.machine import threads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from agent.sync.steps import Steps

    Step = Callable[[Steps], object]

# SIGTERM ends the agent within 5 s; a step gets most of that time to stop cleanly.
_STOP_SECONDS: Final = 3.0


class Runner:
    """Runs the steps of a sidecar.

    Args:
        make_steps: Returns the steps; its argument is a flag that ends them early.
        watch_marker: Returns a function that returns true if the marker changed since this call.
        poll_interval: Seconds between two calls of that function.

    Attributes:
        turned: The time at which the sidecar last observed, on the monotonic clock.
    """

    def __init__(
        self,
        make_steps: Callable[[threading.Event], Steps],
        watch_marker: Callable[[], Callable[[], Awaitable[bool]]],
        poll_interval: float,
    ) -> None:
        self._make_steps = make_steps
        self._watch_marker = watch_marker
        self._poll_interval = poll_interval
        self.turned = time.monotonic()

    async def run(self, step: Step) -> None:
        """Run a step in a thread. If this is cancelled, stop the step and wait for it, 3 s at most.

        Raises:
            AgentError: As the step raises.
        """
        stop = threading.Event()
        future = asyncio.wrap_future(threads.start(_nicely, step, self._make_steps(stop)))
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            stop.set()
            # Retrieve the step's error: asyncio would log it otherwise, and a stop is no error.
            future.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            await asyncio.wait([future], timeout=_STOP_SECONDS)
            raise

    async def run_watched(self, step: Step) -> None:
        """Run a step in a thread, but end it if the marker changes.

        Raises:
            StoppedError: The marker changed.
            AgentError: As the step raises.
        """
        await self.watched(self.run(step))

    async def watched(self, work: Coroutine[None, None, None]) -> None:
        """Await `work`, but cancel it if the marker changes.

        Raises:
            StoppedError: The marker changed.
            AgentError: As `work` raises.
        """
        has_moved = self._watch_marker()
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait([task], timeout=self._poll_interval)
                self.turned = time.monotonic()
                if not task.done() and await has_moved():
                    raise StoppedError
        finally:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError, AgentError):
                    await task
        task.result()


def _nicely(step: Step, steps: Steps) -> object:
    """Do a step at low priority, so that a worker on the same cores answers requests first."""
    threads.be_nice(threads.NICEST)
    return step(steps)
