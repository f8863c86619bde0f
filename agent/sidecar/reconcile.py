"""Decides the next action from what is observed. Pure, and level-triggered.

Nothing here remembers an event. Every cycle observes all that counts and decides one step, and the
next cycle observes again: a crash, a lost answer or a missed event costs time, never correctness.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agent.release.target import Target
from agent.sync.state import MAX_UNFINISHED, WORN_OUT, still_quarantined

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.release.marker import Marker
    from agent.settings import Method
    from agent.sync.state import Quarantine


_FIRST_DELAY: Final = 5.0
_LONGEST_DELAY: Final = 300.0

# The name under which a repair is put off. No version has it.
REPAIR: Final = "(repair)"


@dataclass(frozen=True)
class WorkerView:
    """The worker's own account of itself.

    Attributes:
        serving: The release that answers requests; None if none does.
        target: The release that it was last asked for.
        state: How far it is with `target`.
        instance: Another text after each start of the worker.
        reason: Why it failed, if it did.
    """

    serving: Target | None
    target: Target | None
    state: str
    instance: str
    reason: str | None = None


@dataclass(frozen=True)
class Observed:
    """Everything that a decision depends on.

    Attributes:
        now: Seconds on any clock that only goes forward.
        marker: The marker; None if it is unknown, which never means a change.
        offered: The digest of the desired release on the share; None if unknown or without one.
        active: The release that `current` leads to.
        held: Digests, by version, of the complete and verified releases in the store.
        checked: Digests, by version, of the releases that passed their check.
        quarantined: The releases that failed, by version.
        attempts: The number of attempts at a version that began and never ended.
        not_before: The time, on the clock of `now`, before which a version, or `REPAIR`, is not
            tried again.
        rotten: Whether files of the active release are known to have wrong bytes.
        outdated: Whether the worker may serve bytes of the active release from before a repair.
        refused: Why the active release may not be served; None if it may.
        another_space: Why the desired release's vectors do not match the active one's; None if they
            match, or the marker allows another space.
        method: The way in which the worker is told of a release.
        worker: The worker's own account; None if it does not answer.
    """

    now: float
    marker: Marker | None = None
    offered: str | None = None
    active: Target | None = None
    held: Mapping[str, str] = field(default_factory=dict)
    checked: Mapping[str, str] = field(default_factory=dict)
    quarantined: Mapping[str, Quarantine] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)
    not_before: Mapping[str, float] = field(default_factory=dict)
    rotten: bool = False
    outdated: bool = False
    refused: str | None = None
    another_space: str | None = None
    method: Method = "http"
    worker: WorkerView | None = None


@dataclass(frozen=True)
class Wait:
    """Do nothing until something changes."""

    reason: str


@dataclass(frozen=True)
class Repair:
    """Replace the bad files of the active version by right ones."""

    version: str


@dataclass(frozen=True)
class Stage:
    """Bring the version from the share into the store, verified."""

    version: str


@dataclass(frozen=True)
class Check:
    """Check that the version loads, is right, and is in the same embedding space."""

    version: str


@dataclass(frozen=True)
class Reload:
    """Have the worker load the target and confirm that it serves it.

    `back` says that this is the active release: the worker is brought back to it.
    """

    target: Target
    back: bool = False


@dataclass(frozen=True)
class Activate:
    """Flip `current` to the version."""

    version: str


@dataclass(frozen=True)
class GiveUp:
    """Quarantine the version without another attempt."""

    version: str
    reason: str


Action = Wait | Repair | Stage | Check | Reload | Activate | GiveUp


def decide(seen: Observed) -> Action:
    """Return the next step towards the marker's release; failing that, towards the active one."""
    if seen.active and seen.rotten and seen.now >= seen.not_before.get(REPAIR, 0.0):
        return Repair(seen.active.version)
    desired = seen.marker.version if seen.marker else None
    if desired is None or (seen.active and desired == seen.active.version):
        return _settle(seen, "the marker names no other release")
    if _is_quarantined(seen, desired):
        return _settle(seen, f"{desired} is quarantined")
    if seen.attempts.get(desired, 0) >= MAX_UNFINISHED:
        return GiveUp(desired, WORN_OUT)
    if seen.now < seen.not_before.get(desired, 0.0):
        return _settle(seen, f"{desired} failed and is tried again later")
    return _advance(seen, desired)


def delay(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row: doubling, up to five minutes."""
    return float(min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** min(failures - 1, 10)))


def _advance(seen: Observed, desired: str) -> Action:
    digest = seen.held.get(desired)
    if digest is None or (seen.offered and seen.offered != digest):
        return Stage(desired)
    if seen.another_space:
        return GiveUp(desired, seen.another_space)
    if seen.checked.get(desired) != digest:
        return Check(desired)
    return _serve(seen, Target(desired, digest))


def _serve(seen: Observed, target: Target) -> Action:
    """Have the worker serve the checked `target`, then make it active."""
    # Without an active release no worker serves yet: one that starts now finds this release.
    if seen.method == "none" or seen.active is None:
        return Activate(target.version)
    if _serves(seen.worker, target):
        return Activate(target.version)
    if seen.worker is None:
        return Wait(f"the worker does not answer, so {target.version} waits for it")
    return Reload(target)


def _settle(seen: Observed, reason: str) -> Action:
    """Stay with the active release: see that the worker serves it, and was asked for it last."""
    if seen.refused:
        return Wait(seen.refused)
    if seen.active is None or seen.method == "none" or seen.worker is None:
        return Wait(reason)
    astray = seen.worker.target not in {None, seen.active}
    if _serves(seen.worker, seen.active) and not astray and not seen.outdated:
        return Wait(reason)
    if seen.now < seen.not_before.get(seen.active.version, 0.0):
        return Wait(f"the worker did not take {seen.active.version} and is asked again later")
    return Reload(seen.active, back=True)


def _serves(worker: WorkerView | None, target: Target) -> bool:
    """Return whether `target` answers requests and is not being loaded again."""
    if worker is None or worker.serving != target:
        return False
    return worker.state == "ready" or worker.target != target


def _is_quarantined(seen: Observed, version: str) -> bool:
    entry = seen.quarantined.get(version)
    return entry is not None and still_quarantined(entry, seen.marker, seen.offered)
