"""`init` made a release active, or found none; the sidecar goes on from there."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.faults.fronts import front
from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.fronts import Call, Reply
    from tests.support.pods import Pod


@case("init then sidecar", "the worker serves what init activated: not told again")
def test_what_init_activated_is_served_already(pod: Pod) -> None:
    """However often the sidecar looks, it asks the worker for nothing; the next bump it does."""
    looks: list[Call] = []

    def counted(call: Call, pass_on: Callable[[], Reply]) -> Reply:
        looks.append(call)
        return pass_on()

    with front() as between:
        between.fault = counted
        with serving(pod, via=between.to) as running:
            until(lambda: len(looks) > 3)
            running.settle("v1")
            assert between.asked == []
            running.mark("v2\n")
            running.settle("v2")
            assert between.asked == ["v2"]


@case("init then sidecar", "the worker serves something else: brought back")
def test_a_worker_that_serves_something_else(pod: Pod) -> None:
    """A worker that somebody else moved to another release is brought back, by one request."""
    for version in ("v2", "v1"):
        pod.agent("promote", version)
        pod.agent("init")
    with serving(pod) as running:
        running.settle("v1")
        body = {"version": "v2", "path": "releases/v2", "digest": pod.manifest("v2").digest}
        running.worker.admin_http.post("/reload", json=body).raise_for_status()
        running.sidecar.look_now()
        running.sidecar.wait_for("sync.taken_back", version="v1")
        running.settle("v1")
        assert running.sidecar.metric("model_agent_reload_attempts_total") == 1


@case("init then sidecar", "the share is dead at start, the store has good data")
def test_a_share_that_is_dead_at_start(pod: Pod) -> None:
    """`init`, worker and sidecar come up on what the store has; once the share is back it leads."""
    away = pod.share.root.rename(pod.root / "away")
    pod.agent("init")
    with serving(pod) as running:
        until(lambda: running.sidecar.status()["share"]["reachable"] is False)
        until(lambda: running.sidecar.metric("model_agent_share_reachable") == 0)
        running.assert_active("v1")
        away.rename(pod.share.root)
        running.mark("v2\n")
        running.settle("v2")
        assert running.sidecar.status()["share"]["reachable"] is True
        assert running.sidecar.metric("model_agent_share_reachable") == 1


@case("init then sidecar", "init again beside a running pod: a no-op")
def test_init_again(pod: Pod) -> None:
    """It needs no byte of the share, replaces no file, and disturbs neither sidecar nor worker."""
    with serving(pod) as running:
        running.settle("v1")
        before, instance = inodes(pod.store), running.worker.model()["instance"]
        shutil.rmtree(pod.share.release("v1"))
        for _ in range(2):
            pod.agent("init")
            assert inodes(pod.store) == before
        running.sidecar.look_now()
        running.settle("v1")
        assert running.worker.model()["instance"] == instance
        assert running.sidecar.metric("model_agent_reload_attempts_total") == 0
        running.mark("v2\n")
        running.settle("v2")


def inodes(store: Path) -> dict[str, int]:
    """The inode of everything that the worker sees."""
    shown = [path for path in store.rglob("*") if ".agent" not in path.parts]
    return {str(path.relative_to(store)): path.lstat().st_ino for path in shown}
