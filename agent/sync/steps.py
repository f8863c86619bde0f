"""The steps that `init` and the sidecar carry out on the store; each may take long."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import (
    AgentError,
    NoSpaceError,
    ReleaseMissingError,
    UnreachableError,
    VerificationError,
)
from agent.files.progress import ByteCounter
from agent.release.manifest import Manifest
from agent.store import intact, records
from agent.sync import events
from agent.sync.acquire import Acquirer
from agent.sync.locate import Catalogued, HandMadeTree
from agent.sync.record import may_go
from agent.warmup import passes, report

if TYPE_CHECKING:
    import threading

    from structlog.typing import FilteringBoundLogger

    from agent.context import Context
    from agent.release.marker import Marker
    from agent.store.store import Store
    from agent.sync.listening import Events
    from agent.sync.locate import Found, Locator
    from agent.sync.record import Record
    from agent.sync.summary import SyncSummary
    from agent.warmup.protocol import Measured
    from agent.warmup.warmer import Warmer

_ORIGIN: Final = {Manifest: "share", HandMadeTree: "adopted", Catalogued: "hub"}


@dataclass(frozen=True)
class Steps:
    """The steps; each holds the store's lock and records its attempt.

    Only steps that load a model are recorded as attempts. Staging is not: its memory is bounded, so
    a kill during it proves nothing about the release.

    Attributes:
        store: The store.
        record: The state on disk.
        acquirer: Finds releases on the share, and brings them into the store.
        keep: The number of releases that are kept in the store.
        events: The listeners of events.
        log: Receives what could not be recorded.
        stop: Ends a step early.
    """

    store: Store
    record: Record
    acquirer: Acquirer
    keep: int
    events: Events
    log: FilteringBoundLogger
    stop: threading.Event

    @classmethod
    def of(
        cls, context: Context, record: Record, told: Events, stop: threading.Event | None = None
    ) -> Steps:
        """Return the steps of a run; `stop` ends them early, by default the run's own flag."""
        stop = stop or context.stop
        return cls(
            store=context.store,
            record=record,
            acquirer=Acquirer.of(context, stop),
            keep=context.settings.keep,
            events=told,
            log=context.log,
            stop=stop,
        )

    @property
    def locator(self) -> Locator:
        """The locator of releases on the share."""
        return self.acquirer.locator

    @property
    def warmer(self) -> Warmer:
        """The warmer, which loads and checks models."""
        return self.acquirer.warmer

    def stage(
        self,
        version: str,
        *,
        desired: str | None,
        populate: bool = False,
        moved: ByteCounter | None = None,
    ) -> Manifest:
        """Bring `version` into the store, verified, and return its manifest.

        Args:
            version: The release.
            desired: The marker's release, which stays in the store.
            populate: True if the release may be made if the share lacks it.
            moved: Counts the bytes, also if staging fails.

        Raises:
            AgentError: As `Locator.locate` and `Acquirer.acquire` raise; the store is unchanged.
        """
        if unchanged := self._still_right(version):
            return unchanged
        counted, told = ByteCounter(), moved or ByteCounter()
        before = self._inode(version)
        with self.store.lock(self.stop):
            found = self._find(version, populate=populate)
            if came := self._came_meanwhile(version, found, before):
                return came
            try:
                if not isinstance(found, Manifest):
                    self.record.begin(version)
                spare = may_go(self.store, self.record.state, keep=1, desired=desired)
                staged = self.acquirer.acquire(version, found, spare=spare, moved=counted)
            except Exception as error:
                told.add_all(counted.by_source)
                self._ended(version, error)
                raise
            self.record.end(version)
        told.add_all(staged.moved)
        for ref in staged.absent:
            self.events.tell(events.ModelMissing(ref.name, ref.loader))
        digest, origin = staged.manifest.digest, _ORIGIN[type(found)]
        self.events.tell(events.Staged(version, digest, origin, staged.seconds, staged.moved))
        return staged.manifest

    def _find(self, version: str, *, populate: bool) -> Found:
        if not populate:
            return self.locator.locate(version)
        found = self.locator.find(version)
        if isinstance(found, Catalogued):
            self.log.warning("release.missing", version=version, reason=found.lacking)
        return found

    def _still_right(self, version: str) -> Manifest | None:
        """Return the release if its files have the verified bytes but another inode or mtime."""
        known = self.store.verified().get(version)
        if known is None:
            return None
        release, home = self.store.manifest(version), self.store.path(version)
        if records.is_untouched(self.store.agent, release, home):
            return None
        # If the share is away, or its manifest missing or refused, the store's release counts.
        with suppress(UnreachableError, ReleaseMissingError, VerificationError):
            if self.locator.reader.manifest(version).digest != known:
                return None
        try:
            self.verify(version)
        except VerificationError as error:
            self.events.tell(events.SpareCorrupt(version, str(error)))
            return None
        if not records.is_untouched(self.store.agent, release, home):
            raise NoSpaceError(
                f"{version} is intact, but the store is too full to record that.",
                remedy="Give the store more room.",
            )
        return release

    def _inode(self, version: str) -> int | None:
        """Return the inode of the release's directory, which staging replaces; None if missing."""
        path = self.store.path(version)
        return path.stat().st_ino if path.is_dir() else None

    def _came_meanwhile(self, version: str, found: Found, before: int | None) -> Manifest | None:
        """Return the release if another agent staged it while this one waited for the lock.

        To stage it again would replace files that a check or a worker may use by now.

        Raises:
            VerificationError: Its signature is not as the settings require.
            UnreachableError: The share is needed for its signature, and does not answer.
        """
        if self._inode(version) == before:
            return None
        digest = self.store.verified().get(version)
        if digest is None or (isinstance(found, Manifest) and found.digest != digest):
            return None
        release = self.store.manifest(version)
        self.hold_signature(release)
        return release

    def hold_signature(self, release: Manifest) -> None:
        """Raise unless the signature of a release in the store is as the settings require.

        Raises:
            VerificationError: The release is refused.
            UnreachableError: The share is needed for its signature, and does not answer.
        """
        home = self.store.path(release.version)
        self.locator.policy.hold_in_store(release, home, self.locator.reader)

    def verify(self, version: str) -> Manifest:
        """Hash every byte of a release in the store, record that it is intact, and return it.

        Raises:
            VerificationError: It is corrupt, or the store's disk cannot read it.
        """
        with self.store.lock(self.stop):
            try:
                release, path = self.store.manifest(version), self.store.path(version)
                intact.require(release, path, stop=self.stop, log=self.log)
            except (ReleaseMissingError, UnreachableError) as error:
                raise VerificationError(error.what, remedy=error.remedy) from error
            if not records.write(self.store.agent, release, path):
                self.log.warning("record.unsaved", reason="the store is full")
        self.events.tell(events.Verified(version, release.size))
        return release

    def check(self, version: str) -> None:
        """Load every model of a release in the store, and compare its vectors with its canary.

        Raises:
            AgentError: As `Warmer.warm` raises.
        """
        release = self.store.manifest(version)
        self.record.begin(version)
        passes.forget(self.store.agent)
        try:
            measured = self.warmer.warm(release, self.store.path(version))
        except Exception as error:
            self._ended(version, error)
            raise
        self.record.end(version)
        self.record.passed(version, release.digest)
        if not report.write(self.store.agent, release, measured):
            self.log.warning("report.unsaved", reason="the store is full")
        for seen in measured:
            self.events.tell(_warmed(version, seen))

    def activate(self, version: str) -> None:
        """Point `current` at a release of the store, then delete releases that are not kept."""
        with self.store.lock(self.stop):
            rot = self.record.state.rot
            self.store.activate(version)
            if rot and rot.version != version:
                # It was not repaired. Without its record it is staged again if it is desired again.
                records.forget(self.store.agent, rot.version)
            self.record.activated(version)
            self.events.tell(events.Activated(version))
            old_ones = may_go(self.store, self.record.state, keep=self.keep, desired=version)
            for old in old_ones:
                self.store.remove(old)
                self.record.removed(old)
                self.events.tell(events.Pruned(old))
            self.store.sweep(keep_staging=self.record.state.desired)

    def point(self, version: str) -> None:
        """Point `current` at a release that is not active yet, or back at the active one.

        A signalled worker reads `current`. It is recorded before that, so that a crash does not
        make a release active that no worker confirmed.
        """
        with self.store.lock(self.stop):
            back = version == self.record.state.active
            if not back:
                self.record.update(pointed=version)
            self.store.activate(version)
            if back:
                self.record.update(pointed=None)

    def quarantine(
        self, version: str, reason: str, marker: Marker | None, ended: SyncSummary | None = None
    ) -> None:
        """Quarantine `version` until marker or digest change; `ended` is the sync that it ends."""
        try:
            digest: str | None = self.locator.reader.manifest(version).digest
        except UnreachableError:
            digest = self.store.digest(version)
        except AgentError:
            # It has no sound manifest. An empty digest makes a later, sound one count as a change.
            digest = self.store.digest(version) or ""
        passes.forget(self.store.agent)
        self.record.quarantine(version, reason, marker=marker, digest=digest)
        self.events.tell(events.Quarantined(version, reason, ended))

    def _ended(self, version: str, error: Exception) -> None:
        # After an unexpected error this process still lives, so the attempt ended too.
        if not isinstance(error, AgentError) or error.ends_attempt:
            self.record.end(version)
        if isinstance(error, VerificationError):
            self.events.tell(events.VerificationFailed(version))


def _warmed(version: str, seen: Measured) -> events.ModelWarmed | events.ModelNotRun:
    if seen.load_seconds is None or seen.first_seconds is None:
        return events.ModelNotRun(version, seen.ref.name, seen.not_run)
    times = seen.load_seconds, seen.first_seconds, seen.canary_seconds
    return events.ModelWarmed(version, seen.ref.name, str(seen.device), *times, seen.canary_cosine)
