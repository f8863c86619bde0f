"""Observes everything that a decision of the sidecar needs: marker, store, worker and clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agent.errors import AgentError, NewSpaceError, VerificationError
from agent.machine import threads
from agent.release import marker
from agent.release.target import Target
from agent.sidecar.reconcile import Observed
from agent.signing import stored
from agent.store import records
from agent.sync import events
from agent.sync.state import Worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from agent.release.marker import Marker
    from agent.release.space import Guard
    from agent.settings import Method
    from agent.shares.reader import ShareReader
    from agent.sidecar.reconcile import WorkerView
    from agent.sidecar.worker_client import WorkerClient
    from agent.signing.policy import Policy
    from agent.store.store import Store
    from agent.sync.listening import Events
    from agent.sync.record import Record


class Observer:
    """Observes marker, store and worker, and keeps the last marker while none can be read.

    Args:
        store: The store.
        reader: The share.
        policy: The rule about signatures.
        guard: The guard of the embedding space.
        record: The state on disk, updated with each observation.
        worker: The worker's admin listener.
        method: The method of telling the worker to reload.
        told: The listeners of events.

    Attributes:
        marker: The marker that was read last; None before the first.
        marker_since: The time at which it was read first, on the monotonic clock.
        marker_unknown: The reason why the marker cannot be used now; None if it can.
        share_error: The reason why the share does not answer; None if it does.
        refused: The reason why the active release may not be served; None if it may.
    """

    def __init__(
        self,
        *,
        store: Store,
        reader: ShareReader,
        policy: Policy,
        guard: Guard,
        record: Record,
        worker: WorkerClient,
        method: Method,
        told: Events,
    ) -> None:
        self._store = store
        self._reader = reader
        self._policy = policy
        self._guard = guard
        self._record = record
        self._worker = worker
        self._method: Method = method
        self._events = told
        self.marker: Marker | None = None
        self.marker_since = time.monotonic()
        self.share_error: str | None = None
        self.refused: str | None = None
        self._judged: str | None = None
        self.marker_unknown: str | None = None

    async def observe(self, not_before: Mapping[str, float]) -> Observed:
        """Return the current state of everything; the share is asked only for what is needed."""
        await self.look_at_marker()
        version = self._active()
        desired = self.marker.version if self.marker else None
        held = await threads.run(self._held, version, desired)
        active = Target(version, held[version]) if version in held else None
        moving = desired is not None and (active is None or desired != active.version)
        self._record.desired_is(self.marker, held=self._store.versions())
        state = self._record.update(active=active.version if active else None)
        return Observed(
            now=time.monotonic(),
            marker=self.marker,
            offered=await self._offered(desired) if moving and desired else None,
            active=active,
            held=held,
            checked=self._record.checked() if moving else {},
            quarantined=state.quarantined,
            attempts=state.attempts,
            not_before=not_before,
            rotten=bool(active and state.rot and state.rot.version == active.version),
            outdated=bool(active and state.outdated == active.version),
            refused=self.refused,
            another_space=self._another_space(active, desired, held) if moving else None,
            method=self._method,
            worker=await self._look_at_worker(),
        )

    def _held(self, active: str | None, desired: str | None) -> dict[str, str]:
        """Return the store's releases that may be served, with their digests.

        The desired release is left out if its files changed since they were verified, or if its
        signature is not as the settings require. It is then staged again, which reports the reason.
        The active release is not left out: its files are repaired in place while its worker goes
        on. Its signature is checked here, too.
        """
        held = self._store.verified()
        if desired in held and desired != active and not self._may_be_next(desired):
            del held[desired]
        self._judge(active if active in held else None)
        return held

    def _may_be_next(self, version: str) -> bool:
        store = self._store
        try:
            self._require_signature(version)
            return records.is_untouched(store.agent, store.manifest(version), store.path(version))
        except AgentError:
            return False

    def _judge(self, active: str | None) -> None:
        """Check the active release's signature and record the verdict.

        The release may be older than the rule, or signed with another key. While the key or the
        share cannot be read, the last verdict stays.
        """
        refused = None
        try:
            if active:
                self._require_signature(active)
        except VerificationError as error:
            refused = str(error)
        except AgentError as error:
            refused = self.refused if self._judged == active else str(error)
        if refused and refused != self.refused:
            self._events.tell(events.Refused(str(active), refused))
        self._judged, self.refused = active, refused

    def _require_signature(self, version: str) -> None:
        """Raise unless a release's signature is as the settings require.

        If it is not, the signature is fetched from the share: it may have been signed since.

        Raises:
            VerificationError: The release is refused.
            AgentError: The key or the share cannot be read now.
        """
        if self._policy.key is None:
            return
        release = self._store.manifest(version)
        home = self._store.path(version)
        signature = stored.read(home)
        if self._policy.problem(release, signature):
            self._policy.hold_in_store(release, home, self._reader)

    def _active(self) -> str | None:
        """Return the active release; None if there is none.

        `current` may lead to a release that a worker was signalled for and has not confirmed, or
        may have been deleted. In both cases the release that was confirmed last is the active one.
        """
        known, leads_to = self._record.state, self._store.active()
        return known.active if leads_to in {None, known.pointed} else leads_to

    def watch(self) -> Callable[[], Awaitable[bool]]:
        """Return a function that reads the marker and returns true if it changed since now."""
        before = self.marker

        async def has_moved() -> bool:
            await self.look_at_marker()
            return self.marker != before

        return has_moved

    async def look_at_marker(self) -> None:
        """Read the marker; if it cannot be read or parsed, the last one stays."""
        try:
            known = self.marker.sha256 if self.marker else None
            data = await threads.run(self._reader.marker_bytes, known=known)
            self._share_answers(None)
            if data is not None and marker.digest(data) != known:
                self._take(marker.parse(data))
            self._marker_unknown(None if data is not None else "there is none")
        except (marker.UnknownMarkerError, VerificationError) as error:
            self._share_answers(None)
            self._marker_unknown(str(error))
        except AgentError as error:
            self._share_answers(str(error))

    def _take(self, found: Marker) -> None:
        self.marker = found
        self.marker_since = time.monotonic()
        self._events.tell(events.MarkerRead(found.version, list(found.previous)))

    def _marker_unknown(self, reason: str | None) -> None:
        if reason and reason != self.marker_unknown:
            self._events.tell(events.MarkerUnknown(reason))
        self.marker_unknown = reason

    def _share_answers(self, error: str | None) -> None:
        if error and error != self.share_error:
            self._events.tell(events.ShareUnreachable(error))
        if self.share_error and not error:
            self._events.tell(events.ShareReachable())
        self.share_error = error

    async def _offered(self, version: str) -> str | None:
        """Return the digest of the release on the share; None if it cannot be read."""
        try:
            return (await threads.run(self._reader.manifest, version)).digest
        except AgentError:
            return None

    def _another_space(
        self, active: Target | None, desired: str | None, held: Mapping[str, str]
    ) -> str | None:
        if self.marker is None or active is None or desired is None or desired not in held:
            return None
        old, new = self._store.manifest(active.version), self._store.manifest(desired)
        try:
            self._guard.check(old, new, allowed=self.marker.allow_new_space)
        except NewSpaceError as error:
            return str(error)
        return None

    async def _look_at_worker(self) -> WorkerView | None:
        if self._method == "none":
            return None
        view = await self._worker.view()
        seen = Worker(state="unknown")
        if view:
            version = view.serving.version if view.serving else None
            seen = Worker(version, view.state, view.reason)
        self._record.update(worker=seen)
        return view
