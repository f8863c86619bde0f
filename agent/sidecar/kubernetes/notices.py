"""Makes the notices that Kubernetes gets from the events of a sync. Pure: no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agent.sync import events

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.sync.listening import Event

# The reason of a notice, by the failure's kind, which is the name of its exit code.
_FAILURES: Final = {
    "unreachable": "ShareUnreachable",
    "missing": "ReleaseMissing",
    "no_space": "StoreFull",
    "reload": "ReloadFailed",
}
_OTHER: Final = "SyncFailed"
_UNREACHABLE: Final = "ShareUnreachable"
_PHASES: Final = ("observe", "stage", "check", "reload", "activate")
_DIGITS: Final = re.compile(r"\d+")


@dataclass(frozen=True)
class Notice:
    """The content of one Kubernetes Event.

    Attributes:
        reason: The reason, for machines, in CamelCase.
        note: The sentence, for people.
        warning: True if it is a warning.
        same: Notices with an equal key are counted as one Event; None is never merged.
    """

    reason: str
    note: str
    warning: bool = False
    same: str | None = None


def of(event: Event) -> Notice | None:
    """Return the notice for an event; None for most."""
    made = _NOTICES.get(type(event))
    return made(event) if made else None


def matters(event: Event) -> bool:
    """Return true if an event may give a notice."""
    return type(event) in _NOTICES


def changes_active(event: Event) -> bool:
    """Return true if an event names the release that is active now; see `active`."""
    return isinstance(event, events.SidecarStarted | events.Activated)


def active(event: Event) -> str | None:
    """Return the release that such an event names as active; None if it names none."""
    match event:
        case events.SidecarStarted(active=version) | events.Activated(version=version):
            return version
        case _:
            return None


def _activated(event: events.SyncDone) -> Notice:
    summary = event.summary
    phases = [f"{p} {round(summary.phases[p], 3):g}" for p in _PHASES if p in summary.phases]
    before = summary.previous or "nothing"
    took = f"{round(summary.seconds, 3):g} s ({', '.join(phases)})"
    return Notice("ReleaseActivated", f"{summary.version} is active, after {before}: {took}.")


def _quarantined(event: events.Quarantined) -> Notice:
    active = event.summary.previous if event.summary else None
    return _refused(event.version, active, event.reason)


def _started(event: events.SidecarStarted) -> Notice | None:
    if event.refused is None:
        return None
    return _refused(event.desired or "", event.active, event.refused)


def _refused(version: str, active: str | None, reason: str) -> Notice:
    stays = f"{active} stays active" if active else "none is active"
    return _trouble("ReleaseQuarantined", version, f"{version} is refused and {stays}: {reason}")


def _failed(event: events.SyncFailed) -> Notice:
    return _again(_FAILURES.get(event.kind, _OTHER), event)


def _broken(event: events.SyncBroken) -> Notice:
    return _again(_OTHER, event)


def _again(reason: str, event: events.SyncEnded) -> Notice:
    version = event.summary.version or ""
    return _trouble(reason, version, f"{version} is tried again: {event.reason}")


def _corrupt(event: events.StoreCorrupt) -> Notice:
    wrong = event.error or f"Files of {event.version} are corrupt: {event.files}."
    return _trouble("StoreCorrupt", event.version, wrong)


def _repaired(event: events.StoreRepaired) -> Notice:
    return Notice("StoreRepaired", f"Files of {event.version} were repaired: {event.files}.")


def _unreachable(event: events.ShareUnreachable) -> Notice:
    return _trouble(_UNREACHABLE, "", event.error)


def _unknown(event: events.MarkerUnknown) -> Notice:
    return _trouble("MarkerUnknown", "", f"The marker names no release: {event.reason}.")


def _reachable(_: events.ShareReachable) -> Notice:
    return Notice("ShareReachable", "The share answers again.", same="ShareReachable")


def _taken_back(event: events.SyncTakenBack) -> Notice:
    version = event.summary.version
    note = f"The worker was brought back to {version}, the active release."
    return Notice("WorkerTakenBack", note, same=f"WorkerTakenBack {version}")


def _trouble(reason: str, version: str, note: str) -> Notice:
    """Return a warning; its key ignores numbers, and all of the text if the share is away."""
    text = "" if reason == _UNREACHABLE else f"{version} {_DIGITS.sub('0', note)}"
    return Notice(reason, note, warning=True, same=f"{reason} {text}")


_NOTICES: Final[Mapping[type[Event], Callable[[Any], Notice | None]]] = {
    events.SyncDone: _activated,
    events.SyncFailed: _failed,
    events.SyncBroken: _broken,
    events.SyncTakenBack: _taken_back,
    events.SidecarStarted: _started,
    events.Quarantined: _quarantined,
    events.ShareUnreachable: _unreachable,
    events.ShareReachable: _reachable,
    events.MarkerUnknown: _unknown,
    events.StoreCorrupt: _corrupt,
    events.SpareCorrupt: _corrupt,
    events.StoreRepaired: _repaired,
}
