"""Maintains the store: restores lost parts, verifies the active release again, and repairs it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from agent.errors import AgentError, StoppedError, VerificationError
from agent.machine.clock import utc_now
from agent.sidecar import reconcile
from agent.store import records
from agent.store import repair as repairing
from agent.store.rot import Reverifier
from agent.sync import events
from agent.sync.record import may_go
from agent.sync.state import Rot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from structlog.typing import FilteringBoundLogger

    from agent.store.store import Store
    from agent.sync.record import Record
    from agent.sync.steps import Steps

    Run = Callable[[Callable[[Steps], object]], Awaitable[None]]


class Upkeep:
    """Maintains one store.

    Args:
        store: The store.
        record: Its state on disk.
        run: Runs a step in a thread; raises `StoppedError` if the marker changes.
        interval: Seconds in which all of the active release is verified again; 0 for never.
        log: Receives failures that are tried again later.
    """

    def __init__(
        self, store: Store, record: Record, run: Run, interval: float, log: FilteringBoundLogger
    ) -> None:
        self._store = store
        self._log = log
        self._record = record
        self._run = run
        self._reverifier = Reverifier(store, interval)
        self._interval = interval
        self._was_whole = True
        self._failures = 0
        self._not_before = 0.0

    async def mend(self) -> None:
        """Restore parts of the store that are missing, and verify an active release without record.

        Somebody may delete `current` or `.agent` while the worker serves; the release still exists.
        It is hashed once. If it is corrupt, the next decision deals with it.
        """
        active = self._store.active()
        whole = self._store.is_prepared() and active is not None and self._is_verified(active)
        if whole or not self._was_whole or time.monotonic() < self._not_before:
            self._was_whole = self._was_whole or whole
            return
        try:
            await self._run(recover)
        except AgentError as error:
            self._put_off(error)
        else:
            self._was_whole, self._failures = False, 0

    async def look(self) -> bool:
        """Verify a part of the active release again; return true if files of it are corrupt."""
        active, now = self._store.active(), time.monotonic()
        if not self._interval or active is None or now < self._not_before:
            return False
        if self._is_rotten(active) or not self._is_verified(active):
            return False
        try:
            await self._run(lambda steps: reverify(steps, self._reverifier, active))
        except AgentError as error:
            self._put_off(error)
        else:
            self._failures = 0
        return self._is_rotten(active)

    async def repair(self, version: str) -> bool:
        """Repair the corrupt files of the active release; return true if that succeeded.

        If it fails, the reason is recorded in the state's `rot`.
        """
        try:
            await self._run(lambda steps: repair(steps, version))
        except StoppedError:
            return False
        except AgentError as error:
            rot = self._record.state.rot
            if rot:
                self._record.update(rot=replace(rot, reason=str(error)))
            self._log.warning("store.repair_failed", version=version, error=str(error))
            return False
        return True

    def _is_verified(self, version: str) -> bool:
        return version in self._store.verified()

    def _is_rotten(self, version: str) -> bool:
        rot = self._record.state.rot
        return rot is not None and rot.version == version

    def _put_off(self, error: AgentError) -> None:
        """Log a failure and delay the next try: a failed one may have read a whole release."""
        if isinstance(error, StoppedError):
            return
        self._failures += 1
        pause = reconcile.delay(self._failures)
        self._not_before = time.monotonic() + pause
        self._log.warning("store.upkeep_failed", error=str(error), retry_seconds=pause)


def recover(steps: Steps) -> None:
    """Put the store in order, at start or after parts of it were lost.

    It deletes what a crash left, points `current` at the active release, and hashes the active
    release if there is no record that it was verified.

    Raises:
        AgentError: The store cannot be used.
    """
    steps.store.prepare()
    with steps.store.lock(steps.stop):
        steps.store.sweep(keep_staging=steps.record.state.desired)
        steps.record.ensure()
        _restore(steps)
        _point_back(steps)
        active = steps.store.active()
        if active and active not in steps.store.verified():
            try:
                steps.verify(active)
            except VerificationError as error:
                steps.events.tell(events.StoreCorrupt(active, str(error)))


def reverify(steps: Steps, reverifier: Reverifier, version: str) -> None:
    """Verify a part of the active release again, and record the files that are corrupt.

    Raises:
        AgentError: As `Reverifier.look` and `Store.lock` raise.
    """
    seen = reverifier.look(version, steps.stop)
    agent = steps.store.agent
    if seen.right:
        with steps.store.lock(steps.stop):
            records.amend(agent, version, seen.right)
    if seen.wrong:
        steps.record.update(rot=Rot(version, seen.wrong, utc_now()))
        steps.events.tell(events.StoreCorrupt(version, files=list(seen.wrong)))
        steps.events.tell(events.VerificationFailed(version))
        with steps.store.lock(steps.stop):
            repairing.distrust(steps.store, version, seen.wrong)
    if seen.finished:
        steps.record.update(last_reverified=utc_now())
        steps.log.info("release.reverified", version=version)


def repair(steps: Steps, version: str) -> None:
    """Replace the recorded corrupt files of the active release by right ones.

    Raises:
        AgentError: As `repairing.repair` raises.
    """
    rot, began = steps.record.state.rot, time.monotonic()
    if rot is None:
        return
    store, known = steps.store, steps.record.state
    with store.lock(steps.stop):
        release = store.manifest(version)
        releases = repairing.repair(
            store,
            release,
            rot.files,
            lambda: steps.acquirer.original(release),
            stop=steps.stop,
            spare=may_go(store, known, keep=1, desired=known.desired or version),
        )
        steps.record.repaired(version)
    seconds = round(time.monotonic() - began, 3)
    steps.events.tell(events.StoreRepaired(version, list(rot.files), list(releases), seconds))


def _restore(steps: Steps) -> None:
    """Restore `current` if somebody else deleted it or pointed it elsewhere."""
    known = steps.record.state.active
    if known and steps.store.active() is None and known in steps.store.verified():
        steps.store.activate(known)
        steps.log.warning("store.current_restored", version=known)


def _point_back(steps: Steps) -> None:
    """Point `current` back if the agent died before a signalled worker confirmed a release."""
    known = steps.record.state
    confirmed = known.active if known.active in steps.store.versions() else None
    if known.pointed and known.pointed == steps.store.active() and confirmed:
        steps.log.warning("reload.unconfirmed", version=known.pointed, active=confirmed)
        steps.point(confirmed)
