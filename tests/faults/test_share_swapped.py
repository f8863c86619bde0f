"""A release whose content on the share is swapped for another, under the same version."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.faults.fronts import front
from tests.faults.matrix import case
from tests.faults.pod import pod
from tests.support.shares import TestShare, flip
from tests.support.workers import until

if TYPE_CHECKING:
    from tests.faults.pod import Pod
    from tests.support.cluster import Cluster


def swap(cluster: Cluster) -> str:
    """Have the share's v2 hold what v3 holds; give its new digest."""
    share = TestShare(cluster.share)
    aside = share.release("v2").rename(cluster.root / "old-v2")
    shutil.copytree(share.release("v3"), share.release("v2"))
    digest = share.sign("v2", lambda raw: raw.update(version="v2")).digest
    assert digest != TestShare(cluster.share).manifest("v3").digest
    shutil.rmtree(aside)
    return digest


def settle(running: Pod, digest: str) -> None:
    """Wait until v2 is served with this content, in the store as in the worker."""
    until(lambda: running.worker.model()["digest"] == digest, seconds=60)
    running.settle("v2")
    assert running.cluster.digest("v2") == digest
    assert running.sidecar.status()["quarantined"] == {}


@case("share", "manifest swapped under a quarantined version")
def test_what_was_quarantined_is_swapped(cluster: Cluster) -> None:
    """Another content is another release: it is tried at the next poll, and served."""
    flip(next((cluster.share / "releases" / "v2").rglob("*.onnx.data")))
    with pod(cluster) as running:
        running.mark("v2\n")
        running.sidecar.wait_for("release.quarantined", version="v2")
        assert "corrupt" in running.sidecar.status()["quarantined"]["v2"]["reason"]
        running.assert_active("v1")
        settle(running, swap(cluster))


@case("share", "manifest swapped under a version that is staged and not active")
def test_what_is_staged_is_swapped(cluster: Cluster) -> None:
    """The worker never gets the old content: the new one is staged in its place, and served."""
    with front() as admin, pod(cluster, via=admin.to) as running:
        running.settle("v1")
        admin.refuse()
        running.mark("v2\n")
        until(lambda: "v2 waits for it" in running.sidecar.status()["doing"])
        old = cluster.digest("v2")
        new = swap(cluster)
        until(lambda: cluster.state()["checked"].get("v2") == new, seconds=60)
        assert cluster.digest("v2") == new != old
        running.assert_kept("v1")
        admin.listen()
        settle(running, new)
        assert admin.asked == ["v2"]


@case("share", "manifest swapped under a version that was active before")
def test_what_was_active_is_swapped(cluster: Cluster) -> None:
    """When the marker comes back to it, the share's new content is served, not the store's old."""
    with pod(cluster) as running:
        for version in ("v2", "v1"):
            running.mark(f"{version}\n")
            running.settle(version)
        new = swap(cluster)
        assert cluster.digest("v2") != new
        running.mark("v2\n")
        settle(running, new)


@case("share", "manifest swapped under the active version")
def test_what_is_active_is_swapped(cluster: Cluster) -> None:
    """What was verified stays active and is served on; other releases come and go as ever."""
    with pod(cluster) as running:
        running.mark("v2\n")
        running.settle("v2")
        old = cluster.digest("v2")
        swap(cluster)
        running.mark("v2\n# promoted again\n")
        until(lambda: len([e for e in running.sidecar.events if e["event"] == "marker.read"]) == 2)
        settle(running, old)
        assert running.sidecar.metric('model_agent_syncs_total{status="success"}') == 1
        running.mark("v1\n")
        running.settle("v1")
