"""A store that is full, or cannot be written, while the worker serves from it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.faults.volumes import Volume, volume
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.serving import Serving
    from tests.support.pods import Pod

_ERRORS = 'model_agent_syncs_total{status="error"}'


@pytest.fixture
def small(fresh: Pod) -> Iterator[Volume]:
    """The store on a small volume, with v1 promoted and active in it."""
    with volume(fresh.store) as made:
        fresh.agent("promote", "v1")
        fresh.agent("init")
        yield made


def refusal(running: Serving, *, beyond: float = 0) -> str:
    """Wait until an attempt failed; v1 is served all the same, and `/status` says what is wrong."""
    until(lambda: running.sidecar.metric(_ERRORS) > beyond)
    running.assert_active("v1")
    assert running.pod.state()["active"] == "v1"
    error: str = running.sidecar.status()["last_error"]
    return error


@case("store", "disk full before staging")
def test_no_room_for_a_release(small: Volume, fresh: Pod) -> None:
    """Nothing is begun, `/status` says how much is missing, and room alone ends it."""
    with serving(fresh) as running:
        running.settle("v1")
        small.fill(leave=64 * 1024)
        running.mark("v2\n")
        assert "bytes free" in refusal(running)
        assert not (fresh.store / "releases" / "v2").exists()
        small.empty()
        running.settle("v2")


@case("store", "disk full at each step of staging and activating", "inode exhaustion")
def test_a_step_further_each_time(small: Volume, fresh: Pod) -> None:
    """Each attempt gets a little further before the disk is full; the first with room succeeds."""
    with serving(fresh) as running:
        running.settle("v1")
        small.fill_inodes()
        running.mark("v2\n")
        failures = 0.0
        while fresh.active() == "v1":
            small.free_inodes(3)
            running.sidecar.look_now()
            until(
                lambda seen=failures: (  # type: ignore[misc]
                    running.sidecar.metric(_ERRORS) > seen or fresh.active() == "v2"
                )
            )
            failures = running.sidecar.metric(_ERRORS)
        assert failures > 3
        running.settle("v2")
        small.empty()


@case("store", "disk full when a release is to be activated")
def test_no_room_to_activate(small: Volume, fresh: Pod) -> None:
    """The worker serves what it confirmed, `current` stays, and follows once there is room."""
    with serving(fresh) as running:
        running.settle("v1")
        running.mark("v2\n")
        running.sidecar.wait_for("release.staged", version="v2")
        small.fill()
        small.fill_inodes()
        running.traffic.wait_for("v2")
        until(lambda: running.sidecar.metric(_ERRORS) > 0)
        assert fresh.active() == "v1"
        assert "The volume is full" in running.sidecar.status()["last_error"]
        assert running.sidecar.get("/readyz").is_success
        small.empty()
        running.settle("v2")
        assert fresh.state()["active"] == "v2"


@case("store", "disk full, and back to a release that is held")
def test_a_full_disk_and_the_way_back(small: Volume, fresh: Pod) -> None:
    """What needs no room is done all the same; `state.json` follows once there is some."""
    with serving(fresh) as running:
        running.mark("v2\n")
        running.settle("v2")
        small.fill()
        running.mark("v1\n")
        running.settle("v1")
        running.sidecar.wait_for("state.unsaved")
        assert fresh.state()["active"] == "v2"
        small.empty()
        until(lambda: fresh.state()["active"] == "v1")


@case("store", "read-only, and back")
def test_a_store_that_turns_read_only(small: Volume, fresh: Pod) -> None:
    """Service goes on, `/status` says that it cannot be written, and the bump is made up for."""
    with serving(fresh) as running:
        running.settle("v1")
        small.remount("ro")
        running.mark("v2\n")
        assert "cannot be written" in refusal(running)
        small.remount("rw")
        running.settle("v2")
        assert fresh.state()["active"] == "v2"


@case("store", "an active file goes bad on a full disk")
def test_rot_without_room(small: Volume, fresh: Pod) -> None:
    """It is kept in mind, shown, and repaired once there is room."""
    with serving(fresh) as running:
        running.settle("v1")
        small.fill()
        os.truncate(next((fresh.store / "releases" / "v1").rglob("model.onnx")), 1000)
        reason = until(lambda: (running.sidecar.status()["rot"] or {}).get("reason"))
        assert "bytes free" in reason
        running.assert_active("v1")
        small.empty()
        running.sidecar.wait_for("sync.repaired", version="v1")
        running.settle("v1")
        fresh.agent("verify", "v1")
