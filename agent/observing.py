"""Looks at everything that a decision of the sidecar rests on: marker, store, worker, clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agent import marker, space, threads
from agent.errors import AgentError, NewSpaceError
from agent.reconcile import Observed, Target
from agent.reloading import worker_client
from agent.state import Worker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.context import Context
    from agent.marker import Marker
    from agent.reconcile import WorkerView
    from agent.trying import Record


class Observer:
    """What the sidecar sees, and what it last knew of a marker that it cannot read now.

    Args:
        context: What to look at.
        record: The state on disk, which follows what is seen.
    """

    def __init__(self, context: Context, record: Record) -> None:
        self._context = context
        self._record = record
        self.worker = worker_client(context.settings)
        self.marker: Marker | None = None
        self.marker_since = time.monotonic()
        self.share_error: str | None = None
        self._bytes: bytes | None = None
        self.marker_unknown: str | None = None

    async def observe(self, not_before: Mapping[str, float]) -> Observed:
        """Everything as it is now; the share is asked for no more than is needed."""
        await self.look_at_marker()
        held = self._context.store.verified()
        version = self._active()
        active = Target(version, held[version]) if version in held else None
        desired = self.marker.version if self.marker else None
        moving = desired is not None and (active is None or desired != active.version)
        state = self._record.update(
            active=active.version if active else None,
            desired=desired or self._record.state.desired,
        )
        return Observed(
            now=time.monotonic(),
            marker=self.marker,
            offered=await self._offered(desired) if moving and desired else None,
            active=active,
            held=held,
            checked=state.checked,
            quarantined=state.quarantined,
            attempts=state.attempts,
            not_before=not_before,
            another_space=self._another_space(active, desired, held) if moving else None,
            method=self._context.settings.reload_method,
            worker=await self._look_at_worker(),
        )

    def _active(self) -> str | None:
        """What was confirmed last; `current` may lead to what a worker was just signalled for."""
        known, leads_to = self._record.state, self._context.store.active()
        return known.active if leads_to and leads_to == known.pointed else leads_to

    async def look_at_marker(self) -> None:
        """Read the marker; what cannot be read or understood changes nothing."""
        try:
            data = await threads.run(self._context.marker_bytes, known=self._bytes)
            self._share_answers(None)
            if data is not None and data != self._bytes:
                self._take(marker.parse(data), data)
            self._marker_unknown(None if data is not None else "there is none")
        except marker.UnknownMarkerError as error:
            self._share_answers(None)
            self._marker_unknown(str(error))
        except AgentError as error:
            self._share_answers(str(error))

    def _take(self, found: Marker, data: bytes) -> None:
        self.marker, self._bytes = found, data
        self.marker_since = time.monotonic()
        self._context.log.info("marker.read", version=found.version, previous=list(found.previous))

    def _marker_unknown(self, reason: str | None) -> None:
        if reason and reason != self.marker_unknown:
            self._context.log.warning("marker.unknown", reason=reason)
        self.marker_unknown = reason

    def _share_answers(self, error: str | None) -> None:
        if error and error != self.share_error:
            self._context.log.warning("share.unreachable", error=error)
        if self.share_error and not error:
            self._context.log.info("share.reachable")
        self.share_error = error

    async def _offered(self, version: str) -> str | None:
        """The digest of the release on the share, where that can be known."""
        try:
            return (await threads.run(self._context.manifest, version)).digest
        except AgentError:
            return None

    def _another_space(
        self, active: Target | None, desired: str | None, held: Mapping[str, str]
    ) -> str | None:
        allowed = self.marker is None or self.marker.allow_new_space
        allowed = allowed or self._context.settings.allow_new_space
        if allowed or active is None or desired is None or desired not in held:
            return None
        store, limit = self._context.store, self._context.settings.space_cosine
        old, new = store.manifest(active.version), store.manifest(desired)
        refusal = space.refusal(old, new, min_cosine=limit)
        return str(NewSpaceError(refusal)) if refusal else None

    async def _look_at_worker(self) -> WorkerView | None:
        if self._context.settings.reload_method == "none":
            return None
        view = await self.worker.view()
        seen = Worker(state="unknown")
        if view:
            version = view.serving.version if view.serving else None
            seen = Worker(version, view.state, view.reason)
        self._record.update(worker=seen)
        return view
