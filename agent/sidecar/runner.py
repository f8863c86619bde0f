"""Runs steps that block beside the loop, and ends one early when the marker moves on."""

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

# SIGTERM ends the agent within 5 s; a step is given most of that to stop cleanly.
_STOP_SECONDS: Final = 3.0


class Runner:
    """Runs the steps of a sidecar.

    Args:
        make_steps: Returns the steps, which a flag ends early.
        watch_marker: Returns a look at the marker that says whether it moved since.
        poll_interval: Seconds between two such looks.

    Attributes:
        turned: When the sidecar last got round to looking, on the monotonic clock.
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
        """Run a step in a thread. Being cancelled stops it, and waits a little until it did.

        Raises:
            AgentError: As the step raises.
        """
        stop = threading.Event()
        future = asyncio.wrap_future(threads.start(_nicely, step, self._make_steps(stop)))
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            stop.set()
            # That it was stopped is no news; asyncio would log an error that nobody asked for.
            future.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            await asyncio.wait([future], timeout=_STOP_SECONDS)
            raise

    async def run_watched(self, step: Step) -> None:
        """Run a step in a thread, but end it when the marker moves on.

        Raises:
            StoppedError: It was ended.
            AgentError: As the step raises.
        """
        await self.watched(self.run(step))

    async def watched(self, work: Coroutine[None, None, None]) -> None:
        """Await `work`, but end it when the marker moves on.

        Raises:
            StoppedError: It was ended.
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
    """Do a step behind the requests that a worker on the same cores answers meanwhile."""
    threads.be_nice(threads.NICEST)
    return step(steps)
