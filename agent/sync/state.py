"""The agent's memory on disk: `.agent/state.json`. Nothing durable lives anywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from agent.release.marker import Marker

SCHEMA: Final = 1


class Worker(msgspec.Struct, frozen=True):
    """What the worker was last seen to serve."""

    version: str | None = None
    state: str | None = None
    reason: str | None = None


class Quarantine(msgspec.Struct, frozen=True):
    """Why a release is not tried again, until the marker's bytes or its digest change.

    The digest is None where it is unknown, and empty where the share had no sound manifest.
    """

    reason: str
    marker_sha256: str
    digest: str | None
    at: str


class Rot(msgspec.Struct, frozen=True):
    """Files of the active release that were found to have other bytes than its manifest says.

    Attributes:
        version: The release.
        files: Their paths in it.
        at: When they were found, UTC.
        reason: Why they are not repaired yet; None until that was tried.
    """

    version: str
    files: tuple[str, ...]
    at: str
    reason: str | None = None


class State(msgspec.Struct, frozen=True):
    """All that outlives the process.

    Attributes:
        active: What `current` leads to.
        previous: What it led to before.
        pointed: What it leads to for a worker that was signalled and has not confirmed it yet.
        desired: What the marker names.
        worker: What the worker was last seen to serve.
        quarantined: Releases that failed, by version.
        attempts: How often an attempt at a version began without ending.
        tried_for: The SHA-256 of the marker's bytes that the attempts are for.
        checked: The digest, by version, of what passed its check in this store.
        ground: Where it did; see `passed.sha256`.
        rot: What is wrong with the active release's files, until they are repaired.
        outdated: The active release, if the worker may still serve bytes from before a repair.
        last_reverified: When all of the active release was last read again and found right, UTC.
        last_success: When a release was last activated or confirmed, UTC.
        last_error: What failed last, for people; None after a success.
    """

    schema: int = SCHEMA
    active: str | None = None
    previous: str | None = None
    pointed: str | None = None
    desired: str | None = None
    worker: Worker = Worker()
    quarantined: dict[str, Quarantine] = msgspec.field(default_factory=dict)
    attempts: dict[str, int] = msgspec.field(default_factory=dict)
    tried_for: str | None = None
    checked: dict[str, str] = msgspec.field(default_factory=dict)
    ground: str | None = None
    rot: Rot | None = None
    outdated: str | None = None
    last_reverified: str | None = None
    last_success: str | None = None
    last_error: str | None = None

    def refused(self) -> dict[str, Quarantine]:
        """What is not tried under the marker that was read last; others are history."""
        marker = self.tried_for or ""
        return {v: entry for v, entry in self.quarantined.items() if entry.marker_sha256 == marker}


MAX_UNFINISHED: Final = 2


WORN_OUT: Final = (
    f"{MAX_UNFINISHED} attempts never ended: the agent, its check or the worker was killed, most "
    "likely for want of memory, or crashed."
)


WORN_OUT_REMEDY: Final = (
    "Raise the container's memory limit, or see in its log what crashed; then promote again."
)


def still_quarantined(entry: Quarantine, marker: Marker | None, offered: str | None) -> bool:
    """Whether nothing changed since: the marker's bytes and the release's digest are the same.

    What is unknown now counts as unchanged. A digest where none could be read before is a change:
    the manifest was refused, or half there, and is a good one now.
    """
    same_marker = marker is None or entry.marker_sha256 == marker.sha256
    same_digest = offered in {None, entry.digest}
    return same_marker and same_digest
