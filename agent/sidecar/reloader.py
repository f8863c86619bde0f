"""Has the worker load a release, and waits until it confirms that it serves it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent.errors import AgentError

if TYPE_CHECKING:
    from agent.context import Context
    from agent.sidecar.metrics import Metrics
    from agent.sidecar.observer import Observer
    from agent.sidecar.reconcile import Target
    from agent.sidecar.runner import Runner
    from agent.sidecar.worker_client import Confirmed
    from agent.sync.record import Record


class Reloader:
    """Reloads, with each attempt on record and counted.

    Args:
        context: With the store and the method.
        record: The state on disk.
        metrics: Told of each attempt.
        observer: Has the worker's client.
        runner: Runs what blocks.
    """

    def __init__(
        self,
        context: Context,
        record: Record,
        metrics: Metrics,
        observer: Observer,
        runner: Runner,
    ) -> None:
        self._context = context
        self._record = record
        self._metrics = metrics
        self._worker = observer.worker
        self._runner = runner

    async def reload(self, target: Target) -> None:
        """Have the worker serve `target`.

        Raises:
            AgentError: As the worker's client raises; a signalled worker's `current` is put back.
        """
        self._metrics.reload_attempts.inc()
        # Only a release on its way in can be given up; the active one is asked for again and again.
        if target.version != self._record.state.active:
            self._record.begin(target.version)
        try:
            confirmed = await self._tell(target)
        except (AgentError, asyncio.CancelledError) as error:
            if getattr(error, "ends_attempt", True):
                self._record.end(target.version)
            self._metrics.reload_failures.inc()
            self._metrics.last_reload_successful.set(0)
            raise
        self._record.end(target.version)
        self._metrics.last_reload_successful.set(1)
        seconds = round(confirmed.seconds, 3)
        self._context.log.info("reload.confirmed", version=target.version, seconds=seconds)

    async def _tell(self, target: Target) -> Confirmed:
        """Have the worker load `target`; one that is signalled finds it under `current`."""
        if self._context.settings.reload_method != "signal":
            return await self._worker.reload(target)
        before = self._context.store.active()
        await self._runner.run(lambda steps: steps.point(target.version))
        try:
            return await self._worker.reload(target)
        except (AgentError, asyncio.CancelledError):
            if before:
                await self._runner.run(lambda steps: steps.point(before))
            raise
