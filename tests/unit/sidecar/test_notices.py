"""What lines of the log are as Kubernetes Events, and which Events are the same trouble again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agent.sidecar.kubernetes import notices
from agent.sidecar.kubernetes.series import ENDED_SECONDS, UPDATE_SECONDS, Event, Series

if TYPE_CHECKING:
    from agent.sidecar.kubernetes.notices import Notice

FAILED = {"event": "sync.failed", "version": "v2", "reason": "It took 3 s."}


def line(event: str, **fields: Any) -> dict[str, Any]:
    return {"event": event, "level": "info", "timestamp": "2026-11-23T15:00:00Z", **fields}


def noted(event: str, **fields: Any) -> Notice:
    found = notices.of(line(event, **fields))
    assert found
    return found


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("reload", "ReloadFailed"),
        ("unreachable", "ShareUnreachable"),
        ("missing", "ReleaseMissing"),
        ("no_space", "StoreFull"),
        ("warmup", "SyncFailed"),
        (None, "SyncFailed"),
    ],
)
def test_failures(kind: str | None, reason: str) -> None:
    """A failure's reason follows from its kind, which is its exit code's; all are warnings."""
    kinds = {"kind": kind} if kind else {}
    notice = noted(**FAILED, **kinds)
    assert (notice.reason, notice.warning) == (reason, True)
    assert notice.note == "v2 is tried again: It took 3 s."


@pytest.mark.parametrize(
    ("event", "fields", "warning", "note"),
    [
        (
            "sync.done",
            {"version": "v2", "previous": "v1", "seconds": 1.5, "stage_seconds": 0.25},
            False,
            "v2 is active, after v1: 1.5 s (stage 0.25).",
        ),
        (
            "sync.done",
            {"version": "v2", "previous": None, "seconds": 2, "since_marker_seconds": 9},
            False,
            "v2 is active, after nothing: 2 s ().",
        ),
        (
            "release.quarantined",
            {"version": "v2", "previous": "v1", "reason": "No."},
            True,
            "v2 is refused and v1 stays active: No.",
        ),
        (
            "release.quarantined",
            {"version": "v2", "reason": "No."},
            True,
            "v2 is refused and none is active: No.",
        ),
        (
            "sidecar.started",
            {"active": "v1", "desired": "v2", "refused": "No."},
            True,
            "v2 is refused and v1 stays active: No.",
        ),
        (
            "sync.taken_back",
            {"version": "v1"},
            False,
            "The worker was brought back to v1, the active release.",
        ),
        ("share.unreachable", {"error": "It hangs."}, True, "It hangs."),
        ("share.reachable", {}, False, "The share answers again."),
        ("marker.unknown", {"reason": "it is empty"}, True, "names no release: it is empty."),
        ("store.corrupt", {"version": "v1", "error": "Rot."}, True, "Rot."),
        ("store.corrupt", {"version": "v1", "files": ["a"]}, True, "v1 are corrupt: ['a']."),
        ("store.repaired", {"version": "v1", "files": ["a"]}, False, "v1 were repaired: ['a']."),
    ],
)
def test_notes(event: str, fields: dict[str, Any], note: str, *, warning: bool) -> None:
    """Each says in a sentence what happened; what went well is no warning."""
    notice = noted(event, **fields)
    assert (notice.warning, notice.note.endswith(note)) == (warning, True), notice


@pytest.mark.parametrize("event", ["marker.read", "release.staged", "kubernetes.refused"])
def test_most_lines_are_no_event(event: str) -> None:
    """Only outcomes are, and what must be looked at."""
    assert not notices.matters(line(event))
    assert notices.of(line(event)) is None
    assert not notices.changes_active(line(event))


def test_an_ordinary_start_is_no_event() -> None:
    """It only says what is active."""
    start = line("sidecar.started", active="v1", desired="v1")
    assert notices.of(start) is None
    assert notices.changes_active(start)
    assert notices.active(start) == "v1"
    assert notices.active(line("release.activated", version="v2")) == "v2"


def test_what_is_the_same_trouble() -> None:
    """Other numbers are the same, another release or text is not; nor is an activation ever."""
    same = noted(**FAILED).same
    assert same == noted(**FAILED | {"reason": "It took 17 s."}).same
    assert same != noted(**FAILED | {"version": "v3"}).same
    assert same != noted(**FAILED | {"reason": "It fell over."}).same
    away = noted("share.unreachable", error="It hangs.").same
    assert away == noted(**FAILED, kind="unreachable").same
    done = {"version": "v2", "previous": "v1", "seconds": 1.5}
    assert noted("sync.done", **done).same is None


def series() -> Series:
    names = iter("abcdefg")
    return Series(lambda: next(names))


def test_a_series() -> None:
    """The second is written at once, those after it once a minute, with all that were counted."""
    notice, running = noted(**FAILED), series()
    assert running.next(notice, 0) == Event("a", notice)
    assert running.next(notice, 5) == Event("a", notice, 2)
    assert running.next(notice, 10) is None
    assert running.next(notice, 5 + UPDATE_SECONDS) == Event("a", notice, 4)


def test_a_series_ends() -> None:
    """After a long pause it is a new Event; until then back-off does not end it."""
    notice, running = noted(**FAILED), series()
    running.next(notice, 0)
    assert running.next(notice, ENDED_SECONDS - 1) == Event("a", notice, 2)
    assert running.next(notice, 2 * ENDED_SECONDS) == Event("b", notice)


def test_other_trouble_is_another_series() -> None:
    """What comes in between does not end a series, and what is never the same is always new."""
    failed, running = noted(**FAILED), series()
    done = noted("sync.done", version="v1", previous="v2", seconds=1)
    assert running.next(failed, 0) == Event("a", failed)
    assert running.next(done, 1) == Event("b", done)
    assert running.next(done, 2) == Event("c", done)
    assert running.next(failed, 3) == Event("a", failed, 2)
