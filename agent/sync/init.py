"""`model-agent init`: makes a release active before the worker starts, if possible the desired one.

It falls back to earlier releases of the marker, then to releases in the store. So a bad release
does not take down pods that start after it was promoted, and a share that is away does not stop a
pod whose store has a good release.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import (
    AgentError,
    ModelError,
    PickleError,
    ReleaseMissingError,
    ShortFileError,
    StoppedError,
    UnreachableError,
    VerificationError,
)
from agent.shares.reader import MalformedMarkerError
from agent.store import records
from agent.sync import events, state
from agent.sync.listening import Events, LogListener
from agent.sync.locate import nothing
from agent.sync.record import Record
from agent.sync.steps import Steps
from agent.sync.summary import SyncSummary

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from agent.context import Context
    from agent.release.manifest import Manifest
    from agent.release.marker import Marker
    from agent.sync.listening import Event


@dataclass(frozen=True)
class Outcome:
    """The result of `init`: the active release, the desired one, and the seconds that it took.

    Attributes:
        absent: The catalog's models that are missing from the tree that became this release.
    """

    active: str
    desired: str | None
    seconds: float
    absent: tuple[events.ModelMissing, ...] = ()

    def __str__(self) -> str:
        """Say it in a sentence."""
        lacking = ", ".join(f"{each.model} ({each.loader})" for each in self.absent)
        without = f", without {lacking}: the tree lacks it" if lacking else ""
        return f"{self.active} is active after {self.seconds:.1f} s{without}."


def run(context: Context) -> Outcome:
    """Make a release active, and return which.

    Raises:
        AgentError: The failure of the desired release, if no other one could be used either.
    """
    summary = SyncSummary(None, None)
    try:
        with ExitStack() as stack:
            with summary.timed("lock"):
                context.store.prepare()
                stack.enter_context(context.store.lock(context.stop))
            missing = _Missing()
            active, desired, why = _Init(context, summary, missing).run()
    except AgentError as error:
        _log_failure(context.log, summary, error)
        raise
    named = {"active": active, "desired": desired}
    if desired and active != desired:
        context.log.error("init.fell_back", **named, **summary.fields("fell_back", why))
    else:
        context.log.info("init.done", **named, **summary.fields("success", why))
    return Outcome(active, desired, summary.seconds, tuple(missing.models))


def _log_failure(log: FilteringBoundLogger, summary: SyncSummary, error: AgentError) -> None:
    if isinstance(error, StoppedError):
        log.info("init.stopped", **summary.fields("stopped", error.what))
    else:
        kind = error.exit_code.name.lower()
        log.error("init.failed", **summary.fields("error", str(error)), kind=kind)


class _Missing:
    """Remembers which of the catalog's models a tree lacked."""

    def __init__(self) -> None:
        self.models: list[events.ModelMissing] = []

    def hear(self, event: Event) -> None:
        """Note the model."""
        if isinstance(event, events.ModelMissing):
            self.models.append(event)


