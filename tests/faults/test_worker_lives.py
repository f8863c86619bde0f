"""A worker that is not there yet, dies, and comes back."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.faults.fronts import front, passes
from tests.faults.loads import HeldLoad, living
from tests.faults.matrix import case
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.fronts import Front
    from tests.support.pods import Pod
    from tests.support.sidecars import Sidecar


@case("worker", "not up, then up")
def test_a_worker_that_comes_up_late(pod: Pod) -> None:
    """Until it is up nothing moves or answers; it starts on the old one, and gets the new one."""
    with front() as admin, pod.sidecar(admin.url) as sidecar:
        (pod.share.root / "VERSION").write_text("v2\n")
        doing = "the worker does not answer, so v2 waits for it"
        until(lambda: sidecar.status()["doing"] == doing)
        assert (pod.active(), sidecar.status()["active"]) == ("v1", "v1")
        assert sidecar.metric("model_agent_reload_attempts_total") == 0
        with living(pod, admin, sidecar) as running:
            running.settle("v2")


@case("worker", "restarts and comes back on current")
def test_a_worker_that_restarts(pod: Pod) -> None:
    """No request fails before and after; it is back on the active one, and is not told again."""
    with front() as admin, pod.sidecar(admin.url) as sidecar:
        with living(pod, admin, sidecar) as running:
            running.mark("v2\n")
            running.settle("v2")
        until(lambda: sidecar.status()["worker"]["state"] == "unknown")
        assert (pod.active(), sidecar.get("/readyz").status_code) == ("v2", 200)
        with living(pod, admin, sidecar) as running:
            running.allowed = {"v2"}
            running.settle("v2")
            running.sidecar.look_now()
            running.settle("v2")
        assert admin.asked == ["v2"]


@case("worker", "dies mid-load once")
def test_a_worker_that_dies_while_it_loads(pod: Pod) -> None:
    """No request fails before and after; it is back on the old one, and is told of the new one."""
    with dying(pod) as (admin, sidecar, held):
        die_while_loading(pod, admin, sidecar, held)
        with living(pod, admin, sidecar, **held.worker) as running:
            failed = sidecar.wait_for("sync.failed", version="v2")
            assert "restarted while it loaded v2" in failed["reason"]
            running.settle("v1")
            assert sidecar.status()["attempts"] == {"v2": 1}
            admin.fault = passes
            held.let_go()
            sidecar.look_now()
            running.settle("v2")
            assert sidecar.status()["attempts"] == {}


@pytest.mark.parametrize(
    "timeout",
    [
        pytest.param("120s", id="soon back", marks=case("worker", "dies mid-load twice")),
        pytest.param("1s", id="away", marks=case("worker", "dies mid-load twice, is long away")),
    ],
)
def test_a_worker_that_dies_of_a_release(timeout: str, pod: Pod) -> None:
    """No request fails before and after; a release that it died of twice is given up."""
    with dying(pod, "--reload-timeout", timeout) as (admin, sidecar, held):
        for deaths in (1, 2):
            die_while_loading(pod, admin, sidecar, held)
            if timeout == "1s":
                until(lambda: "does not answer any more" in (sidecar.status()["last_error"] or ""))
            assert sidecar.status()["attempts"] == {"v2": deaths}
        with living(pod, admin, sidecar, **held.worker) as running:
            sidecar.look_now()
            assert "never ended" in sidecar.wait_for("release.quarantined")["reason"]
            running.settle("v1")
            assert sidecar.metric("model_agent_quarantined_releases") == 1
            assert admin.asked.count("v2") == held.times == 2
            admin.fault = passes
            held.let_go()
            running.mark("v2\n# with more memory\n")
            running.settle("v2")


@contextmanager
def dying(pod: Pod, *flags: str) -> Iterator[tuple[Front, Sidecar, HeldLoad]]:
    """A sidecar whose worker never ends loading v2."""
    held = HeldLoad(pod.root / "held", "v2")
    with front() as admin, pod.sidecar(admin.url, *flags) as sidecar:
        admin.fault = held.at_reload
        (pod.share.root / "VERSION").write_text("v2\n")
        yield admin, sidecar, held


def die_while_loading(pod: Pod, admin: Front, sidecar: Sidecar, held: HeldLoad) -> None:
    """Run a worker until it loads v2, and kill it."""
    with living(pod, admin, sidecar, **held.worker) as running:
        running.allowed = {"v1"}
        sidecar.look_now()
        running.worker.wait("loading", "v2")
        running.assert_kept("v1")
