"""What `kubectl apply -k k8s/overlays/cpu` does, as docs/kubernetes.md has it under "Try it"."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from testcontainers.core.network import Network

from tests.containers.mirror import MIRROR, mirror
from tests.containers.node import AGENT, INIT, WORKER, Node, served, settings
from tests.k8s.rendering import K8S
from tests.support import models
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import docker

    from tests.containers.emulation import Pod
    from tests.k8s.rendering import Manifest

FIRST, SECOND = "minilm-1", "minilm-2"
JOB: Final = "model-agent-populate"
# What `kubectl describe pod` shows until then.
NOTHING: Final = (
    "There is no marker VERSION and no release on the share /mnt/share. "
    "Publish a release, then promote it: model-agent publish --from DIR --version V.\n"
)


@pytest.fixture
def node(
    docker_client: docker.DockerClient,
    images: dict[str, str],
    room: Path,
) -> Iterator[Node]:
    """A node that reaches a mirror of the Hub, with the true MiniLM, and an empty claim."""
    with (
        Network() as network,
        mirror(images["hub-double"], network, room / "hub", models.write_minilm_onnx),
    ):
        yield Node(docker_client, network, room, {"ml-models": room / "share"})


def another_release(node: Node) -> list[Manifest]:
    """The manifests after the two changes that the page tells of."""
    catalog = (K8S / "components/small-model/catalog.toml").read_text()
    return node.extend(
        "overlays/cpu",
        **settings(**MIRROR),
        patches=[
            replaced("ConfigMap", "/data/catalog.toml", catalog.replace(FIRST, SECOND)),
            replaced("Job", "/spec/template/spec/containers/0/env/0/value", SECOND),
        ],
    )


def replaced(kind: str, path: str, value: str) -> dict[str, Any]:
    """A patch of one value."""
    name = {"ConfigMap": "model-agent-catalog", "Job": JOB}[kind]
    patch = json.dumps([{"op": "replace", "path": path, "value": value}])
    return {"target": {"kind": kind, "name": name}, "patch": patch}


def populate(node: Node, manifests: list[Manifest]) -> None:
    """Run the Job to its end."""
    with node.pod(manifests, "Job") as job:
        job.wait("promote", "ended with 0", seconds=900)
        assert job.events.of("publish").count("started") == 1


def status(pod: Pod) -> dict[str, Any]:
    """What `model-agent status` says in the sidecar."""
    _, text = pod.exec(AGENT, "model-agent", "status", "--json")
    found: dict[str, Any] = json.loads(text[text.index("{\n") :])
    return found


def test_from_an_empty_claim_to_a_hot_reload(node: Node) -> None:
    """The pod waits for the Job and says so, serves its release, and takes the next one hot."""
    manifests = node.extend("overlays/cpu", **settings(**MIRROR))
    with node.pod(manifests) as pod:
        pod.wait(INIT, "ended with 4")
        assert pod.message(INIT) == NOTHING
        populate(node, manifests)
        pod.wait_ready()
        assert served(pod) == FIRST
        changed = another_release(node)
        pod.volumes.update(changed)
        populate(node, changed)
        until(lambda: served(pod) == SECOND)
        assert [pod.events.of(name).count("started") for name in (AGENT, WORKER)] == [1, 1]
        # It is active a moment after the worker confirmed it.
        until(lambda: status(pod)["store"]["active"] == SECOND)
