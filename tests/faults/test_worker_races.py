"""Several reloads at once, and one that ends after everybody stopped waiting."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.faults.fronts import front
from tests.faults.loads import HeldLoad
from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.release.manifest import Manifest
    from tests.faults.fronts import Call, Reply
    from tests.support.pods import Pod
    from tests.support.workers import Worker


@case("worker", "slower than the timeout, then succeeds")
def test_a_success_that_comes_late(pod: Pod) -> None:
    """A worker that ends after the sidecar gave up is sent back to the old one, then to the new."""
    held = HeldLoad(pod.root / "held", "v2")
    with (
        front() as admin,
        serving(pod, "--reload-timeout", "1s", via=admin.to, **held.worker) as running,
    ):

        def late(call: Call, pass_on: Callable[[], Reply]) -> Reply:
            if call.asks_for == "v2" and not held.times:
                held.hold()
            if call.asks_for == "v1":  # on its way back: now it gets there
                held.let_go()
                running.traffic.wait_for("v2")
            return pass_on()

        admin.fault = late
        running.mark("v2\n")
        failed = running.sidecar.wait_for("sync.failed", version="v2")
        assert "did not serve v2 within 1 s: it serves v1" in failed["reason"]
        running.sidecar.wait_for("reload.confirmed", version="v1")
        running.sidecar.look_now()
        running.settle("v2")
        assert running.sidecar.status()["quarantined"] == {}


@case("worker", "another client asks for another release meanwhile")
def test_another_request_while_the_sidecar_waits(pod: Pod) -> None:
    """The sidecar notices, brings the worker back to the active release, and then on."""
    hold_too(pod, "v3")
    held = HeldLoad(pod.root / "held", "v2")
    with front() as admin, serving(pod, via=admin.to, **held.worker) as running:
        admin.fault = held.at_reload
        running.mark("v2\n")
        running.worker.wait("loading", "v2")
        admin.fault = lambda _, pass_on: pass_on()
        running.worker.reload(pod.manifest("v3")).raise_for_status()
        failed = running.sidecar.wait_for("sync.failed", version="v2")
        assert "asked for another release than v2" in failed["reason"]
        running.sidecar.wait_for("reload.confirmed", version="v1")
        running.assert_kept("v1")
        held.let_go()
        running.sidecar.look_now()
        running.settle("v2")


@case("worker", "a client that asks for old and new in turn, for ever")
def test_a_storm_of_requests(pod: Pod) -> None:
    """While it lasts, only what the worker serves is called active; after it, the new one is."""
    hold_too(pod, "v2")
    with front() as admin, serving(pod, via=admin.to) as running:
        running.settle("v1")
        with storm(running.worker, pod.manifest("v1"), pod.manifest("v2")):
            running.mark("v2\n")
            until(lambda: "v2" in admin.asked)
            running.traffic.wait_for("v2", more=5)
            assert pod.active() in {"v1", "v2"}
        running.sidecar.look_now()
        running.settle("v2")


@case("worker", "two sidecars ask it at once")
def test_two_sidecars_of_one_worker(pod: Pod) -> None:
    """Both confirm the same release, and neither takes the other's request for a stranger's."""
    with serving(pod) as running, pod.sidecar(running.worker.admin) as second:
        running.settle("v1")
        running.mark("v2\n")
        second.look_now()
        running.settle("v2")
        until(lambda: second.status()["worker"]["version"] == "v2")
        assert second.status()["active"] == "v2"
        assert [each.status()["quarantined"] for each in (running.sidecar, second)] == [{}, {}]


@contextmanager
def storm(worker: Worker, *releases: Manifest) -> Iterator[None]:
    """Ask the worker for these in turn, without end, while the block runs."""
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            for release in releases:
                worker.reload(release).raise_for_status()
                over.wait(0.1)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def hold_too(pod: Pod, version: str) -> None:
    """Have the store hold a release beside v1, which is active."""
    for each in (version, "v1"):
        pod.agent("promote", each)
        pod.agent("init")
