"""`init` found nothing; a sidecar runs all the same, and a release arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.errors import Exit
from tests.faults.fronts import front
from tests.faults.matrix import case
from tests.faults.serving import Serving, release_labels
from tests.support.agents import assert_failed
from tests.support.pods import Pod
from tests.support.traffic import Traffic
from tests.support.workers import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sidecars import Sidecar


@pytest.fixture
def empty(tmp_path: Path) -> Pod:
    """A pod whose share and store are empty, and in which `init` failed for that."""
    made = Pod(tmp_path)
    done = made.run("init", "--populate", "never")
    assert_failed(done, Exit.MISSING, "no release on the share", "Publish a release")
    made.assert_empty()
    return made


@case("init then sidecar", "no data anywhere; the worker is there before the release")
def test_no_data_and_a_worker(empty: Pod, releases: Path) -> None:
    """`init` says what to do; a sidecar is alive, and ready once there is a release to be served.

    Until then no request can be answered.
    """
    with empty.worker() as worker, empty.sidecar(worker.admin) as sidecar:
        worker.wait("failed")
        see_nothing(sidecar)
        bring(empty, releases, sidecar)
        worker.wait("ready", "v1")
        see_served(Serving(empty, worker, sidecar, Traffic(worker.serving)))


@case("init then sidecar", "no data anywhere; the worker comes after the release")
def test_no_data_and_no_worker(empty: Pod, releases: Path) -> None:
    """The release is staged, checked and active before there is a worker, which starts on it."""
    with front() as between, empty.sidecar(between.url) as sidecar:
        see_nothing(sidecar)
        bring(empty, releases, sidecar)
        assert sidecar.get("/readyz").status_code == 200
        with empty.worker() as worker:
            between.to(worker.admin)
            worker.wait("ready")
            see_served(Serving(empty, worker, sidecar, Traffic(worker.serving)))
            assert between.asked == ["v2"]


def see_nothing(sidecar: Sidecar) -> None:
    """Wait until the sidecar has looked, and see what it says of nothing."""
    until(lambda: "no other release" in sidecar.status()["doing"])
    assert sidecar.get("/healthz").status_code == 200
    assert sidecar.get("/readyz").status_code == 503
    assert sidecar.status()["active"] is None
    assert release_labels(sidecar)["active"] == ""


def bring(pod: Pod, releases: Path, sidecar: Sidecar) -> None:
    """Publish releases, promote v1, and wait until it is active."""
    pod.share.fill_from(releases)
    pod.agent("promote", "v1")
    sidecar.look_now()
    sidecar.wait_for("sync.done", version="v1")


def see_served(running: Serving) -> None:
    """From the first answer on, no request fails."""
    running.traffic.start()
    running.settle("v1")
    running.mark("v2\n")
    running.settle("v2")
    running.traffic.stop()
    assert running.traffic.failures == []
