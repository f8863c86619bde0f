"""Today's sidecar goes on where 0.1.0's was, with a worker that answers as 0.1.0's."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Final

import pytest

from tests.compatibility.pods import stand
from tests.compatibility.trees import HOME, lay_out
from tests.support.scripted import obey, scripted
from tests.support.shares import snapshot
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.pods import Pod

READY: Final = json.loads((HOME / "worker" / "ready.json").read_bytes())
RELOAD: Final = json.loads((HOME / "agent" / "reload.json").read_bytes())
STARTED: Final = json.loads((HOME / "stores" / "started.status.json").read_bytes())
V1: Final = STARTED["store"]["releases"]["v1"]


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[[str], Pod]:
    """Lays a recorded store out, with the share and the marker beside it."""

    def make(name: str) -> Pod:
        lay_out("share", tmp_path / "share")
        lay_out(f"stores/{name}", tmp_path / "store")
        shutil.copyfile(HOME / "stores" / f"{name}.VERSION", tmp_path / "share" / "VERSION")
        return stand(tmp_path)

    return make


def declared(metrics: str) -> set[str]:
    """The lines of a page of metrics that say what there is, and of which type."""
    return {line for line in metrics.splitlines() if line.startswith("# TYPE ")}


def test_there_is_nothing_to_do(recorded: Callable[[str], Pod]) -> None:
    """A worker that serves what is active, in 0.1.0's words, is left alone.

    `/status` and `/metrics` have all that 0.1.0's had.
    """
    pod = recorded("settled")
    status = json.loads((HOME / "sidecar" / "status.json").read_bytes())
    metrics = (HOME / "sidecar" / "metrics.txt").read_text()
    with scripted(obey) as worker:
        worker.model = READY
        with pod.sidecar(worker.url) as sidecar:
            until(lambda: sidecar.status()["doing"] == status["doing"] or None)
            today = sidecar.status()
            assert {key: today[key] for key in status} == status
            assert declared(metrics) <= declared(sidecar.get("/metrics").text)
            assert sidecar.get("/readyz").status_code == 200
    assert worker.asked == []


def test_a_quarantine_holds(recorded: Callable[[str], Pod]) -> None:
    """A release that 0.1.0 refused is not tried: the worker is brought back to the active one.

    The request is, word for word, one that 0.1.0 could have sent.
    """
    pod = recorded("quarantined")
    with scripted(obey) as worker:
        worker.model |= READY
        with pod.sidecar(worker.url) as sidecar:
            sidecar.wait_for("sync.taken_back", version="v1")
            until(lambda: sidecar.status()["doing"] == "v2 is quarantined" or None)
    assert worker.asked == [RELOAD | {"version": "v1", "digest": V1, "path": "releases/v1"}]


def test_a_signal_that_was_not_confirmed(recorded: Callable[[str], Pod]) -> None:
    """`current` goes back to what was confirmed, before anything else."""
    pod = recorded("pointed")
    with pod.sidecar() as sidecar:
        said = sidecar.wait_for("reload.unconfirmed")
        assert (said["version"], said["active"]) == ("v2", "v1")
        sidecar.wait_for("sidecar.started", active="v1", desired="v2")


@pytest.mark.parametrize("name", ["rotten", "outdated"])
def test_a_repair_goes_on(name: str, recorded: Callable[[str], Pod]) -> None:
    """A file that 0.1.0 found rotten is repaired, and a worker loads again what was repaired."""
    pod = recorded(name)
    with scripted(obey) as worker:
        worker.serve("v1", V1)
        with pod.sidecar(worker.url) as sidecar:
            sidecar.wait_for("sync.repaired", version="v1")
            repaired = [event for event in sidecar.events if event["event"] == "store.repaired"]
    assert len(repaired) == (name == "rotten")
    assert [request["version"] for request in worker.asked] == ["v1"]
    assert (pod.state()["rot"], pod.state()["outdated"]) == (None, None)
    right = snapshot(pod.share.release("v1"))
    assert right.items() <= snapshot(pod.store / "releases" / "v1").items()
