"""bge-large, at its true size, in the pod of `k8s/base` on a CPU: its limits are enough."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any, Final

import pytest

from agent.release import manifest
from tests.containers.node import AGENT, INIT, WORKER, Node, served
from tests.k8s.rendering import combine
from tests.support import models
from tests.support.pods import Pod
from tests.support.shares import REVISION
from tests.support.traffic import Traffic

if TYPE_CHECKING:
    from tests.k8s.rendering import Manifest
    from tests.support.shares import TestShare

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
    models.as_hub_cache(folder, models.BGE_LARGE_REPO, REVISION, files)
    made.publish_tree("v1", folder.parent).ok()
    change_config(made.share)
    made.agent("promote", "v1")
    return made


def change_config(share: TestShare) -> None:
    """Add v2: v1 with its config written otherwise, without running 1.3 GB once more."""
    shutil.copytree(share.release("v1"), share.release("v2"), copy_function=os.link)
    (config,) = share.release("v2").rglob("config.json")
    data = json.dumps(json.loads(config.read_bytes()), indent=1).encode()
    (share.release("v2") / manifest.FILE_NAME).unlink()
    config.unlink()
    config.write_bytes(data)

    def change(raw: dict[str, Any]) -> None:
        digest = hashlib.sha256(data).hexdigest()
        (entry,) = (file for file in raw["files"] if file["path"].endswith("/config.json"))
        entry.update(size=len(data), sha256=digest, chunks=[digest])
        raw["version"] = "v2"

    raw = (share.release("v1") / manifest.FILE_NAME).read_bytes()
    (share.release("v2") / manifest.FILE_NAME).write_bytes(raw)
    share.sign("v2", change)


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


@pytest.mark.timeout(1800)  # its checks go last, behind whatever else runs here
def test_it_comes_up_and_is_bumped(node: Node, operators: Pod) -> None:
    """Neither `init` nor the sidecar nor the worker is killed for its memory; no request fails."""
    with node.pod(manifests(node)) as pod:
        pod.wait_ready(seconds=900)
        assert pod.spec.init_containers[0].resources.limits["memory"] == LIMIT
        assert served(pod) == "v1"
        sent = Traffic(f"http://{pod.address}:8080")
        sent.start()
        sent.wait_for("v1")
        operators.agent("promote", "v2")
        sent.wait_for("v2", seconds=900)
        sent.stop()
        assert sent.failures == []
        assert [pod.events.of(name).count("started") for name in (INIT, AGENT, WORKER)] == [1, 1, 1]
