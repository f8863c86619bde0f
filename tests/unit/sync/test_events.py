"""Each event's line in the log: name, level and fields are what dashboards and people go by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from agent import logs
from agent.sync import events, waiting
from agent.sync.listening import Event, LogListener
from agent.sync.summary import SyncSummary

if TYPE_CHECKING:
    from collections.abc import Iterator

SUMMARY = SyncSummary("v2", "v1", 2, phases={"stage": 0.5}, began=1.0, ended=2.5)
SYNC = {"version": "v2", "previous": "v1", "attempt": 2, "stage_seconds": 0.5}
SYNC |= {"seconds": 1.5, "staged_bytes": 0, "reused_bytes": 0}
DIGEST = "0123456789abcdef" * 4
WARMED = {"version": "v2", "model": "m", "device": "cpu"}

# Event, level, name, fields: as they are since 0.1.0.
LINES: list[tuple[Event, str, str, dict[str, Any]]] = [
    (
        events.Staged("v2", DIGEST, "share", 1.23456, {"share": 7, "reused": 9}),
        *("info", "release.staged"),
        {
            "version": "v2",
            "digest": "0123456789ab",
            "origin": "share",
            "seconds": 1.235,
            "share_bytes": 7,
            "reused_bytes": 9,
        },
    ),
    (events.Verified("v2", 7), "info", "release.verified", {"version": "v2", "bytes": 7}),
    (
        events.ModelMissing("m", "fastembed"),
        *("warning", "catalog.model_missing"),
        {"model": "m", "loader": "fastembed"},
    ),
    (
        events.ModelWarmed("v2", "m", "cpu", 1.00049, 0.25, 0.12345, 0.99999949),
        *("info", "model.warmed"),
        {
            **WARMED,
            "load_seconds": 1.0,
            "first_seconds": 0.25,
            "canary_seconds": 0.123,
            "canary_cosine": 0.999999,
        },
    ),
    (
        events.ModelWarmed("v2", "m", "cpu", 1, 0.25, None, None),
        *("info", "model.warmed"),
        {
            **WARMED,
            "load_seconds": 1,
            "first_seconds": 0.25,
            "canary_seconds": None,
            "canary_cosine": None,
        },
    ),
    (
        events.ModelNotRun("v2", "m", "torch is not installed"),
        *("warning", "model.not_run"),
        {"version": "v2", "model": "m", "reason": "torch is not installed"},
    ),
    (events.Activated("v2"), "info", "release.activated", {"version": "v2"}),
    (events.Pruned("v1"), "info", "release.pruned", {"version": "v1"}),
    (
        events.Quarantined("v2", "It is bad."),
        *("error", "release.quarantined"),
        {"version": "v2", "reason": "It is bad."},
    ),
    (
        events.Quarantined("v2", "It is bad.", SUMMARY),
        *("error", "release.quarantined"),
        {**SYNC, "reason": "It is bad.", "outcome": "quarantined"},
    ),
    (
        events.Refused("v2", "It is bad."),
        *("error", "release.refused"),
        {"version": "v2", "error": "It is bad."},
    ),
    (
        events.StoreCorrupt("v1", "Bits."),
        *("error", "store.corrupt"),
        {"version": "v1", "error": "Bits."},
    ),
    (
        events.StoreCorrupt("v1", files=["a", "b"]),
        *("error", "store.corrupt"),
        {"version": "v1", "files": ["a", "b"]},
    ),
    (
        events.SpareCorrupt("v1", "Bits."),
        *("warning", "store.corrupt"),
        {"version": "v1", "error": "Bits."},
    ),
    (
        events.StoreRepaired("v1", ["a"], ["v0", "v1"], 0.5),
        *("warning", "store.repaired"),
        {"version": "v1", "files": ["a"], "releases": ["v0", "v1"], "seconds": 0.5},
    ),
    (
        events.ReloadConfirmed("v2", 0.5),
        *("info", "reload.confirmed"),
        {"version": "v2", "seconds": 0.5},
    ),
    (events.ShareUnreachable("Away."), "warning", "share.unreachable", {"error": "Away."}),
    (events.ShareReachable(), "info", "share.reachable", {}),
    (events.MarkerRead("v2", []), "info", "marker.read", {"version": "v2", "previous": []}),
    (events.MarkerUnknown("empty"), "warning", "marker.unknown", {"reason": "empty"}),
    (
        events.SidecarStarted(None, None),
        *("info", "sidecar.started"),
        {"active": None, "desired": None},
    ),
    (
        events.SidecarStarted("v1", "v2", "It is bad."),
        *("info", "sidecar.started"),
        {"active": "v1", "desired": "v2", "refused": "It is bad."},
    ),
    (
        events.SyncDone(SUMMARY, since_marker_seconds=9.87654),
        *("info", "sync.done"),
        {**SYNC, "outcome": "success", "since_marker_seconds": 9.877},
    ),
    (
        events.SyncFailed(SUMMARY, "No room.", kind="no_space", retry_seconds=5.0),
        *("warning", "sync.failed"),
        {**SYNC, "outcome": "error", "reason": "No room.", "kind": "no_space", "retry_seconds": 5},
    ),
    (
        events.SyncBroken(SUMMARY, "internal error"),
        *("error", "sync.failed"),
        {**SYNC, "outcome": "error", "reason": "internal error"},
    ),
    (
        events.SyncSuperseded(SUMMARY, "the marker names v3 now"),
        *("info", "sync.superseded"),
        {**SYNC, "outcome": "superseded", "reason": "the marker names v3 now"},
    ),
    (
        events.SyncStopped(SUMMARY, "told to"),
        *("info", "sync.stopped"),
        {**SYNC, "outcome": "stopped", "reason": "told to"},
    ),
    (
        waiting.WorkerSilent("http://w", "2026", "does not answer"),
        *("warning", "worker.silent"),
        {"url": "http://w", "since": "2026", "reason": "does not answer"},
    ),
    (
        waiting.WorkerAbsent("http://w", "2026", "accepts no connections"),
        *("info", "worker.silent"),
        {"url": "http://w", "since": "2026", "reason": "accepts no connections"},
    ),
    (
        waiting.WorkerAnswers("http://w", 20.5),
        *("info", "worker.answers"),
        {"url": "http://w", "seconds": 20.5},
    ),
    (
        waiting.ReloadWaiting("http://w", "2026", "v2"),
        *("info", "reload.waiting"),
        {"url": "http://w", "since": "2026", "version": "v2"},
    ),
    (events.SyncTakenBack(SUMMARY), "info", "sync.taken_back", {**SYNC, "outcome": "taken_back"}),
    (events.SyncRepaired(SUMMARY), "info", "sync.repaired", {**SYNC, "outcome": "repaired"}),
]

UNSAID = [
    events.VerificationFailed("v2"),
    events.ReloadAsked("v2"),
    events.ReloadFailed("v2"),
    events.PhaseEnded("stage", 0.5),
    events.TurnFailed(),
]


def kinds(of: type[Event]) -> Iterator[type[Event]]:
    """Yield every kind of event that the agent tells."""
    for kind in of.__subclasses__():
        if kind.__module__ in {events.__name__, waiting.__name__}:
            yield from kinds(kind)
            yield kind


@pytest.mark.parametrize(
    ("event", "level", "name", "fields"), LINES, ids=lambda v: type(v).__name__
)
def test_lines(event: Event, level: str, name: str, fields: dict[str, Any]) -> None:
    """Whoever reads the log finds what 0.1.0 wrote there."""
    with capture_logs() as said:
        LogListener(logs.get()).hear(event)
    assert said == [{"log_level": level, "event": name, **fields}]


@pytest.mark.parametrize("event", UNSAID, ids=lambda v: type(v).__name__)
def test_what_is_only_counted(event: Event) -> None:
    """It is no line of the log: another line says it already."""
    with capture_logs() as said:
        LogListener(logs.get()).hear(event)
    assert said == []


def test_every_event_is_looked_at_here() -> None:
    """A new kind of event has its line held here, too."""
    seen = {type(event) for event in [*(line[0] for line in LINES), *UNSAID]}
    assert set(kinds(Event)) - {events.SyncEnded, waiting.Waiting} == seen


def test_waits_in_words() -> None:
    """People read what is waited for, and in which way."""
    silent = waiting.WorkerSilent("http://w", "2026", "accepts connections and does not answer")
    assert silent.what == "the worker at http://w, which accepts connections and does not answer"
    slow = waiting.ReloadWaiting("http://w", "2026", "v2")
    assert slow.what == "the worker at http://w to serve v2"
