"""`init` found nothing; a sidecar runs all the same, and a release arrives."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from agent.errors import Exit
from tests.faults.fronts import front
from tests.faults.matrix import case
from tests.faults.pod import Pod, release_labels
from tests.support.cluster import AgentFailedError, Cluster
from tests.support.traffic import Traffic
from tests.support.workers import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cluster import Sidecar


@pytest.fixture
def empty(tmp_path: Path) -> Cluster:
    """A cluster whose share and store are empty, and in which `init` failed for that."""
    made = Cluster(tmp_path)
    with pytest.raises(AgentFailedError) as failed:
        made.agent("init", "--populate", "never")
    assert failed.value.code == Exit.MISSING
    assert "nor the store has a release. Publish one" in failed.value.stderr.splitlines()[-1]
    assert list((made.store / "releases").iterdir()) == []
    return made


@case("init then sidecar", "no data anywhere; the worker is there before the release")
def test_no_data_and_a_worker(empty: Cluster, releases: Path) -> None:
    """`init` says what to do; a sidecar is alive, and ready once there is a release to be served.

    Until then no request can be answered.
    """
    with empty.worker() as worker, empty.sidecar(worker.admin) as sidecar:
        worker.wait("failed")
        see_nothing(sidecar)
        bring(empty, releases, sidecar)
        worker.wait("ready", "v1")
        see_served(Pod(empty, worker, sidecar, Traffic(worker.serving)))


@case("init then sidecar", "no data anywhere; the worker comes after the release")
def test_no_data_and_no_worker(empty: Cluster, releases: Path) -> None:
    """The release is staged, checked and active before there is a worker, which starts on it."""
    with front() as between, empty.sidecar(between.url) as sidecar:
        see_nothing(sidecar)
        bring(empty, releases, sidecar)
        assert sidecar.get("/readyz").status_code == 200
        with empty.worker() as worker:
            between.to(worker.admin)
            worker.wait("ready")
            see_served(Pod(empty, worker, sidecar, Traffic(worker.serving)))
            assert between.asked == ["v2"]


def see_nothing(sidecar: Sidecar) -> None:
    """Wait until the sidecar has looked, and see what it says of nothing."""
    until(lambda: "no other release" in sidecar.status()["doing"])
    assert sidecar.get("/healthz").status_code == 200
    assert sidecar.get("/readyz").status_code == 503
    assert sidecar.status()["active"] is None
    assert release_labels(sidecar)["active"] == ""


def bring(cluster: Cluster, releases: Path, sidecar: Sidecar) -> None:
    """Publish releases, promote v1, and wait until it is active."""
    shutil.copytree(releases, cluster.share, dirs_exist_ok=True)
    cluster.agent("promote", "v1")
    sidecar.look_now()
    sidecar.wait_for("sync.done", version="v1")


def see_served(running: Pod) -> None:
    """From the first answer on, no request fails."""
    running.traffic.start()
    running.settle("v1")
    running.mark("v2\n")
    running.settle("v2")
    running.traffic.stop()
    assert running.traffic.failures == []
