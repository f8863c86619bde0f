"""The events of a sync, each a frozen payload that knows nothing of its listeners. Pure: no I/O."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from agent.sync.listening import Event

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.sync.summary import Outcome, SyncSummary


@dataclass(frozen=True)
class Staged(Event, name="release.staged"):
    """A release was staged into the store and verified; `moved` has its bytes by source."""

    version: str
    digest: str
    origin: str
    seconds: float
    moved: Mapping[str, int]

    def fields(self) -> Mapping[str, object]:
        """Return the fields, with one more for the bytes of each source."""
        return {
            "version": self.version,
            "digest": self.digest[:12],
            "origin": self.origin,
            "seconds": round(self.seconds, 3),
            **{f"{source}_bytes": count for source, count in self.moved.items()},
        }


@dataclass(frozen=True)
class ModelMissing(Event, name="catalog.model_missing", level=logging.WARNING):
    """A tree made by hand, which became a release, lacks a model that the catalog names."""

    model: str
    loader: str


@dataclass(frozen=True)
class Verified(Event, name="release.verified"):
    """Every byte of a release in the store was verified."""

    version: str
    bytes: int


@dataclass(frozen=True)
class VerificationFailed(Event, name="release.verification_failed", level=None):
    """Bytes were found that differ from a manifest."""

    version: str


@dataclass(frozen=True)
class ModelWarmed(Event, name="model.warmed"):
    """A model was loaded, run, and compared with its canary; times are in seconds."""

    version: str
    model: str
    device: str
    load_seconds: float
    first_seconds: float
    canary_seconds: float | None
    canary_cosine: float | None

    def fields(self) -> Mapping[str, object]:
        """Return the fields, rounded."""
        return asdict(self) | {
            "load_seconds": round(self.load_seconds, 3),
            "first_seconds": round(self.first_seconds, 3),
            "canary_seconds": self.canary_seconds and round(self.canary_seconds, 3),
            "canary_cosine": self.canary_cosine and round(self.canary_cosine, 6),
        }


@dataclass(frozen=True)
class ModelNotRun(Event, name="model.not_run", level=logging.WARNING):
    """Only the files of a model were checked, because no installed library can run it."""

    version: str
    model: str
    reason: str | None


@dataclass(frozen=True)
class Activated(Event, name="release.activated"):
    """`current` leads to a release now."""

    version: str


@dataclass(frozen=True)
class Pruned(Event, name="release.pruned"):
    """A release was deleted from the store."""

    version: str


@dataclass(frozen=True)
class Quarantined(Event, name="release.quarantined", level=logging.ERROR):
    """A release is not tried again until the marker's bytes or the release's digest change."""

    version: str
    reason: str
    summary: SyncSummary | None = None

    def fields(self) -> Mapping[str, object]:
        """Return the fields, with those of the sync that it ends."""
        ended = self.summary.fields("quarantined") if self.summary else {}
        return {"version": self.version, "reason": self.reason, **ended}


@dataclass(frozen=True)
class Refused(Event, name="release.refused", level=logging.ERROR):
    """A release may not be served, for a reason that may pass."""

    version: str
    error: str


@dataclass(frozen=True)
class StoreCorrupt(Event, name="store.corrupt", level=logging.ERROR):
    """Files of a release in the store have other bytes than its manifest says."""

    version: str
    error: str | None = None
    files: Sequence[str] | None = None


class SpareCorrupt(StoreCorrupt, name="store.corrupt", level=logging.WARNING):
    """Files of a release that is not active are corrupt; it is staged again at once."""


@dataclass(frozen=True)
class StoreRepaired(Event, name="store.repaired", level=logging.WARNING):
    """Corrupt files were replaced by right ones, in each of `releases`."""

    version: str
    files: Sequence[str]
    releases: Sequence[str]
    seconds: float


@dataclass(frozen=True)
class ReloadAsked(Event, name="reload.asked", level=None):
    """The worker is asked to load a release."""

    version: str


@dataclass(frozen=True)
class ReloadConfirmed(Event, name="reload.confirmed"):
    """The worker confirmed that it serves a release."""

    version: str
    seconds: float


@dataclass(frozen=True)
class ReloadFailed(Event, name="reload.failed", level=None):
    """The worker did not confirm a release."""

    version: str


@dataclass(frozen=True)
class ShareUnreachable(Event, name="share.unreachable", level=logging.WARNING):
    """The share does not answer."""

    error: str


class ShareReachable(Event, name="share.reachable"):
    """The share answers again."""


@dataclass(frozen=True)
class MarkerRead(Event, name="marker.read"):
    """The marker was read and is new."""

    version: str
    previous: Sequence[str]


@dataclass(frozen=True)
class MarkerUnknown(Event, name="marker.unknown", level=logging.WARNING):
    """The marker is missing or malformed; the last one stays in force."""

    reason: str


@dataclass(frozen=True)
class SidecarStarted(Event, name="sidecar.started"):
    """A sidecar starts; `refused` is the reason if `init` could not activate `desired`."""

    active: str | None
    desired: str | None
    refused: str | None = None

    def fields(self) -> Mapping[str, object]:
        """Return the fields; `active` and `desired` stay, even if they are None."""
        refused = {"refused": self.refused} if self.refused else {}
        return {"active": self.active, "desired": self.desired, **refused}


@dataclass(frozen=True)
class PhaseEnded(Event, name="phase.ended", level=None):
    """A phase of a sync (stage, check, reload, activate) succeeded after `seconds`."""

    phase: str
    seconds: float


@dataclass(frozen=True)
class SyncEnded(Event):
    """A sync ended; its line in the log has all about the sync.

    Attributes:
        summary: The sync.
        reason: The reason of this outcome, for people; None after a success.
    """

    outcome: ClassVar[Outcome] = "error"
    summary: SyncSummary
    reason: str | None = None

    def __init_subclass__(cls, *, outcome: Outcome, **more: Any) -> None:
        """Set the outcome of this kind of end."""
        super().__init_subclass__(**more)
        cls.outcome = outcome

    def fields(self) -> Mapping[str, object]:
        """Return the fields of the summary."""
        return self.summary.fields(self.outcome, self.reason)


@dataclass(frozen=True)
class SyncDone(SyncEnded, name="sync.done", outcome="success"):
    """The marker's release is active and served."""

    since_marker_seconds: float = 0.0

    def fields(self) -> Mapping[str, object]:
        """Return the fields, with the seconds since the marker changed."""
        return {**super().fields(), "since_marker_seconds": round(self.since_marker_seconds, 3)}


