"""Carries out decisions, one step at a time; a failed step is given up, or tried again later."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agent.errors import AgentError, StoppedError
from agent.sidecar import reconcile
from agent.sidecar.reconcile import REPAIR, Activate, Check, GiveUp, Reload, Repair, Stage
from agent.sidecar.syncs import Syncs
from agent.sync import events
from agent.warmup import passes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agent.release.target import Target
    from agent.sidecar.observer import Observer
    from agent.sidecar.reloader import Reloader
    from agent.sidecar.runner import Runner
    from agent.sidecar.upkeep import Upkeep
    from agent.store.store import Store
    from agent.sync.listening import Events
    from agent.sync.record import Record
    from agent.sync.summary import SyncSummary

Step = Stage | Check | Reload | Activate | GiveUp


class Carrier:
    """Carries out the steps of one sidecar, and remembers when failed steps are tried again.

    Args:
        store: The store.
        record: The store's state on disk.
        observer: Knows the marker.
        runner: Runs steps that block.
        reloader: Makes the worker load releases.
        upkeep: Maintains the store.
        told: The listeners of events.

    Attributes:
        syncs: The syncs; at most one is open.
        upkeep: Maintains the store.
    """

    def __init__(
        self,
        *,
        store: Store,
        record: Record,
        observer: Observer,
        runner: Runner,
        reloader: Reloader,
        upkeep: Upkeep,
        told: Events,
    ) -> None:
        self._store = store
        self._record = record
        self._observer = observer
        self._runner = runner
        self._reloader = reloader
        self._events = told
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self.syncs = Syncs(told)
        self.upkeep = upkeep

    @property
    def not_before(self) -> Mapping[str, float]:
        """The times, on the monotonic clock, before which a version or a repair must wait.

        The keys are versions and `reconcile.REPAIR`.
        """
        return self._not_before

    def put_nothing_off(self, *, forget: bool = False) -> None:
        """Cancel all delays; with `forget`, reset the counts of failures too."""
        self._not_before.clear()
        if forget:
            self._failures.clear()

    async def carry_out(self, action: Step | Repair) -> bool:
        """Carry out a step; return true if it was done.

        After a failure the release is quarantined, or the step is tried again later.
        """
        version = action.target.version if isinstance(action, Reload) else action.version
        self._record.does(f"{type(action).__name__.lower()} {version}")
        if isinstance(action, Repair):
            return await self._repair(version)
        try:
            await self._runner.watched(self._step(action, self._sync_of(version)))
        except StoppedError:
            marker = self._observer.marker
            self.syncs.supersede(marker.version if marker else None)
        except AgentError as error:
            await self._failed(version, error)
        else:
            self._failures.pop(version, None)
            return True
        return False

    async def _repair(self, version: str) -> bool:
        """Repair the active release; return true if it was done, else it is tried again later."""
        self._put_off(REPAIR)
        done = await self.upkeep.repair(version)
        if done:
            self._failures.pop(REPAIR, None)
            self._not_before.pop(REPAIR, None)
        return done

    def _sync_of(self, version: str) -> SyncSummary:
        unfinished = self._record.state.attempts.get(version, 0)
        number = max(self._failures.get(version, 0), unfinished) + 1
        return self.syncs.of(version, previous=self._store.active(), number=number)

    async def _failed(self, version: str, error: AgentError) -> None:
        if error.blames_release:
            if version != self._record.state.active:
                await self._quarantine(version, str(error))
                return
            # The release stays active, as there is no better one. The next agent that starts
            # checks it again.
            passes.forget(self._store.agent)
        pause = self._put_off(version)
        self._record.failed(error)
        kind = error.exit_code.name.lower()
        self.syncs.end(events.SyncFailed, str(error), kind=kind, retry_seconds=pause)

    def _put_off(self, what: str) -> float:
        """Count a failure, and return the seconds until the next try."""
        self._failures[what] = self._failures.get(what, 0) + 1
        pause = reconcile.delay(self._failures[what])
        self._not_before[what] = time.monotonic() + pause
        return pause

    async def _step(self, action: Step, sync: SyncSummary) -> None:
        match action:
            case Stage(version):
                with self._timed("stage", sync):
                    await self._runner.run(
                        lambda s: s.stage(version, desired=version, moved=sync.moved)
                    )
            case Check(version):
                with self._timed("check", sync):
                    await self._runner.run(lambda steps: steps.check(version))
            case Reload(target, back):
                with self._timed("reload", sync):
                    await self._reloader.reload(target)
                if back:
                    self._served_again(target)
            case Activate(version):
                with self._timed("activate", sync):
                    await self._runner.run(lambda steps: steps.activate(version))
                self._done()
            case GiveUp(version, reason):
                await self._quarantine(version, reason)

    def _served_again(self, target: Target) -> None:
        """End the sync: the worker serves the active release again, or its repaired files."""
        if self._record.state.outdated == target.version:
            self._record.update(outdated=None)
            self.syncs.end(events.SyncRepaired)
        else:
            self.syncs.end(events.SyncTakenBack)

    def _done(self) -> None:
        seconds = time.monotonic() - self._observer.marker_since
        self.syncs.end(events.SyncDone, since_marker_seconds=seconds)

    @contextmanager
    def _timed(self, phase: str, sync: SyncSummary) -> Iterator[None]:
        began = time.monotonic()
        with sync.timed(phase):
            yield
        self._events.tell(events.PhaseEnded(phase, time.monotonic() - began))

    async def _quarantine(self, version: str, reason: str) -> None:
        marker, ended = self._observer.marker, self.syncs.take(version)
        await self._runner.run(lambda steps: steps.quarantine(version, reason, marker, ended))
