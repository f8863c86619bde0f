"""A release whose content on the share is swapped for another, under the same version."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.faults.fronts import front
from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.support.shares import flip
from tests.support.workers import until

if TYPE_CHECKING:
    from tests.faults.serving import Serving
    from tests.support.pods import Pod


def swap(pod: Pod) -> str:
    """Have the share's v2 hold what v3 holds; give its new digest."""
    share = pod.share
    aside = share.release("v2").rename(pod.root / "old-v2")
    shutil.copytree(share.release("v3"), share.release("v2"))
    digest = share.sign("v2", lambda raw: raw.update(version="v2")).digest
    assert digest != pod.share.manifest("v3").digest
    shutil.rmtree(aside)
    return digest


def settle(running: Serving, digest: str) -> None:
    """Wait until v2 is served with this content, in the store as in the worker."""
    until(lambda: running.worker.model()["digest"] == digest)
    running.settle("v2")
    assert running.pod.manifest("v2").digest == digest
    assert running.sidecar.status()["quarantined"] == {}


@case("share", "manifest swapped under a quarantined version")
def test_what_was_quarantined_is_swapped(pod: Pod) -> None:
    """Another content is another release: it is tried at the next poll, and served."""
    flip(next(pod.share.release("v2").rglob("*.onnx.data")))
    with serving(pod) as running:
        running.mark("v2\n")
        running.sidecar.wait_for("release.quarantined", version="v2")
        assert "corrupt" in running.sidecar.status()["quarantined"]["v2"]["reason"]
        running.assert_active("v1")
        settle(running, swap(pod))


@case("share", "manifest swapped under a version that is staged and not active")
def test_what_is_staged_is_swapped(pod: Pod) -> None:
    """The worker never gets the old content: the new one is staged in its place, and served."""
    with front() as admin, serving(pod, via=admin.to) as running:
        running.settle("v1")
        admin.refuse()
        running.mark("v2\n")
        until(lambda: "v2 waits for it" in running.sidecar.status()["doing"])
        old = pod.manifest("v2").digest
        new = swap(pod)
        until(lambda: pod.state()["checked"].get("v2") == new)
        assert pod.manifest("v2").digest == new != old
        running.assert_kept("v1")
        admin.listen()
        settle(running, new)
        assert admin.asked == ["v2"]


@case("share", "manifest swapped under a version that was active before")
def test_what_was_active_is_swapped(pod: Pod) -> None:
    """When the marker comes back to it, the share's new content is served, not the store's old."""
    with serving(pod) as running:
        for version in ("v2", "v1"):
            running.mark(f"{version}\n")
            running.settle(version)
        new = swap(pod)
        assert pod.manifest("v2").digest != new
        running.mark("v2\n")
        settle(running, new)


@case("share", "manifest swapped under the active version")
def test_what_is_active_is_swapped(pod: Pod) -> None:
    """What was verified stays active and is served on; other releases come and go as ever."""
    with serving(pod) as running:
        running.mark("v2\n")
        running.settle("v2")
        old = pod.manifest("v2").digest
        swap(pod)
        running.mark("v2\n# promoted again\n")
        until(lambda: len([e for e in running.sidecar.events if e["event"] == "marker.read"]) == 2)
        settle(running, old)
        assert running.sidecar.metric('model_agent_syncs_total{status="success"}') == 1
        running.mark("v1\n")
        running.settle("v1")
