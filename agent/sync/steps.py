"""The steps that `init` and the sidecar carry out on the store; each may block for long."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from agent.errors import (
    AgentError,
    NoSpaceError,
    ReleaseMissingError,
    UnreachableError,
    VerificationError,
)
from agent.files import progress
from agent.files.progress import ByteCounter
from agent.release import retention
from agent.release.manifest import Manifest
from agent.signing import policy
from agent.store import records
from agent.sync import acquire, locate
from agent.sync.locate import Catalogued, HandMadeTree
from agent.warmup import passes, report

if TYPE_CHECKING:
    from agent.context import Context
    from agent.release.marker import Marker
    from agent.sidecar.metrics import Metrics
    from agent.sync.attempt import Attempt
    from agent.sync.locate import Found
    from agent.sync.record import Record
    from agent.warmup.protocol import Measured


_ORIGIN: Final = {Manifest: "share", HandMadeTree: "adopted", Catalogued: "hub"}


class Steps:
    """What can be done, under the store's lock, with the attempt on record.

    Only steps that load a model are on record as attempts. Staging is not: its memory is bounded,
    so being killed during it says nothing of the release.

    Args:
        context: What to work with.
        record: The state on disk.
        metrics: Told of what happens, where there are any.
    """

    def __init__(self, context: Context, record: Record, metrics: Metrics | None = None) -> None:
        self._context = context
        self._store = context.store
        self._log = context.log
        self._record = record
        self._metrics = metrics

    def stage(
        self,
        version: str,
        *,
        desired: str | None,
        populate: bool = False,
        moved: ByteCounter | None = None,
    ) -> Manifest:
        """Bring `version` into the store, verified.

        Args:
            version: The release.
            desired: What the marker names, which stays in the store.
            populate: Whether it may be made, if the share lacks it.
            moved: Told of the bytes, also if it fails.

        Raises:
            AgentError: As `acquire.locate` and `acquire.acquire` raise; the store is as before.
        """
        if unchanged := self._still_right(version):
            return unchanged
        counted, told = ByteCounter(), moved or ByteCounter()
        before = self._looks(version)
        with self._store.lock(self._context.stop):
            found: Found
            try:
                found = locate.locate(self._context, version)
            except ReleaseMissingError as error:
                made = locate.populatable(self._context, version) if populate else None
                if made is None:
                    raise
                self._log.warning("release.missing", version=version, reason=error.what)
                found = made
            if came := self._came_meanwhile(version, found, before):
                return came
            try:
                if not isinstance(found, Manifest):
                    self._record.begin(version)
                spare = self._spare(1, desired)
                staged = acquire.acquire(self._context, version, found, spare=spare, moved=counted)
            except Exception as error:
                told.add_all(counted.by_source)
                self._ended(version, error)
                raise
            self._record.end(version)
        told.add_all(staged.moved)
        if self._metrics:
            for source, count in staged.moved.items():
                self._metrics.staged_bytes.labels(source).inc(count)
        self._log.info(
            "release.staged",
            version=version,
            digest=staged.manifest.digest[:12],
            origin=_ORIGIN[type(found)],
            seconds=round(staged.seconds, 3),
            **{f"{source}_bytes": count for source, count in staged.moved.items()},
        )
        return staged.manifest

    def _still_right(self, version: str) -> Manifest | None:
        """A release that the store holds, if files of it only look otherwise than when verified."""
        known = self._store.verified().get(version)
        if known is None:
            return None
        release = self._store.manifest(version)
        if records.is_untouched(self._store.agent, release, self._store.path(version)):
            return None
        # What the share has is unknown while it is away, and never another release.
        with suppress(UnreachableError, ReleaseMissingError, VerificationError):
            if self._context.manifest(version).digest != known:
                return None
        try:
            self.verify(version)
        except VerificationError as error:
            self._log.warning("store.corrupt", version=version, error=str(error))
            return None
        if not records.is_untouched(self._store.agent, release, self._store.path(version)):
            raise NoSpaceError(
                f"{version} is right, and the store is too full to write that down.",
                remedy="Give the store more room.",
            )
        return release

    def _looks(self, version: str) -> int | None:
        """What changes whenever a release is staged."""
        path = self._store.path(version)
        return path.stat().st_ino if path.is_dir() else None

    def _came_meanwhile(self, version: str, found: Found, before: int | None) -> Manifest | None:
        """The release, if another agent staged it while this one waited for the lock.

        To stage it once more would take it from under whoever checks or serves it by now.

        Raises:
            VerificationError: It is not signed as the settings want it.
            UnreachableError: The share would have to be asked for its signature.
        """
        if self._looks(version) == before:
            return None
        digest = self._store.verified().get(version)
        if digest is None or (isinstance(found, Manifest) and found.digest != digest):
            return None
        release = self._store.manifest(version)
        policy.in_store(self._context, release)
        return release

    def verify(self, version: str) -> Manifest:
        """Hash every byte of a release in the store, and record that it is sound.

        Raises:
            VerificationError: It is not, or the store's disk does not give it.
        """
        with self._store.lock(self._context.stop):
            try:
                release, moved = self._store.manifest(version), ByteCounter()
                path = self._store.path(version)
                with progress.shown(self._log, "verify", moved, release.size):
                    records.verify(release, path, stop=self._context.stop, moved=moved)
            except (ReleaseMissingError, UnreachableError) as error:
                raise VerificationError(error.what, remedy=error.remedy) from error
            if not records.write(self._store.agent, release, path):
                self._log.warning("record.unsaved", reason="the store is full")
        self._log.info("release.verified", version=version, bytes=release.size)
        return release

    def check(self, version: str) -> None:
        """Load every model of a release in the store, and hold it to its canary.

        Raises:
            AgentError: As `Warmer.warm` raises.
        """
        release = self._store.manifest(version)
        self._record.begin(version)
        passes.forget(self._store.agent)
        try:
            measured = self._context.warmer.warm(release, self._store.path(version))
        except Exception as error:
            self._ended(version, error)
            raise
        self._record.end(version)
        self._record.passed(version, release.digest)
        if not report.write(self._store.agent, release, measured):
            self._log.warning("report.unsaved", reason="the store is full")
        for seen in measured:
            self._say(version, seen)

    def activate(self, version: str) -> None:
        """Flip `current` to a release of the store, then delete what is no longer kept."""
        with self._store.lock(self._context.stop):
            rot = self._record.state.rot
            self._store.activate(version)
            if rot and rot.version != version:
                # It was not repaired: should it be wanted again, it is staged again.
                records.forget(self._store.agent, rot.version)
            self._record.activated(version)
            self._log.info("release.activated", version=version)
            for old in self._spare(self._context.settings.keep, version):
                self._store.remove(old)
                self._record.removed(old)
                self._log.info("release.pruned", version=old)
            self._store.sweep(keep_staging=self._record.state.desired)

    def point(self, version: str) -> None:
        """Have `current` lead to a release that is not active yet, or back to the active one.

        A worker that is signalled reads `current`. It is on record beforehand, so that a crash does
        not make a release active that nobody confirmed.
        """
        with self._store.lock(self._context.stop):
            back = version == self._record.state.active
            if not back:
                self._record.update(pointed=version)
            self._store.activate(version)
            if back:
                self._record.update(pointed=None)

    def quarantine(
        self, version: str, reason: str, marker: Marker | None, attempt: Attempt | None = None
    ) -> None:
        """Try `version` no more until something about it changes; it ends the attempt, if any."""
        try:
            digest: str | None = self._context.manifest(version).digest
        except UnreachableError:
            digest = self._store.digest(version)
        except AgentError:
            # It has no sound manifest, so that one which comes later is a change.
            digest = self._store.digest(version) or ""
        passes.forget(self._store.agent)
        self._record.quarantine(version, reason, marker=marker, digest=digest)
        ended: dict[str, object] = {"version": version, "reason": reason}
        if attempt:
            ended |= attempt.fields("quarantined")
        self._log.error("release.quarantined", **ended)

    def _say(self, version: str, seen: Measured) -> None:
        if seen.load_seconds is None or seen.first_seconds is None:
            self._log.warning(
                "model.not_run", version=version, model=seen.name, reason=seen.not_run
            )
            return
        if self._metrics:
            seconds = seen.load_seconds + seen.first_seconds
            self._metrics.warmup.labels(seen.name, seen.device).set(seconds)
            if seen.canary_cosine is not None:
                self._metrics.canary.labels(seen.name, seen.device).set(seen.canary_cosine)
        self._log.info(
            "model.warmed",
            version=version,
            model=seen.name,
            device=seen.device,
            load_seconds=round(seen.load_seconds, 3),
            first_seconds=round(seen.first_seconds, 3),
            canary_seconds=seen.canary_seconds and round(seen.canary_seconds, 3),
            canary_cosine=seen.canary_cosine and round(seen.canary_cosine, 6),
        )

    def _ended(self, version: str, error: Exception) -> None:
        # What nobody expected did not kill this process either.
        if not isinstance(error, AgentError) or error.ends_attempt:
            self._record.end(version)
        if self._metrics and isinstance(error, VerificationError):
            self._metrics.verify_failures.inc()

    def _spare(self, keep: int, desired: str | None) -> tuple[str, ...]:
        known = self._record.state
        return retention.spare(
            self._store.versions(),
            keep=keep,
            active=self._store.active(),
            previous=known.previous,
            desired=desired,
            quarantined=known.quarantined,
        )
