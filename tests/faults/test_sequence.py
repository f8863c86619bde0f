"""Bumps after each other, good ones and bad ones, and one upon the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.faults.slow import CHUNK, PASSED, slow_pod
from tests.support.shares import flip
from tests.support.workers import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.serving import Serving
    from tests.support.pods import Pod


def refuse(running: Serving, version: str) -> None:
    """Bump to a release with a flipped bit, and see that the one before stays."""
    before = running.pod.active()
    assert before
    release = running.pod.share.release(version)
    flip(max(release.rglob("*.onnx*"), key=lambda path: path.stat().st_size))
    running.mark(f"{version}\n")
    running.sidecar.wait_for("release.quarantined", version=version)
    running.assert_active(before)
    assert "corrupt" in running.sidecar.status()["quarantined"][version]["reason"]
    until(lambda: running.sidecar.metric("model_agent_quarantined_releases") == 1)
    assert not (running.pod.store / "releases" / version).exists()


@case("sequence", "good, bad, good again")
def test_a_good_release_after_a_bad_one(pod: Pod) -> None:
    """The bad release never serves, and keeps no later one from it."""
    with serving(pod) as running:
        running.allowed = {"v1", "v3"}
        refuse(running, "v2")
        running.mark("v3\n")
        running.settle("v3")
        assert running.sidecar.status()["last_error"] is None


@case("sequence", "good, bad, back to the first")
def test_back_to_the_first_after_a_bad_one(pod: Pod) -> None:
    """What served all the while is what is desired again, and is not loaded again for it."""
    with serving(pod) as running:
        running.allowed = {"v1"}
        refuse(running, "v2")
        running.mark("v1\n")
        until(lambda: running.sidecar.status()["desired"] == "v1")
        running.settle("v1")
        assert "no other release" in running.sidecar.status()["doing"]
        assert running.sidecar.metric("model_agent_reload_attempts_total") == 0


@case("sequence", "a bump while another is staged", "its staging is dropped, its chunks are reused")
def test_a_bump_while_another_is_staged(releases: Path, tmp_path: Path) -> None:
    """The newer one wins at once, and takes over the chunks that the older one had brought."""
    with slow_pod(releases, tmp_path) as (pod, share), serving(pod) as running:
        running.allowed = {"v1", "v5"}
        staging = pod.store / ".agent" / "staging"
        share.stop()
        pod.agent("promote", "v4")
        share.wait_until_stopped(staging / "v4")
        pod.agent("promote", "v5")
        running.sidecar.wait_for("sync.superseded", version="v4")
        running.assert_active("v1")
        share.heal()
        running.settle("v5")
        assert running.sidecar.wait_for("release.staged")["resumed_bytes"] == PASSED * CHUNK
        assert list(staging.iterdir()) == []
        assert running.sidecar.metric('model_agent_staged_bytes_total{source="resumed"}')
        assert running.sidecar.status()["quarantined"] == {}
