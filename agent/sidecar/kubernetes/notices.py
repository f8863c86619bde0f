"""Which lines of the log are Events, and what these say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Line = Mapping[str, Any]

# By the kind of a failure, which is the name of its exit code.
_FAILURES: Final = {
    "unreachable": "ShareUnreachable",
    "missing": "ReleaseMissing",
    "no_space": "StoreFull",
    "reload": "ReloadFailed",
}
_UNREACHABLE: Final = "ShareUnreachable"
_PHASE: Final = re.compile(r"(observe|stage|check|reload|activate)_seconds")
_DIGITS: Final = re.compile(r"\d+")


@dataclass(frozen=True)
class Notice:
    """What is to be an Event.

    Attributes:
        reason: Why, for machines, in CamelCase.
        note: What happened, for people.
        warning: Whether it is one.
        same: What is the same again with the same text here is a repetition; None if nothing is.
    """

    reason: str
    note: str
    warning: bool = False
    same: str | None = None


def of(line: Line) -> Notice | None:
    """What a line of the log is as an Event; None for most."""
    made = _NOTICES.get(line["event"])
    return made(line) if made else None


def matters(line: Line) -> bool:
    """Whether a line of the log may be an Event."""
    return line["event"] in _NOTICES


def changes_active(line: Line) -> bool:
    """Whether a line of the log says what is active now; see `active`."""
    return line["event"] in {"sidecar.started", "release.activated"}


def active(line: Line) -> str | None:
    """The release that such a line says is active."""
    found: str | None = line["active" if line["event"] == "sidecar.started" else "version"]
    return found


def _activated(line: Line) -> Notice:
    phases = [f"{m[1]} {line[m[0]]:g}" for m in map(_PHASE.fullmatch, line) if m]
    before = line["previous"] or "nothing"
    took = f"{line['seconds']:g} s ({', '.join(phases)})"
    return Notice("ReleaseActivated", f"{line['version']} is active, after {before}: {took}.")


def _quarantined(line: Line) -> Notice:
    return _refused(line["version"], line.get("previous"), line["reason"])


def _started(line: Line) -> Notice | None:
    if "refused" not in line:
        return None
    return _refused(line["desired"], line["active"], line["refused"])


def _refused(version: str, active: str | None, reason: str) -> Notice:
    stays = f"{active} stays active" if active else "none is active"
    return _trouble("ReleaseQuarantined", version, f"{version} is refused and {stays}: {reason}")


def _failed(line: Line) -> Notice:
    reason = _FAILURES.get(line.get("kind", ""), "SyncFailed")
    return _trouble(reason, line["version"], f"{line['version']} is tried again: {line['reason']}")


def _corrupt(line: Line) -> Notice:
    wrong = line.get("error") or f"Files of {line['version']} are corrupt: {line.get('files')}."
    return _trouble("StoreCorrupt", line["version"], wrong)


def _repaired(line: Line) -> Notice:
    return Notice("StoreRepaired", f"Files of {line['version']} were repaired: {line['files']}.")


def _unreachable(line: Line) -> Notice:
    return _trouble(_UNREACHABLE, "", line["error"])


def _unknown(line: Line) -> Notice:
    return _trouble("MarkerUnknown", "", f"The marker names no release: {line['reason']}.")


def _reachable(_: Line) -> Notice:
    return Notice("ShareReachable", "The share answers again.", same="ShareReachable")


def _taken_back(line: Line) -> Notice:
    version = line["version"]
    note = f"The worker was brought back to {version}, the active release."
    return Notice("WorkerTakenBack", note, same=f"WorkerTakenBack {version}")


def _trouble(reason: str, version: str, note: str) -> Notice:
    """Trouble is the same with other numbers in it; with a share that is away, whatever it says."""
    text = "" if reason == _UNREACHABLE else f"{version} {_DIGITS.sub('0', note)}"
    return Notice(reason, note, warning=True, same=f"{reason} {text}")


_NOTICES: Final[Mapping[str, Callable[[Line], Notice | None]]] = {
    "sync.done": _activated,
    "sync.failed": _failed,
    "sync.taken_back": _taken_back,
    "sidecar.started": _started,
    "release.quarantined": _quarantined,
    "share.unreachable": _unreachable,
    "share.reachable": _reachable,
    "marker.unknown": _unknown,
    "store.corrupt": _corrupt,
    "store.repaired": _repaired,
}
