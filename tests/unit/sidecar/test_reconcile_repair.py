"""When the active release is repaired, and when the worker loads it again for that."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from agent.release.marker import Marker
from agent.release.target import Target
from agent.sidecar.reconcile import (
    REPAIR,
    Check,
    Observed,
    Reload,
    Repair,
    Wait,
    WorkerView,
    decide,
)

ACTIVE: Final = Target("v1", "d1")
SETTLED: Final = Observed(
    now=100.0,
    marker=Marker("v1", sha256="m1"),
    active=ACTIVE,
    held={"v1": "d1", "v2": "d2"},
    worker=WorkerView(ACTIVE, ACTIVE, "ready", "instance"),
)
ROTTEN: Final = replace(SETTLED, rotten=True)
OUTDATED: Final = replace(SETTLED, outdated=True)
MOVING: Final = Marker("v2", sha256="m2")


@pytest.mark.parametrize("marker", [SETTLED.marker, MOVING, None])
def test_what_is_wrong_is_repaired_first(marker: Marker | None) -> None:
    """Wrong bytes are served now: that comes before any bump, and without a marker."""
    assert decide(replace(ROTTEN, marker=marker)) == Repair("v1")


def test_a_repair_that_failed_holds_nothing_up() -> None:
    """While it is put off, bumps go on."""
    later = replace(ROTTEN, not_before={REPAIR: 101.0})
    assert isinstance(decide(later), Wait)
    assert decide(replace(later, marker=MOVING)) == Check("v2")
    assert decide(replace(later, now=101.0)) == Repair("v1")


def test_the_worker_loads_what_was_repaired() -> None:
    """It is asked for the release that it serves already, once it can be asked."""
    assert decide(OUTDATED) == Reload(ACTIVE, back=True)
    assert isinstance(decide(replace(OUTDATED, worker=None)), Wait)
    assert isinstance(decide(replace(OUTDATED, method="none")), Wait)
    assert isinstance(decide(replace(OUTDATED, not_before={"v1": 101.0})), Wait)
    assert decide(replace(OUTDATED, marker=MOVING)) == Check("v2")
