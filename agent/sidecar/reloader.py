"""Has the worker load a release, and waits until it confirms that it serves it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent.errors import AgentError
from agent.sync import events

if TYPE_CHECKING:
    from agent.release.target import Target
    from agent.sidecar.runner import Runner
    from agent.sidecar.worker_client import Confirmed, WorkerClient
    from agent.store.store import Store
    from agent.sync.listening import Events
    from agent.sync.record import Record


class Reloader:
    """Reloads, with each attempt on record.

    Args:
        worker: The worker's admin listener.
        store: The store, whose `current` a signalled worker reads.
        record: The state on disk.
        told: Told of each attempt and how it ended.
        runner: Runs what blocks.
        signalled: Whether the worker is told by a signal, and so finds the release as `current`.
    """

    def __init__(
        self,
        worker: WorkerClient,
        store: Store,
        record: Record,
        told: Events,
        runner: Runner,
        *,
        signalled: bool,
    ) -> None:
        self._worker = worker
        self._store = store
        self._record = record
        self._events = told
        self._runner = runner
        self._signalled = signalled

    async def reload(self, target: Target) -> None:
        """Have the worker serve `target`.

        Raises:
            AgentError: As the worker's client raises; a signalled worker's `current` is put back.
        """
        version = target.version
        self._events.tell(events.ReloadAsked(version))
        # Only a release on its way in can be given up; the active one is asked for again and again.
        if version != self._record.state.active:
            self._record.begin(version)
        try:
            confirmed = await self._tell(target)
        except (AgentError, asyncio.CancelledError) as error:
            if getattr(error, "ends_attempt", True):
                self._record.end(version)
            self._events.tell(events.ReloadFailed(version))
            raise
        self._record.end(version)
        self._events.tell(events.ReloadConfirmed(version, round(confirmed.seconds, 3)))

    async def _tell(self, target: Target) -> Confirmed:
        """Have the worker load `target`; one that is signalled finds it under `current`."""
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
