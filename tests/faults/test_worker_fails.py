"""A worker that tries to load a release, and cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.support import models
from tests.support.groups import limited_group
from tests.support.shares import CATALOG, REVISION

if TYPE_CHECKING:
    from tests.faults.serving import Serving
    from tests.support.pods import Pod

MIB: Final = 1024 * 1024
PLENTY: Final = 4096 * MIB
# What a tiny model is thought to need is 64 MiB.
TOO_LITTLE: Final = 40 * MIB


@case("worker", "failed with a reason")
def test_a_release_that_the_worker_cannot_load(pod: Pod) -> None:
    """The old release serves on, and the new one is given up, with the worker's reason."""
    publish_another_model(pod, "v4")
    with serving(pod) as running:
        running.settle("v1")
        running.mark("v4\n")
        assert_given_up(running, "v4", "holds no sentence-transformers/all-MiniLM-L6-v2")
        running.mark("v2\n")
        running.settle("v2")


@case("worker", "no memory for two models")
def test_a_worker_without_room(pod: Pod) -> None:
    """The worker says so before it loads and serves on; with more, and promoted again, it loads."""
    with limited_group(PLENTY) as group, serving(pod, prefix=group.prefix) as running:
        running.settle("v1")
        group.limit(group.anonymous() + TOO_LITTLE)
        running.mark("v2\n")
        assert_given_up(running, "v2", "v2 needs about")
        group.limit(PLENTY)
        running.mark("v2\n# with more memory\n")
        running.settle("v2")


def assert_given_up(running: Serving, version: str, reason: str) -> None:
    """The release is quarantined with the worker's reason, and v1 serves, and is asked for."""
    assert reason in running.sidecar.wait_for("release.quarantined", version=version)["reason"]
    running.sidecar.wait_for("reload.confirmed", version="v1")
    running.settle("v1")
    status = running.sidecar.status()
    assert reason in status["quarantined"][version]["reason"]
    assert (status["desired"], status["worker"]["state"]) == (version, "ready")
    assert running.sidecar.metric("model_agent_quarantined_releases") == 1
    assert running.sidecar.metric('model_agent_syncs_total{status="quarantined"}') == 1


def publish_another_model(pod: Pod, version: str) -> None:
    """Publish a sound release without the model that the worker serves."""
    pod.share.catalog.write_text(CATALOG.replace(models.MINILM, models.BGE_LARGE))
    tree = pod.root / f"tree-{version}"
    models.write_tiny(tree / "model", hidden=64)
    models.as_hub_cache(tree / "fastembed", models.BGE_LARGE_REPO, REVISION, tree / "model")
    pod.publish_tree(version, tree).ok()
