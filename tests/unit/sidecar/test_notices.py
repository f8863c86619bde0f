"""The Kubernetes Events of a sync, and which of them are the same trouble again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.sidecar.kubernetes import notices
from agent.sidecar.kubernetes.series import ENDED_SECONDS, UPDATE_SECONDS, Event, Series
from agent.sync import events
from agent.sync.events import SyncFailed
from agent.sync.summary import SyncSummary

if TYPE_CHECKING:
    from agent.sidecar.kubernetes.notices import Notice
    from agent.sync.listening import Event as SyncEvent


def summary(version: str, previous: str | None = "v1", **phases: float) -> SyncSummary:
    """A sync that took a second and a half."""
    return SyncSummary(version, previous, phases=phases, began=10.0, ended=11.5)


def failed(version: str = "v2", reason: str = "It took 3 s.", kind: str = "warmup") -> SyncFailed:
    """A sync that failed."""
    return SyncFailed(summary(version), reason, kind=kind, retry_seconds=5)


def noted(event: SyncEvent) -> Notice:
    """The notice of an event that has one."""
    found = notices.of(event)
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
        ("internal", "SyncFailed"),
    ],
)
def test_failures(kind: str, reason: str) -> None:
    """A failure's reason follows from its kind, which is its exit code's; all are warnings."""
    notice = noted(failed(kind=kind))
    assert (notice.reason, notice.warning) == (reason, True)
    assert notice.note == "v2 is tried again: It took 3 s."


@pytest.mark.parametrize(
    ("event", "warning", "note"),
    [
        (
            events.SyncDone(summary("v2", stage=0.25)),
            False,
            "v2 is active, after v1: 1.5 s (stage 0.25).",
        ),
        (
            events.SyncDone(summary("v2", None), since_marker_seconds=9),
            False,
            "v2 is active, after nothing: 1.5 s ().",
        ),
        (
            events.Quarantined("v2", "No.", summary("v2")),
            True,
            "v2 is refused and v1 stays active: No.",
        ),
        (events.Quarantined("v2", "No."), True, "v2 is refused and none is active: No."),
        (
            events.SidecarStarted("v1", "v2", "No."),
            True,
            "v2 is refused and v1 stays active: No.",
        ),
        (
            events.SyncBroken(summary("v2"), "internal error"),
            True,
            "v2 is tried again: internal error",
        ),
        (
            events.SyncTakenBack(summary("v1")),
            False,
            "The worker was brought back to v1, the active release.",
        ),
        (events.ShareUnreachable("It hangs."), True, "It hangs."),
        (events.ShareReachable(), False, "The share answers again."),
        (events.MarkerUnknown("it is empty"), True, "names no release: it is empty."),
        (events.StoreCorrupt("v1", "Rot."), True, "Rot."),
        (events.SpareCorrupt("v1", "Rot."), True, "Rot."),
        (events.StoreCorrupt("v1", files=["a"]), True, "v1 are corrupt: ['a']."),
        (events.StoreRepaired("v1", ["a"], ["v1"], 0.1), False, "v1 were repaired: ['a']."),
    ],
)
def test_notes(event: SyncEvent, note: str, *, warning: bool) -> None:
    """Each says in a sentence what happened; what went well is no warning."""
    notice = noted(event)
    assert (notice.warning, notice.note.endswith(note)) == (warning, True), notice


@pytest.mark.parametrize(
    "event", [events.MarkerRead("v2", []), events.Verified("v2", 7), events.Pruned("v1")]
)
def test_most_events_have_no_notice(event: SyncEvent) -> None:
    """Only outcomes have one, and what must be looked at."""
    assert not notices.matters(event)
    assert notices.of(event) is None
    assert not notices.changes_active(event)


def test_an_ordinary_start_has_no_notice() -> None:
    """It only says what is active."""
    start = events.SidecarStarted("v1", "v1")
    assert notices.of(start) is None
    assert notices.changes_active(start)
    assert notices.active(start) == "v1"
    assert notices.active(events.Activated("v2")) == "v2"
    assert notices.active(events.Pruned("v1")) is None


def test_what_is_the_same_trouble() -> None:
    """Other numbers are the same, another release or text is not; nor is an activation ever."""
    same = noted(failed()).same
    assert same == noted(failed(reason="It took 17 s.")).same
    assert same != noted(failed("v3")).same
    assert same != noted(failed(reason="It fell over.")).same
    away = noted(events.ShareUnreachable("It hangs.")).same
    assert away == noted(failed(kind="unreachable")).same
    assert noted(events.SyncDone(summary("v2"))).same is None


def series() -> Series:
    names = iter("abcdefg")
    return Series(lambda: next(names))


def test_a_series() -> None:
    """The second is written at once, those after it once a minute, with all that were counted."""
    notice, running = noted(failed()), series()
    assert running.next(notice, 0) == Event("a", notice)
    assert running.next(notice, 5) == Event("a", notice, 2)
    assert running.next(notice, 10) is None
    assert running.next(notice, 5 + UPDATE_SECONDS) == Event("a", notice, 4)


def test_a_series_ends() -> None:
    """After a long pause it is a new Event; until then back-off does not end it."""
    notice, running = noted(failed()), series()
    running.next(notice, 0)
    assert running.next(notice, ENDED_SECONDS - 1) == Event("a", notice, 2)
    assert running.next(notice, 2 * ENDED_SECONDS) == Event("b", notice)


def test_other_trouble_is_another_series() -> None:
    """What comes in between does not end a series, and what is never the same is always new."""
    trouble, running = noted(failed()), series()
    done = noted(events.SyncDone(summary("v1", "v2")))
    assert running.next(trouble, 0) == Event("a", trouble)
    assert running.next(done, 1) == Event("b", done)
    assert running.next(done, 2) == Event("c", done)
    assert running.next(trouble, 3) == Event("a", trouble, 2)