class _Init:
    def __init__(self, context: Context, summary: SyncSummary, missing: _Missing) -> None:
        self._settings = context.settings
        self._summary = summary
        self._store = context.store
        self._log = context.log
        self._guard = context.guard
        self._reader = context.reader
        self._events = Events(LogListener(context.log), missing)
        self._record = Record(context.store.agent, context.log)
        self._steps = Steps.of(context, self._record, self._events)
        self._marker: Marker | None = None
        self._before = summary.previous = context.store.active()

    def run(self) -> tuple[str, str | None, str | None]:
        """Return the active release, the desired one, and the first failure, if there was one."""
        first: AgentError | None = None
        self._record.rests()
        try:
            with self._summary.timed("observe"):
                candidates = self._candidates()
        except MalformedMarkerError as error:
            # The release that it should name may be of another embedding space than those here.
            kept = self._kept()
            if kept is None:
                raise
            candidates = [kept]
            self._log.warning("marker.unknown", reason=error.reason)
        except AgentError as error:
            candidates, first = self._stored(), error
            self._log.warning("init.share_unusable", error=str(error))
        desired = self._marker.version if self._marker else None
        self._record.desired_is(self._marker, held=self._store.versions())
        self._about(desired or next(iter(candidates), None))
        # A release that failed before is tried last: it is still better than none.
        for version in sorted(candidates, key=self._is_quarantined):
            try:
                self._bring(version)
            except AgentError as error:
                first = first or error
                self._stop_here(version, error)
            else:
                return version, desired, str(first) if first else None
        raise first or nothing(self._reader, self._settings.marker)

    def _about(self, version: str | None) -> None:
        """Put the version and the number of this attempt into the summary."""
        self._summary.version = version
        self._summary.number = self._record.state.attempts.get(version or "", 0) + 1

    def _is_quarantined(self, version: str) -> bool:
        entry = self._record.state.quarantined.get(version)
        if entry is None:
            return False
        try:
            digest = self._reader.manifest(version).digest
        except AgentError:
            digest = None
        return state.still_quarantined(entry, self._marker, digest)

    def _candidates(self) -> list[str]:
        self._marker = self._reader.sound(known=self._record.state.tried_for)
        if self._marker:
            chain = list(self._marker.chain)
            if self._settings.no_fallback:
                return chain[:1]
            return list(dict.fromkeys([*chain, *self._stored()]))
        return self._stored() or [self._steps.locator.default(self._settings.marker)]

    def _kept(self) -> str | None:
        """Return the active release; where `current` was lost, the one on record."""
        known = self._record.state.active
        return self._before or (known if known in self._store.versions() else None)

    def _stored(self) -> list[str]:
        """Return the releases in the store, the active one first."""
        held = self._store.versions()
        return sorted(held, key=lambda version: version != self._before)

    def _bring(self, version: str) -> None:
        """Stage or verify `version`, check its embedding space, warm it, and make it active."""
        try:
            self._refuse_worn_out(version)
            release = self._hold(version)
            self._guard_space(release)
            self._check(release)
        except AgentError as error:
            if error.blames_release:
                self._steps.quarantine(version, str(error), self._marker)
            raise
        with self._summary.timed("activate"):
            self._steps.activate(version)

    def _check(self, release: Manifest) -> None:
        """Warm the release, unless it is on record that this was done here."""
        if self._settings.no_warm:
            return
        on_record = self._record.checked().get(release.version) == release.digest
        if on_record and self._steps.warmer.has_passed(release, self._store.agent):
            self._log.info("warmup.skipped", version=release.version, device="cpu")
            return
        with self._summary.timed("check"):
            self._steps.check(release.version)

    def _refuse_worn_out(self, version: str) -> None:
        if self._record.worn_out(version):
            what = f"{version}: {state.WORN_OUT}"
            raise ModelError(what, remedy=state.WORN_OUT_REMEDY)

    def _hold(self, version: str) -> Manifest:
        """Verify the release in the store, or stage it, and return its manifest."""
        if version in self._store.versions():
            self._warn_if_changed(version)
            try:
                with self._summary.timed("verify"):
                    release = self._steps.verify(version)
                self._steps.hold_signature(release)
            except VerificationError as error:
                self._events.tell(events.StoreCorrupt(version, str(error)))
                records.forget(self._store.agent, version)
            else:
                return release
        moved = self._summary.moved
        with self._summary.timed("stage"):
            return self._steps.stage(version, desired=version, populate=True, moved=moved)

    def _warn_if_changed(self, version: str) -> None:
        """Warn if the share has other content under this version; the verified one stays."""
        try:
            offered = self._reader.manifest(version).digest if self._marker else None
        except AgentError:
            return
        if offered and offered != self._store.digest(version):
            self._log.warning(
                "release.differs",
                version=version,
                reason="the share has other content under this version; releases never change, so "
                "publish it under another version",
            )

    def _guard_space(self, release: Manifest) -> None:
        """Raise if a release's vectors do not match those of the one before.

        Raises:
            NewSpaceError: They do not match, and neither marker nor settings allow that.
        """
        if self._marker and not (self._marker.allow_new_space or self._guard.lifted):
            self._guard.check(self._reference(self._marker, release.version), release)

    def _reference(self, marker: Marker, version: str) -> Manifest | None:
        """Return the release that stored vectors come from; None if it is unknown.

        That is the active release, else the one before in the marker.
        """
        try:
            if self._before:
                return self._store.manifest(self._before) if self._before != version else None
            if version == marker.version and marker.previous:
                return self._reader.manifest(marker.previous[0])
        except AgentError as error:
            self._log.warning("embedding_space.unchecked", version=version, error=str(error))
        return None

    def _stop_here(self, version: str, error: AgentError) -> None:
        """Record `error`, and raise it unless another release may be used instead."""
        self._record.failed(error)
        incomplete = isinstance(error, ReleaseMissingError | ShortFileError)
        elsewhere = incomplete or isinstance(error, UnreachableError | PickleError)
        if self._settings.no_fallback or not (error.blames_release or elsewhere):
            raise error
        self._events.tell(events.Refused(version, str(error)))
