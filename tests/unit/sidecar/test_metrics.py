"""What `/metrics` shows of each event, of the state and of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.sidecar.metrics import STATUSES, Metrics
from agent.store.store import Store
from agent.sync import events
from agent.sync.state import Quarantine, Rot, State, Worker
from agent.sync.summary import SyncSummary
from agent.warmup.report import Warmed

if TYPE_CHECKING:
    from pathlib import Path

    from agent.sync.listening import Event

SUMMARY = SyncSummary("v2", "v1")


@pytest.fixture
def metrics() -> Metrics:
    """The metrics of a sidecar that starts."""
    return Metrics()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return one sample; None where there is none."""
    return metrics.registry.get_sample_value(f"model_agent_{name}", labels)


# There was no reload yet that failed.
START = {"last_reload_successful": 1.0}


def samples(metrics: Metrics) -> dict[str, float]:
    """Return all samples that are not as they start, by name and labels."""
    found = {
        " ".join([sample.name.removeprefix("model_agent_"), *sample.labels.values()]): sample.value
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.value and "_bucket" not in sample.name
    }
    return {name: shown for name, shown in found.items() if START.get(name) != shown}


def test_every_way_to_end_is_there_from_the_start(metrics: Metrics) -> None:
    """A rate over them sees the first one, too."""
    assert [value(metrics, "syncs_total", status=status) for status in STATUSES] == [0, 0, 0]


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (
            events.Staged("v2", "d", "share", 1.0, {"share": 7, "reused": 9}),
            {"staged_bytes_total share": 7, "staged_bytes_total reused": 9},
        ),
        (
            events.ModelWarmed("v2", "m", "cpu", 1.0, 0.5, 0.1, 0.75),
            {"warmup_seconds m cpu": 1.5, "canary_cosine m cpu": 0.75},
        ),
        (
            events.ModelWarmed("v2", "m", "cpu", 1.0, 0.5, None, None),
            {"warmup_seconds m cpu": 1.5},
        ),
        (events.VerificationFailed("v2"), {"verify_failures_total": 1}),
        (events.StoreRepaired("v1", ["a", "b"], ["v1"], 0.5), {"repairs_total": 2}),
        (events.ReloadAsked("v2"), {"reload_attempts_total": 1}),
        (events.ReloadConfirmed("v2", 0.5), {}),
        (events.ReloadFailed("v2"), {"reload_failures_total": 1}),
        (events.PhaseEnded("stage", 0.5), {"phase_seconds stage": 0.5}),
        (
            events.SyncDone(SUMMARY, since_marker_seconds=9.0),
            {
                "syncs_total success": 1,
                "sync_duration_seconds_count": 1,
                "sync_duration_seconds_sum": 9,
            },
        ),
        (events.Quarantined("v2", "No.", SUMMARY), {"syncs_total quarantined": 1}),
        (events.SyncFailed(SUMMARY, "No."), {"syncs_total error": 1}),
        (events.TurnFailed(), {"syncs_total error": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_events(event: Event, shown: dict[str, float], metrics: Metrics) -> None:
    """Each changes what it is about, and nothing else."""
    metrics.hear(event)
    assert samples(metrics) == shown


@pytest.mark.parametrize(
    "event",
    [
        events.Verified("v2", 7),
        events.ModelNotRun("v2", "m", "no"),
        events.Activated("v2"),
        events.StoreCorrupt("v1", "Bits."),
        events.SpareCorrupt("v1", "Bits."),
        events.Refused("v1", "No."),
        events.SyncBroken(SUMMARY, "internal error"),
        events.SyncSuperseded(SUMMARY, "v3"),
        events.SyncStopped(SUMMARY, "told to"),
        events.SyncTakenBack(SUMMARY),
        events.SyncRepaired(SUMMARY),
        events.ShareUnreachable("Away."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_counted(event: Event, metrics: Metrics) -> None:
    """What is counted elsewhere is not counted twice, and what ends no sync counts as none."""
    metrics.hear(event)
    assert samples(metrics) == {}


def test_a_reload_that_fails_after_one_that_did_not(metrics: Metrics) -> None:
    """The last one is what counts."""
    metrics.hear(events.ReloadConfirmed("v2", 0.5))
    assert value(metrics, "last_reload_successful") == 1
    metrics.hear(events.ReloadFailed("v2"))
    assert value(metrics, "last_reload_successful") == 0
    metrics.hear(events.ReloadConfirmed("v2", 0.5))
    assert value(metrics, "last_reload_successful") == 1


def test_the_state(metrics: Metrics) -> None:
    """It shows the releases of the pod, what is refused under this marker, and what is rotten."""
    metrics.show(State(desired="v2", active="v1"))
    quarantined = {
        "v2": Quarantine("", "this", None, ""),
        "v3": Quarantine("", "another", None, ""),
    }
    state = State(
        desired="v2",
        active="v1",
        worker=Worker("v0"),
        tried_for="this",
        quarantined=quarantined,
        rot=Rot("v1", ("a", "b"), "2026-11-23T15:00:00Z"),
        last_success="1970-01-01T00:01:40Z",
        last_reverified="1970-01-01T00:03:20Z",
    )
    metrics.show(state)
    assert samples(metrics) == {
        "release_info v2 v1 v0": 1,
        "quarantined_releases": 1,
        "rotten_files": 2,
        "last_success_timestamp_seconds": 100,
        "last_reverified_timestamp_seconds": 200,
    }
    metrics.show(State(active="v2", rot=Rot("v1", ("a",), "2026-11-23T15:00:00Z")))
    assert value(metrics, "rotten_files") == 0
    assert value(metrics, "release_info", active="v2", desired="", worker="") == 1
    assert value(metrics, "last_success_timestamp_seconds") == 100


def test_what_was_warmed_before(metrics: Metrics) -> None:
    """It is shown with the device that it was measured on; what was not run shows nothing."""
    run = Warmed("m", "cuda:0", load_seconds=1.0, first_seconds=0.5, canary_cosine=0.75)
    metrics.warmed_before([run, Warmed("n", "cpu", 1.0, 0.5), Warmed("o")])
    assert samples(metrics) == {
        "warmup_seconds m cuda:0": 1.5,
        "canary_cosine m cuda:0": 0.75,
        "warmup_seconds n cpu": 1.5,
    }


def test_the_store(metrics: Metrics, tmp_path: Path) -> None:
    """It shows what the store takes, and what it may take."""
    (tmp_path / "file").write_bytes(b"x" * 8192)
    metrics.measured(Store(tmp_path, limit=1_000_000))
    assert value(metrics, "store_used_bytes") == 8192
    assert value(metrics, "store_limit_bytes") == 1_000_000
