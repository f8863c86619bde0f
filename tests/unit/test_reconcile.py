"""The heart: the next action of every state, and where all of its steps lead."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from msgspec import structs

from agent import reconcile
from agent.marker import Marker
from agent.reconcile import (
    Activate,
    Check,
    GiveUp,
    Observed,
    Reload,
    Stage,
    Target,
    Wait,
    WorkerView,
    decide,
)
from agent.state import Quarantine

if TYPE_CHECKING:
    from agent.reconcile import Action, Method

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
    pytest.param(
        moving(attempts={"v2": 2}), GiveUp("v2", reconcile.WORN_OUT), id="two-never-ended"
    ),
    pytest.param(
        moving(attempts={"v2": 3}, held={}),
        GiveUp("v2", reconcile.WORN_OUT),
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
        GiveUp("v2", reconcile.WORN_OUT),
        id="given-up-though-put-off",
    ),
    pytest.param(quarantined(), QUARANTINED, id="quarantined"),
    pytest.param(quarantined(offered=None), QUARANTINED, id="quarantined-while-share-is-away"),
    pytest.param(quarantined(entry={"digest": None}), QUARANTINED, id="quarantined-unread"),
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
        pytest.param("m2", "d2", None, True, id="never-had-a-digest"),
    ],
)
def test_a_quarantine_lasts_until_something_changes(
    sha256: str | None, offered: str | None, digest: str | None, still: bool
) -> None:
    """The marker's bytes or the release's digest end it; what is unknown does not."""
    entry = structs.replace(FAILED, digest=digest)
    marker = Marker("v2", sha256=sha256) if sha256 else None
    assert reconcile.still_quarantined(entry, marker, offered) is still


def test_retries_come_ever_later_but_keep_coming() -> None:
    """From five seconds it doubles, up to five minutes, for ever."""
    delays = [reconcile.delay(failures) for failures in range(1, 50)]
    assert delays[:7] == [5, 10, 20, 40, 80, 160, 300]
    assert all(a <= b for a, b in pairwise(delays))
    assert reconcile.delay(10**6) == 300


VERSIONS = st.sampled_from(["v1", "v2", "v3"])
# What is wrong with a release: "foreign" is another embedding space.
FAULTS = st.sampled_from(["", "", "corrupt", "unloadable", "refused by the worker", "foreign"])
# How a step ends.
OUTCOMES = st.sampled_from(
    ["fine", "fine", "fails", "times out", "the agent dies", "the worker dies"]
)


class World(RuleBasedStateMachine):
    """A share, a store, a worker and a sidecar that does what `decide` says; and what befalls them.

    Every step is checked before it is taken, and in the end the world must come to rest where the
    marker points.
    """

    method: Method = "http"

    def __init__(self) -> None:
        super().__init__()
        self.now, self.numbers = 0.0, 0
        self.share: dict[str, str] = {}
        self.faults: dict[str, str] = {}
        self.share_is_up = True
        self.marker: Marker | None = None
        self.active: Target | None = None
        self.held: dict[str, str] = {}
        self.checked: dict[str, str] = {}
        self.quarantined: dict[str, Quarantine] = {}
        self.attempts: dict[str, int] = {}
        self.failures: dict[str, int] = {}
        self.not_before: dict[str, float] = {}
        self.worker: WorkerView | None = None

    @initialize(running=st.booleans())
    def begin(self, running: bool) -> None:
        """With an empty store, or with a release that is served."""
        if running:
            self._mend("v1")

    @rule(version=VERSIONS, fault=FAULTS)
    def publish(self, version: str, fault: str) -> None:
        """Put a release on the share, in the place of one of that name."""
        self.share[version] = self._new("digest")
        self.faults[self.share[version]] = fault

    @rule(version=VERSIONS, allow=st.booleans())
    def promote(self, version: str, allow: bool) -> None:
        """Write the marker; its new bytes end what was put off."""
        self.marker = Marker(version, allow_new_space=allow, sha256=self._new("marker"))
        self._forget()

    @rule(version=VERSIONS, fault=FAULTS, allow=st.booleans(), outcomes=st.lists(OUTCOMES))
    def bump(self, version: str, fault: str, allow: bool, outcomes: list[str]) -> None:
        """What operators do most, and what the agent makes of it."""
        self.publish(version, fault)
        self.promote(version, allow)
        self.agent_works(outcomes)

    @rule()
    def share_comes_or_goes(self) -> None:
        """The network breaks, or is mended."""
        self.share_is_up = not self.share_is_up

    @rule(knows=st.booleans())
    def worker_starts(self, knows: bool) -> None:
        """It loads what is active, which some workers say they were asked for."""
        self.worker = WorkerView(None, None, "failed", self._new("instance"))
        if self.active:
            self._load(self.active)
            self.worker = replace(self.worker, target=self.active if knows else None)

    @rule()
    def worker_dies(self) -> None:
        """Until it is started again nobody answers."""
        self.worker = None

    @rule()
    def worker_is_done(self) -> None:
        """A load that took longer than the agent waited ends after all."""
        if self.worker and self.worker.target and self.worker.state == "loading":
            self._load(self.worker.target)

    @rule(seconds=st.sampled_from([1.0, 30.0, 600.0]))
    def time_passes(self, seconds: float) -> None:
        """The clock goes forward."""
        self.now += seconds

    @rule(outcomes=st.lists(OUTCOMES, min_size=1, max_size=6))
    def agent_works(self, outcomes: list[str]) -> None:
        """It takes a few steps, some of which go wrong."""
        for outcome in outcomes:
            self._step(outcome)

    def teardown(self) -> None:
        """With everything healthy the agent gets to where the marker points, and stays there."""
        self.share_is_up = True
        self._run()
        if self.marker and self.faults.get(self._to_serve(self.marker.version)) == "":
            entry = self.quarantined.get(self.marker.version)
            refused = entry is not None and entry.marker_sha256 == self.marker.sha256
            assert refused or self._at_rest_at_the_marker()
        # What is active is immutable; anything else is mended by publishing it again.
        if self.marker and (self.active is None or self.active.version != self.marker.version):
            self._mend(self.marker.version)
        self._mend("v9")

    def _to_serve(self, version: str) -> str:
        if self.active and self.active.version == version:
            return self.active.digest
        return self.share.get(version, "")

    def _mend(self, version: str) -> None:
        self.publish(version=version, fault="")
        self.promote(version=version, allow=True)
        self._run()
        assert self._at_rest_at_the_marker()

    def _run(self) -> None:
        if self.worker is None:
            self.worker_starts(knows=True)
        for _ in range(40):
            if isinstance(self._step("fine"), Wait):
                self.worker_is_done()
                self.now += 301

    def _at_rest_at_the_marker(self) -> bool:
        for _ in range(5):
            self.now += 301
            if not isinstance(self._step("fine"), Wait):
                return False
        arrived = self.marker and self.active and self.active.version == self.marker.version
        served = self.worker and self.worker.serving == self.active
        return bool(arrived and (served or self.method == "none"))

    def _step(self, outcome: str) -> Action:
        seen = self._observed()
        action = decide(seen)
        check_allowed(action, seen)
        match action:
            case Stage(version):
                self._stage(version, outcome)
            case Check(version):
                self._check(version, outcome)
            case Reload(target):
                self._reload(target, outcome)
            case Activate(version):
                self._activate(version)
            case GiveUp(version, _):
                self._quarantine(version)
        return action

    def _observed(self) -> Observed:
        desired = self.marker.version if self.marker else None
        return Observed(
            now=self.now,
            marker=self.marker,
            offered=self.share.get(desired) if desired and self.share_is_up else None,
            active=self.active,
            held=dict(self.held),
            checked=dict(self.checked),
            quarantined=dict(self.quarantined),
            attempts=dict(self.attempts),
            not_before=dict(self.not_before),
            another_space=self._another_space(),
            method=self.method,
            worker=None if self.method == "none" else self.worker,
        )

    def _another_space(self) -> str | None:
        if not self.marker or self.marker.allow_new_space or not self.active:
            return None
        new = self.faults.get(self.held.get(self.marker.version, self.active.digest))
        old = self.faults[self.active.digest]
        return "another space" if (new == "foreign") != (old == "foreign") else None

    def _stage(self, version: str, outcome: str) -> None:
        digest = self.share.get(version)
        if outcome == "the agent dies":
            self._forget()
        elif outcome != "fine" or not self.share_is_up or digest is None:
            self._put_off(version)
        elif self.faults[digest] == "corrupt":
            self._quarantine(version)
        else:
            self.held[version] = digest

    def _check(self, version: str, outcome: str) -> None:
        self.attempts[version] = self.attempts.get(version, 0) + 1
        if outcome == "the agent dies":
            self._forget()
            return
        del self.attempts[version]
        if outcome != "fine":
            self._put_off(version)
        elif self.faults[self.held[version]] == "unloadable":
            self._quarantine(version)
        else:
            self.checked[version] = self.held[version]

    def _reload(self, target: Target, outcome: str) -> None:
        assert self.worker
        self.attempts[target.version] = self.attempts.get(target.version, 0) + 1
        self.worker = replace(self.worker, target=target, state="loading")
        if outcome == "the agent dies":
            self._forget()
        elif outcome == "the worker dies":
            self.worker_dies()
            self._put_off(target.version)
        else:
            del self.attempts[target.version]
            if outcome == "fine":
                self._load(target)
            if self.worker.state == "failed" and target != self.active:
                self._quarantine(target.version)
            elif self.worker.state != "ready":
                self._put_off(target.version)

    def _load(self, target: Target) -> None:
        assert self.worker
        if self.faults[target.digest] == "refused by the worker":
            self.worker = replace(self.worker, target=target, state="failed")
        else:
            self.worker = replace(self.worker, serving=target, target=target, state="ready")

    def _activate(self, version: str) -> None:
        assert self.faults[self.held[version]] not in {"corrupt", "unloadable"}
        old, self.active = self.active, Target(version, self.held[version])
        for known in (self.quarantined, self.attempts):
            known.pop(version, None)
        kept = {version, old.version if old else version}
        self.held = {v: digest for v, digest in self.held.items() if v in kept}

    def _quarantine(self, version: str) -> None:
        digest = self._observed().offered or self.held.get(version)
        assert self.marker
        self.quarantined[version] = Quarantine("", self.marker.sha256, digest, "")
        for known in (self.attempts, self.checked):
            known.pop(version, None)

    def _put_off(self, version: str) -> None:
        self.failures[version] = self.failures.get(version, 0) + 1
        self.not_before[version] = self.now + reconcile.delay(self.failures[version])

    def _forget(self) -> None:
        self.failures.clear()
        self.not_before.clear()

    def _new(self, what: str) -> str:
        self.numbers += 1
        return f"{what} {self.numbers}"


class WorkerThatIsNeverTold(World):
    """The same with `--reload-method none`."""

    method = "none"


def check_allowed(action: Action, seen: Observed) -> None:
    """What must hold before a step is taken, whatever led to it."""
    if isinstance(action, Wait):
        return
    if isinstance(action, Reload) and action.back:
        assert action.target == seen.active
        assert seen.method == "http"
        return
    assert seen.marker
    version = action.target.version if isinstance(action, Reload) else action.version
    assert version == seen.marker.version
    check_not_quarantined(version, seen)
    if not isinstance(action, GiveUp):
        assert seen.now >= seen.not_before.get(version, 0)
        assert seen.attempts.get(version, 0) < 2
    if isinstance(action, Reload | Activate):
        check_sound(version, seen)
    if isinstance(action, Activate) and seen.active and seen.method == "http":
        assert seen.worker
        assert seen.worker.serving == Target(version, seen.held[version])


def check_not_quarantined(version: str, seen: Observed) -> None:
    """A quarantined release is left alone while marker and release are the same."""
    entry = seen.quarantined.get(version)
    if entry and seen.marker and entry.marker_sha256 == seen.marker.sha256:
        assert seen.offered
        assert entry.digest != seen.offered


def check_sound(version: str, seen: Observed) -> None:
    """What is served is held, checked, what the share has, and of the same embedding space."""
    assert seen.checked[version] == seen.held[version]
    assert seen.offered in {None, seen.held[version]}
    assert seen.another_space is None


@pytest.mark.parametrize("world", [World, WorkerThatIsNeverTold])
def test_whatever_happens_every_step_is_safe_and_all_end_well(world: type[World]) -> None:
    """Crashes, bad releases and lost networks never make the agent unsafe, nor leave it stuck."""
    run_state_machine_as_test(
        world, settings=settings(max_examples=50, stateful_step_count=30, deadline=None)
    )