@dataclass(frozen=True)
class SyncFailed(SyncEnded, name="sync.failed", level=logging.WARNING, outcome="error"):
    """A sync failed and is tried again.

    Attributes:
        kind: The name of the failure's exit code, in lower case.
        retry_seconds: The seconds until the next try.
    """

    kind: str = "internal"
    retry_seconds: float = 0.0

    def fields(self) -> Mapping[str, object]:
        """Return the fields, with the kind of failure and the seconds until the next try."""
        return {**super().fields(), "kind": self.kind, "retry_seconds": self.retry_seconds}


class SyncBroken(SyncEnded, name="sync.failed", level=logging.ERROR, outcome="error"):
    """A sync ended in an unexpected error; it is tried again."""


class SyncSuperseded(SyncEnded, name="sync.superseded", outcome="superseded"):
    """The marker changed before the sync was done."""


class SyncStopped(SyncEnded, name="sync.stopped", outcome="stopped"):
    """The agent was told to stop."""


class SyncTakenBack(SyncEnded, name="sync.taken_back", outcome="taken_back"):
    """The worker was brought back to the active release."""


class SyncRepaired(SyncEnded, name="sync.repaired", outcome="repaired"):
    """The worker serves the repaired files of the active release."""


class TurnFailed(Event, name="sidecar.turn_failed", level=None):
    """A turn of the sidecar's loop ended in an unexpected error."""
