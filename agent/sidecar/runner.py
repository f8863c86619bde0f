"""Runs steps that block beside the loop, and ends one early when the marker moves on."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from agent.errors import AgentError, StoppedError
from agent.machine import threads
from agent.sidecar.keeping import Keeping

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from agent.context import Context
    from agent.sidecar.metrics import Metrics
    from agent.sidecar.observer import Observer
    from agent.sync.record import Record

# SIGTERM ends the agent within 5 s; a step is given most of that to stop cleanly.
_STOP_SECONDS: Final = 3.0


class Runner:
    """Runs the steps of a sidecar.

    Args:
        context: What the steps work with.
        record: The state on disk.
        metrics: Told of what happens.
        observer: Reads the marker while a step takes long.

    Attributes:
        turned: When the sidecar last got round to looking, on the monotonic clock.
    """

    def __init__(
        self, context: Context, record: Record, metrics: Metrics, observer: Observer
    ) -> None:
        self._context = context
        self._record = record
        self._metrics = metrics
        self._observer = observer
        self.turned = time.monotonic()

    async def run(self, step: Callable[[Keeping], object]) -> None:
        """Run a step in a thread. Being cancelled stops it, and waits a little until it did.

        Raises:
            AgentError: As the step raises.
        """
        stop = threading.Event()
        steps = Keeping(self._context.stoppable(stop), self._record, self._metrics)
        future = asyncio.wrap_future(threads.start(_nicely, step, steps))
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            stop.set()
            # That it was stopped is no news; asyncio would log an error that nobody asked for.
            future.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            await asyncio.wait([future], timeout=_STOP_SECONDS)
            raise

    async def run_watched(self, step: Callable[[Keeping], object]) -> None:
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
        before = self._observer.marker
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait([task], timeout=self._context.settings.poll_interval)
                self.turned = time.monotonic()
                if not task.done():
                    await self._observer.look_at_marker()
                    if self._observer.marker != before:
                        raise StoppedError
        finally:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError, AgentError):
                    await task
        task.result()


def _nicely(step: Callable[[Keeping], object], steps: Keeping) -> object:
    """Do a step behind the requests that a worker on the same cores answers meanwhile."""
    threads.be_nice(threads.NICEST)
    return step(steps)
