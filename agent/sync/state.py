"""The agent's state on disk, `.agent/state.json`; nothing durable is anywhere else. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from agent.release import paths
from agent.release.version import is_version

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from agent.release.marker import Marker

SCHEMA: Final = 1
# Far more than are ever made: two that did not end are a failure.
_MOST_ATTEMPTS: Final = 1000


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return False
    return True


class Worker(msgspec.Struct, frozen=True):
    """The worker's release, state and failure, as it reported them last."""

    version: str | None = None
    state: str | None = None
    reason: str | None = None


class Quarantine(msgspec.Struct, frozen=True):
    """A release that is not tried again until the marker's bytes or its digest change.

    Attributes:
        reason: The failure, for people.
        marker_sha256: The SHA-256 of the marker's bytes; empty if none was known.
        digest: The release's digest; None if it was unknown, empty if the share had no sound
            manifest.
        at: The time of the failure, in UTC.
    """

    reason: str
    marker_sha256: str
    digest: str | None
    at: str


class Rot(msgspec.Struct, frozen=True):
    """Corrupt files of the active release.

    Attributes:
        version: The release.
        files: The files' paths in it.
        at: The time at which they were found, in UTC.
        reason: The reason why the last repair failed; None before the first try.
    """

    version: str
    files: tuple[str, ...]
    at: str
    reason: str | None = None


class Waiting(msgspec.Struct, frozen=True):
    """A wait of the sidecar.

    Attributes:
        what: The thing that it waits for, for people.
        since: The time at which the wait began, in UTC.
    """

    what: str
    since: str


class State(msgspec.Struct, frozen=True):
    """The state that outlives the process.

    Attributes:
        active: The active release, which `current` leads to.
        previous: The release that was active before.
        pointed: The release that `current` leads to for a worker that was signalled and has not
            confirmed it yet; else None.
        desired: The release that the marker names.
        worker: The worker's last report.
        quarantined: Releases that failed, by version.
        attempts: The number of attempts that began and did not end, by version.
        tried_for: The SHA-256 of the marker's bytes that the attempts are for.
        checked: The digests, by version, of releases that passed their check in this store.
        ground: The environment in which they passed; see `agent.warmup.passes.sha256`.
        rot: The corrupt files of the active release, until they are repaired.
        outdated: The active release, if the worker may still serve bytes from before a repair.
        last_reverified: The time at which all of the active release was last verified again, UTC.
        last_success: The time at which a release was last activated or confirmed, UTC.
        last_error: The last failure, for people; None after a success.
        doing: The sidecar's current step, or why it takes none; None while no sidecar runs.
        doing_since: The time since which it does that, in UTC.
        waiting: The thing that the sidecar waits for; None if it waits for nothing.
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
    doing: str | None = None
    doing_since: str | None = None
    waiting: Waiting | None = None

    @property
    def strange(self) -> str | None:
        """The first value that no agent writes, which a disk or a hand made; None without one."""
        return next(self._strange(), None)

    def _strange(self) -> Iterator[str]:
        rot = self.rot or Rot("v", (), "")
        named = (self.active, self.previous, self.pointed, self.desired, self.outdated, rot.version)
        keys = (*self.quarantined, *self.attempts, *self.checked)
        yield from (f"a version {v[:80]!r}" for v in (*named, *keys) if v and not is_version(v))
        yield from (f"a path {path[:80]!r}" for path in rot.files if paths.problem(path))
        at = (*(entry.at for entry in self.quarantined.values()), rot.at, self.doing_since)
        since = self.waiting.since if self.waiting else None
        times = (*at, since, self.last_reverified, self.last_success)
        yield from (f"a time {time[:80]!r}" for time in times if time and not _is_time(time))
        counts = self.attempts.values()
        yield from (f"{n} attempts" for n in counts if not 0 <= n <= _MOST_ATTEMPTS)

    def refused(self) -> dict[str, Quarantine]:
        """Return the releases that are not tried with the current marker; others are history."""
        marker = self.tried_for or ""
        return {v: entry for v, entry in self.quarantined.items() if entry.marker_sha256 == marker}

    def forget(self, *, but: Collection[str]) -> State:
        """Return the state without quarantines of other versions, and without their failure.

        A marker that names such a version again is another one, for which it would be tried anew.
        """
        kept = {v: entry for v, entry in self.quarantined.items() if v in but}
        gone = {entry.reason for v, entry in self.quarantined.items() if v not in but}
        error = None if self.last_error in gone else self.last_error
        return replace(self, quarantined=kept, last_error=error)


MAX_UNFINISHED: Final = 2


WORN_OUT: Final = (
    f"{MAX_UNFINISHED} attempts never ended: the agent, its check or the worker was killed, most "
    "likely for lack of memory, or crashed."
)


WORN_OUT_REMEDY: Final = (
    "Raise the container's memory limit, or find the crash in its log; then promote again."
)


def still_quarantined(entry: Quarantine, marker: Marker | None, offered: str | None) -> bool:
    """Return true if the marker's bytes and the release's digest are the same as at the failure.

    A marker or digest that is unknown now counts as unchanged. A digest where none could be read
    before counts as a change: the manifest was refused or incomplete, and is good now.

    Args:
        entry: The failure.
        marker: The marker; None if it is unknown.
        offered: The digest of the release on the share; None if it is unknown.
    """
    same_marker = marker is None or entry.marker_sha256 == marker.sha256
    same_digest = offered in {None, entry.digest}
    return same_marker and same_digest
