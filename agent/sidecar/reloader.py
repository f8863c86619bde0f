"""Puts a reload on record, has the worker client ask for it, and records how it ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent.errors import AgentError
from agent.sync import events

if TYPE_CHECKING:
    from agent.release.target import Target
    from agent.sidecar.runner import Runner
    from agent.sidecar.waits import Waits
    from agent.sidecar.worker_client import Confirmed, WorkerClient
    from agent.store.store import Store
    from agent.sync.listening import Events
    from agent.sync.record import Record


class Reloader:
    """Reloads the worker, and records each attempt.

    Args:
        worker: The worker's admin listener.
        store: The store, whose `current` a signalled worker reads.
        record: The state on disk.
        told: The listeners, which get each attempt and its outcome.
        runner: Runs steps that block.
        waits: The waits for the worker.
        signalled: True if the worker is told by a signal, and so finds the release as `current`.
    """

    def __init__(
        self,
        worker: WorkerClient,
        store: Store,
        record: Record,
        told: Events,
        runner: Runner,
        *,
        waits: Waits,
        signalled: bool,
    ) -> None:
        self._worker = worker
        self._store = store
        self._record = record
        self._events = told
        self._runner = runner
        self._waits = waits
        self._signalled = signalled

    async def reload(self, target: Target) -> None:
        """Make the worker serve `target`.

        Raises:
            AgentError: As the worker's client raises. For a signalled worker `current` then leads
                to the release before again.
        """
        version = target.version
        self._events.tell(events.ReloadAsked(version))
        # Attempts count only for a new release, which can be given up; the active one cannot.
        if version != self._record.state.active:
            self._record.begin(version)
        try:
            with self._waits.reload(version):
                confirmed = await self._tell(target)
        except (AgentError, asyncio.CancelledError) as error:
            if getattr(error, "ends_attempt", True):
                self._record.end(version)
            self._events.tell(events.ReloadFailed(version))
            raise
        self._record.end(version)
        self._events.tell(events.ReloadConfirmed(version, round(confirmed.seconds, 3)))

    async def _tell(self, target: Target) -> Confirmed:
        """Make the worker load `target`; a signalled worker finds it under `current`."""
        if not self._signalled:
            return await self._worker.reload(target)
        before = self._store.active()
        await self._runner.run(lambda steps: steps.point(target.version))
        try:
            return await self._worker.reload(target)
        except (AgentError, asyncio.CancelledError):
            if before:
                await self._runner.run(lambda steps: steps.point(before))
            raise
