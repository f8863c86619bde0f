"""What the sidecar does for the store itself: what is lost is made anew, what rots is repaired."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from agent.errors import AgentError, StoppedError
from agent.sidecar import reconcile
from agent.store.rot import Reverifier

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.context import Context
    from agent.sidecar.keeping import Keeping
    from agent.sync.record import Record

    Run = Callable[[Callable[[Keeping], object]], Awaitable[None]]


class Upkeep:
    """The upkeep of one store.

    Args:
        context: With the store.
        record: What is known.
        run: Carries a step out, in a thread; raises `StoppedError` if the marker moves on.
    """

    def __init__(self, context: Context, record: Record, run: Run) -> None:
        self._store = context.store
        self._log = context.log
        self._record = record
        self._run = run
        self._reverifier = Reverifier(context.store, context.settings.reverify_interval)
        self._interval = context.settings.reverify_interval
        self._was_whole = True
        self._failures = 0
        self._not_before = 0.0

    async def mend(self) -> None:
        """See that the store's own parts are there, and that what is active is known and verified.

        Somebody may delete `current` or `.agent` while the worker serves; the release is still
        there. It is hashed once: what is not sound then is for the next decision.
        """
        active = self._store.active()
        whole = self._store.is_prepared() and active is not None and self._is_verified(active)
        if whole or not self._was_whole or time.monotonic() < self._not_before:
            self._was_whole = self._was_whole or whole
            return
        try:
            await self._run(lambda steps: steps.recover())
        except AgentError as error:
            self._put_off(error)
        else:
            self._was_whole, self._failures = False, 0

    async def look(self) -> bool:
        """Read a little of the active release again; give whether something is wrong with it."""
        active, now = self._store.active(), time.monotonic()
        if not self._interval or active is None or now < self._not_before:
            return False
        if self._is_rotten(active) or not self._is_verified(active):
            return False
        try:
            await self._run(lambda steps: steps.reverify(self._reverifier, active))
        except AgentError as error:
            self._put_off(error)
        else:
            self._failures = 0
        return self._is_rotten(active)

    async def repair(self, version: str) -> bool:
        """Repair the files of the active release that are known to be wrong; whether that was done.

        Why not is kept with what is known.
        """
        try:
            await self._run(lambda steps: steps.repair(version))
        except StoppedError:
            return False
        except AgentError as error:
            rot = self._record.state.rot
            if rot:
                self._record.update(rot=replace(rot, reason=str(error)))
            self._log.warning("store.unrepaired", version=version, error=str(error))
            return False
        return True

    def _is_verified(self, version: str) -> bool:
        return version in self._store.verified()

    def _is_rotten(self, version: str) -> bool:
        rot = self._record.state.rot
        return rot is not None and rot.version == version

    def _put_off(self, error: AgentError) -> None:
        """What failed is done again later: it may have read a whole release to no avail."""
        if isinstance(error, StoppedError):
            return
        self._failures += 1
        pause = reconcile.delay(self._failures)
        self._not_before = time.monotonic() + pause
        self._log.warning("store.unkept", error=str(error), retry_seconds=pause)
