"""The heart: the next action of every state; where they lead is in `test_reconcile_model`."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pytest
from msgspec import structs

from agent.release.marker import Marker
from agent.release.target import Target
from agent.sidecar import reconcile
from agent.sidecar.reconcile import (
    Activate,
    Check,
    GiveUp,
    Observed,
    Reload,
    Stage,
    Wait,
    WorkerView,
    decide,
)
from agent.sync.state import WORN_OUT, Quarantine, still_quarantined

if TYPE_CHECKING:
    from agent.sidecar.reconcile import Action

OLD, NEW = Target("v1", "d1"), Target("v2", "d2")
FAILED: Final = Quarantine("it is bad", marker_sha256="m2", digest="d2", at="now")
ALREADY: Final = Wait("the marker names no other release")
QUARANTINED: Final = Wait("v2 is quarantined")


def worker(
    serving: Target | None = OLD, target: Target | None = OLD, state: str = "ready"
) -> WorkerView:
    """A worker that says this of itself."""
    return WorkerView(serving, target, state, "instance")


def moving(**changes: Any) -> Observed:
    """v1 is active and served; the marker names v2, which is held and checked; but for this."""
    usual: dict[str, Any] = {
        "now": 100.0,
        "marker": Marker("v2", sha256="m2"),
        "offered": "d2",
        "active": OLD,
        "held": {"v1": "d1", "v2": "d2"},
        "checked": {"v2": "d2"},
        "worker": worker(),
    }
    return Observed(**usual | changes)


def settled(**changes: Any) -> Observed:
    """v1 is active, served, and what the marker names; but for this."""
    return moving(**{"marker": Marker("v1", sha256="m1"), "offered": None} | changes)


def quarantined(**changes: Any) -> Observed:
    """The marker names v2, which failed under this marker with this content; but for this."""
    entry = structs.replace(FAILED, **changes.pop("entry", {}))
    return moving(**{"quarantined": {"v2": entry}} | changes)


FORWARD = [
    pytest.param(moving(held={"v1": "d1"}, checked={}), Stage("v2"), id="not-held"),
    pytest.param(moving(held={}, active=None, worker=None), Stage("v2"), id="empty-store"),
    pytest.param(moving(offered="d9"), Stage("v2"), id="other-content-on-the-share"),
    pytest.param(moving(offered=None, checked={}), Check("v2"), id="held-while-share-is-away"),
    pytest.param(moving(checked={}), Check("v2"), id="not-checked"),
    pytest.param(moving(checked={"v2": "d9"}), Check("v2"), id="other-content-checked"),
    pytest.param(moving(another_space="no"), GiveUp("v2", "no"), id="another-space"),
    pytest.param(
        moving(another_space="no", checked={}), GiveUp("v2", "no"), id="another-space-unchecked"
    ),
    pytest.param(moving(attempts={"v2": 1}), Reload(NEW), id="one-attempt-never-ended"),
    pytest.param(moving(refused="no"), Reload(NEW), id="away-from-a-refused-one-as-from-any"),
    pytest.param(moving(attempts={"v2": 2}), GiveUp("v2", WORN_OUT), id="two-never-ended"),
    pytest.param(
        moving(attempts={"v2": 3}, held={}),
        GiveUp("v2", WORN_OUT),
        id="three-never-ended",
    ),
    pytest.param(moving(attempts={"v1": 9}), Reload(NEW), id="attempts-at-another"),
    pytest.param(moving(not_before={"v2": 100.0}), Reload(NEW), id="put-off-until-now"),
    pytest.param(moving(not_before={"v1": 999.0}), Reload(NEW), id="another-is-put-off"),
    pytest.param(moving(now=0.0), Reload(NEW), id="the-clock-starts"),
]
RELOAD = [
    pytest.param(moving(), Reload(NEW), id="worker-serves-the-active"),
    pytest.param(moving(worker=worker(None, None, "failed")), Reload(NEW), id="serves-nothing"),
    pytest.param(moving(worker=worker(OLD, NEW, "loading")), Reload(NEW), id="is-loading-it"),
    pytest.param(moving(worker=worker(OLD, NEW, "failed")), Reload(NEW), id="failed-before"),
    pytest.param(moving(worker=worker(NEW, NEW, "loading")), Reload(NEW), id="loads-it-again"),
    pytest.param(
        moving(worker=worker(Target("v2", "d9"), Target("v2", "d9"))),
        Reload(NEW),
        id="serves-other-content",
    ),
    pytest.param(moving(worker=worker(NEW, NEW)), Activate("v2"), id="serves-it"),
    pytest.param(moving(worker=worker(NEW, None)), Activate("v2"), id="serves-it-since-its-start"),
    pytest.param(moving(worker=worker(NEW, OLD, "failed")), Activate("v2"), id="kept-it"),
    pytest.param(
        moving(worker=None), Wait("the worker does not answer, so v2 waits for it"), id="not-up"
    ),
    pytest.param(moving(method="none", worker=None), Activate("v2"), id="never-told"),
    pytest.param(
        moving(method="none", worker=None, checked={}), Check("v2"), id="never-told-but-checked"
    ),
    pytest.param(moving(active=None, worker=None), Activate("v2"), id="nothing-to-protect"),
    pytest.param(
        moving(active=None, worker=None, checked={}), Check("v2"), id="nothing-active-but-checked"
    ),
]
SETTLED = [
    pytest.param(settled(), ALREADY, id="all-is-well"),
    pytest.param(settled(marker=None), ALREADY, id="marker-unknown"),
    pytest.param(settled(marker=None, active=None, held={}), ALREADY, id="nothing-known"),
    pytest.param(settled(active=None, marker=None, worker=None), ALREADY, id="nothing-active"),
    pytest.param(settled(worker=None), ALREADY, id="worker-is-not-up"),
    pytest.param(settled(method="none"), ALREADY, id="worker-is-never-told"),
    pytest.param(
        settled(method="none", worker=worker(NEW, NEW)), ALREADY, id="never-told-though-astray"
    ),
    pytest.param(settled(worker=worker(OLD, None)), ALREADY, id="serves-it-since-its-start"),
    pytest.param(settled(held={}, checked={}), ALREADY, id="the-active-is-not-checked-again"),
    pytest.param(settled(attempts={"v1": 9}), ALREADY, id="the-active-is-never-given-up"),
    pytest.param(
        settled(refused="no", worker=worker(NEW, NEW)), Wait("no"), id="a-refused-one-is-not-told"
    ),
    pytest.param(
        settled(quarantined={"v1": FAILED}), ALREADY, id="the-active-is-never-quarantined"
    ),
]
BACK = [
    pytest.param(state, Reload(OLD, back=True), id=name)
    for name, state in {
        "serves-another": settled(worker=worker(NEW, NEW)),
        "serves-other-content": settled(worker=worker(Target("v1", "d9"), None)),
        "serves-nothing": settled(worker=worker(None, None, "failed")),
        "is-loading-another": settled(worker=worker(OLD, NEW, "loading")),
        "failed-to-load-another": settled(worker=worker(OLD, NEW, "failed")),
        "failed-to-load-it": settled(worker=worker(None, OLD, "failed")),
        "marker-unknown": settled(marker=None, worker=worker(NEW, NEW)),
        "desired-is-quarantined": quarantined(worker=worker(OLD, NEW, "failed")),
        "desired-is-put-off": moving(not_before={"v2": 101.0}, worker=worker(OLD, NEW, "loading")),
        "put-off-until-now": settled(not_before={"v1": 100.0}, worker=worker(NEW, NEW)),
    }.items()
] + [
    pytest.param(
        settled(not_before={"v1": 100.1}, worker=worker(NEW, NEW)),
        Wait("the worker did not take v1 and is asked again later"),
        id="put-off",
    ),
]
HELD_BACK = [
    pytest.param(
        moving(not_before={"v2": 100.1}), Wait("v2 failed and is tried again later"), id="put-off"
    ),
    pytest.param(
        moving(not_before={"v2": 100.1}, attempts={"v2": 2}),
        GiveUp("v2", WORN_OUT),
        id="given-up-though-put-off",
    ),
    pytest.param(quarantined(), QUARANTINED, id="quarantined"),
    pytest.param(quarantined(offered=None), QUARANTINED, id="quarantined-while-share-is-away"),
    pytest.param(
        quarantined(entry={"digest": None}, offered=None), QUARANTINED, id="quarantined-unread"
    ),
    pytest.param(quarantined(attempts={"v2": 2}), QUARANTINED, id="quarantined-and-worn-out"),
    pytest.param(quarantined(active=None), QUARANTINED, id="quarantined-and-nothing-active"),
    pytest.param(
        quarantined(entry={"marker_sha256": "m1"}), Reload(NEW), id="promoted-again-since"
    ),
    pytest.param(quarantined(entry={"digest": "d1"}), Reload(NEW), id="published-again-since"),
    pytest.param(moving(quarantined={"v3": FAILED}), Reload(NEW), id="another-is-quarantined"),
]


@pytest.mark.parametrize(("state", "expected"), FORWARD)
def test_the_next_step_towards_the_marker_s_release(state: Observed, expected: Action) -> None:
    """Staged, checked, then served: one step at a time, each on the content that is desired."""
    assert decide(state) == expected


@pytest.mark.parametrize(("state", "expected"), RELOAD)
def test_the_worker_serves_a_release_before_it_is_active(state: Observed, expected: Action) -> None:
    """Where there is something to protect, `current` flips only after the worker."""
    assert decide(state) == expected


@pytest.mark.parametrize(("state", "expected"), SETTLED)
def test_nothing_is_done_where_all_is_well(state: Observed, expected: Action) -> None:
    """What is active stays, and what is unknown never means a change."""
    assert decide(state) == expected


@pytest.mark.parametrize(("state", "expected"), BACK)
def test_a_worker_gone_astray_is_brought_back(state: Observed, expected: Action) -> None:
    """Whatever failed, the worker and `current` do not stay apart."""
    assert decide(state) == expected


@pytest.mark.parametrize(("state", "expected"), HELD_BACK)
def test_what_failed_is_held_back(state: Observed, expected: Action) -> None:
    """A release waits for its time, and a quarantined one for a change."""
    assert decide(state) == expected


@pytest.mark.parametrize(
    ("sha256", "offered", "digest", "still"),
    [
        pytest.param("m2", "d2", "d2", True, id="nothing-changed"),
        pytest.param("m3", "d2", "d2", False, id="marker-changed"),
        pytest.param("m2", "d3", "d2", False, id="digest-changed"),
        pytest.param("m3", "d3", "d2", False, id="both-changed"),
        pytest.param(None, "d2", "d2", True, id="marker-unknown"),
        pytest.param(None, "d3", "d2", False, id="marker-unknown-and-digest-changed"),
        pytest.param("m2", None, "d2", True, id="share-away"),
        pytest.param("m3", None, "d2", False, id="share-away-and-marker-changed"),
        pytest.param("m2", None, None, True, id="still-without-a-digest"),
        pytest.param("m2", "d2", None, False, id="had-no-digest-before"),
    ],
)
def test_a_quarantine_lasts_until_something_changes(
    sha256: str | None, offered: str | None, digest: str | None, still: bool
) -> None:
    """The marker's bytes or the release's digest end it; what is unknown does not."""
    entry = structs.replace(FAILED, digest=digest)
    marker = Marker("v2", sha256=sha256) if sha256 else None
    assert still_quarantined(entry, marker, offered) is still


def test_retries_come_ever_later_but_keep_coming() -> None:
    """From five seconds it doubles, up to five minutes, for ever."""
    delays = [reconcile.delay(failures) for failures in range(1, 50)]
    assert delays[:7] == [5, 10, 20, 40, 80, 160, 300]
    assert all(a <= b for a, b in pairwise(delays))
    assert reconcile.delay(10**6) == 300
