"""Files that run code when they are loaded, promoted under a sidecar whose worker serves."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from tests.faults.matrix import case
from tests.faults.pod import pod
from tests.faults.test_security_trees import tree
from tests.support.shares import TestShare
from tests.support.workers import until

if TYPE_CHECKING:
    from tests.support.cluster import Cluster

_PICKLE: Final = b"cos\nsystem\n(S'touch /tmp/run-by-a-pickle'\ntR."


def add_a_pickle(cluster: Cluster) -> None:
    """Have v2 hold a pickle beside its model, with all that a manifest says of it."""
    model = next((cluster.share / "releases" / "v2").rglob("model.onnx"))
    path = model.with_name("pytorch_model.bin")
    path.write_bytes(_PICKLE)
    digest = hashlib.sha256(_PICKLE).hexdigest()
    name = str(path.relative_to(cluster.share / "releases" / "v2"))
    entry = {"path": name, "size": len(_PICKLE), "sha256": digest, "chunks": [digest]}
    TestShare(cluster.share).sign("v2", lambda raw: raw["files"].append(entry))


@case("security", "pickle in a published release")
def test_a_pickle_is_refused(cluster: Cluster) -> None:
    """It is refused in one sentence and not staged, and the release without it is taken."""
    manifest = cluster.share / "releases" / "v2" / "manifest.json"
    good = manifest.read_bytes()
    add_a_pickle(cluster)
    with pod(cluster) as running:
        running.mark("v2\n")
        until(lambda: "a pickle, which runs" in (running.sidecar.status()["last_error"] or ""))
        until(lambda: running.sidecar.metric('model_agent_syncs_total{status="error"}') >= 1)
        running.assert_active("v1")
        assert not list(cluster.store.rglob("*.bin"))
        manifest.write_bytes(good)
        running.sidecar.look_now()
        running.settle("v2")


@case("security", "pickle in a published release, and --allow-pickle")
def test_a_pickle_is_allowed(cluster: Cluster) -> None:
    """The release is staged whole and served: that was the operator's word."""
    add_a_pickle(cluster)
    with pod(cluster, "--allow-pickle") as running:
        running.mark("v2\n")
        running.settle("v2")
        assert {each.read_bytes() for each in cluster.store.rglob("*.bin")} == {_PICKLE}


@case("security", "pickle in a tree made by hand, beside a model that is none")
def test_a_pickle_in_a_tree(cluster: Cluster) -> None:
    """It is left out, and the model is adopted and served."""
    (tree(cluster) / "pytorch_model.bin").write_bytes(_PICKLE)
    with pod(cluster) as running:
        running.allowed.add("v9")
        running.mark("v9\n")
        running.settle("v9")
        assert not list(cluster.store.rglob("*.bin"))
