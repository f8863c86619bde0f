"""Parts of the store that somebody deletes or bends while the worker serves from it."""

from __future__ import annotations

import os
import shutil
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.faults.slow import slow_pod
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.pods import Pod


def lead(current: Path, *, to: str) -> None:
    """Have `current` lead somewhere else."""
    current.unlink()
    current.symlink_to(to)


def delete(directory: Path) -> None:
    """Delete a directory in one step, as seen by who looks at it."""
    gone = directory.with_name("gone")
    directory.rename(gone)
    shutil.rmtree(gone)


@pytest.mark.parametrize(
    ("harm", "marker"),
    [
        pytest.param(os.unlink, "v1\n", marks=case("store", "`current` deleted")),
        pytest.param(partial(lead, to="/etc"), "v9\n", marks=case("store", "`current` outside")),
        pytest.param(partial(lead, to="releases/../.."), "\n", marks=case("store", "`current` up")),
    ],
)
def test_a_lost_current(harm: Callable[[Path], None], marker: str, pod: Pod) -> None:
    """It leads to the release that was active again, whatever the marker says by then."""
    with serving(pod) as running:
        running.mark(marker)
        running.settle("v1")
        harm(pod.store / "current")
        running.sidecar.wait_for("store.current_restored", version="v1")
        running.settle("v1")
        assert running.sidecar.metric("model_agent_reload_attempts_total") == 0
        running.mark("v2\n")
        running.settle("v2")


@case("store", "`current` deleted while the share is away")
def test_a_lost_current_without_the_share(pod: Pod) -> None:
    """The store alone is enough to put it back."""
    away = pod.share.root.with_name("away")
    with serving(pod) as running:
        running.settle("v1")
        pod.share.root.rename(away)
        until(lambda: not running.sidecar.status()["share"]["reachable"])
        (pod.store / "current").unlink()
        running.sidecar.wait_for("store.current_restored", version="v1")
        running.settle("v1")
        away.rename(pod.share.root)


@case("store", "`current` deleted while another release is staged")
def test_a_lost_current_during_a_step(releases: Path, tmp_path: Path) -> None:
    """It is put back before the next step, and what was staged is confirmed like any other."""
    with slow_pod(releases, tmp_path) as (pod, share), serving(pod) as running:
        running.allowed = {"v1", "v4"}
        running.settle("v1")
        share.stop()
        pod.agent("promote", "v4")
        share.wait_until_stopped(pod.store / ".agent" / "staging" / "v4")
        (pod.store / "current").unlink()
        share.heal()
        running.sidecar.wait_for("store.current_restored", version="v1")
        running.settle("v4")
        assert running.sidecar.wait_for("sync.done")["previous"] == "v1"
        assert pod.state()["previous"] == "v1"
        running.sidecar.wait_for("reload.confirmed", version="v4")


@case("store", "`.agent` deleted")
@pytest.mark.parametrize("what", [".agent", ".agent/verified"])
def test_a_lost_memory(what: str, pod: Pod) -> None:
    """The active release is hashed where it lies, without the share, and all goes on as before."""
    away = pod.share.root.with_name("away")
    with serving(pod) as running:
        running.settle("v1")
        pod.share.root.rename(away)
        until(lambda: not running.sidecar.status()["share"]["reachable"])
        delete(pod.store / what)
        running.sidecar.wait_for("release.verified", version="v1")
        until(lambda: running.sidecar.get("/readyz").is_success)
        running.settle("v1")
        assert pod.state()["active"] == "v1"
        away.rename(pod.share.root)
        running.mark("v2\n")
        running.settle("v2")
        assert pod.state()["active"] == "v2"
