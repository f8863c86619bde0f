"""bge-large, at its true size, in the pod of `k8s/base` on a CPU: its limits are enough."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from tests.containers.node import AGENT, INIT, WORKER, Node, served
from tests.k8s.rendering import combine
from tests.support import models
from tests.support.pods import Pod
from tests.support.shares import REVISION
from tests.support.traffic import Traffic

if TYPE_CHECKING:
    from tests.k8s.rendering import Manifest

# Less than the manifests give it, 640Mi, of which a part is a reserve.
LIMIT: Final = "512Mi"
CATALOG: Final = f"""
version = "v1"
[[model]]
name = "{models.BGE_LARGE}"
loader = "fastembed"
"""


@pytest.fixture
def operators(node: Node) -> Pod:
    """The node's share has v1, and v2 that differs in a small file."""
    made = Pod(node.room / "operators")
    made.seconds = 300.0
    made.share.catalog.write_text(CATALOG)
    folder = made.root / "tree" / "fastembed"
    files = made.root / "files"
    models.write_bge_large(files, weights="external")
    snapshot = models.as_hub_cache(folder, models.BGE_LARGE_REPO, REVISION, files)
    made.publish_tree("v1", folder.parent).ok()
    config = snapshot / "config.json"
    text = config.read_text()
    config.unlink()
    config.write_text(json.dumps(json.loads(text), indent=1))
    made.publish_tree("v2", folder.parent).ok()
    made.agent("promote", "v1")
    return made


def manifests(node: Node) -> list[Manifest]:
    """The base on a CPU, its initContainer with less memory."""
    path = "/spec/template/spec/initContainers/0/resources"
    patch = [
        {"op": "replace", "path": f"{path}/{kind}/memory", "value": LIMIT}
        for kind in ("requests", "limits")
    ]
    return combine(
        node.directory("overlay"),
        ["local-share", "cpu"],
        patches=[{"target": {"kind": "Deployment"}, "patch": json.dumps(patch)}],
    )


def test_it_comes_up_and_is_bumped(node: Node, operators: Pod) -> None:
    """Neither `init` nor the sidecar nor the worker is killed for its memory; no request fails."""
    with node.pod(manifests(node)) as pod:
        pod.wait_ready(seconds=240)
        assert pod.spec.init_containers[0].resources.limits["memory"] == LIMIT
        assert served(pod) == "v1"
        sent = Traffic(f"http://{pod.address}:8080")
        sent.start()
        sent.wait_for("v1")
        operators.agent("promote", "v2")
        sent.wait_for("v2", seconds=240)
        sent.stop()
        assert sent.failures == []
        assert [pod.events.of(name).count("started") for name in (INIT, AGENT, WORKER)] == [1, 1, 1]
