"""What a node has for pods: an engine, a network, and directories that claims lead to."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Final

import httpx

from tests.containers.emulation import Pod, pod_spec
from tests.k8s import pods
from tests.k8s.rendering import extend

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker
    from testcontainers.core.network import Network

    from tests.k8s.rendering import Manifest

AGENT: Final = "model-agent"
INIT: Final = "model-agent-init"
WORKER: Final = "embeddings-worker"


@dataclass(frozen=True)
class Node:
    """Where pods are run.

    Args:
        client: The engine.
        network: The engine's network for them.
        room: A directory for what they need.
        places: Directories by the claims, Secrets and paths of the node that lead to them.
    """

    client: docker.DockerClient
    network: Network
    room: Path
    places: dict[str, Path] = field(default_factory=dict)

    @contextmanager
    def pod(self, manifests: list[Manifest], kind: str = "Deployment") -> Iterator[Pod]:
        """The one pod of this kind of workload, while the block runs."""
        (workload,) = pods.of_kind(manifests, kind)
        directory = self.directory("volumes")
        with Pod(
            self.client,
            pod_spec(workload),
            manifests,
            directory,
            network=self.network.name,
            places=self.places,
        ) as pod:
            yield pod

    def extend(self, resource: str, **fields: Any) -> list[Manifest]:
        """The manifests of an overlay on one of ours; see `rendering.extend`."""
        return extend(self.directory("overlay"), resource, **fields)

    def directory(self, name: str) -> Path:
        """A new, empty one."""
        return Path(mkdtemp(prefix=f"{name}-", dir=self.room))


def settings(**values: str) -> dict[str, Any]:
    """Fields of a kustomization that set these variables of the agent."""
    return {
        "configMapGenerator": [
            {
                "name": "model-agent-settings",
                "behavior": "merge",
                "literals": [f"{name}={value}" for name, value in values.items()],
            }
        ]
    }


def served(pod: Pod) -> str | None:
    """The release that a pod's worker answers from now, if it answers."""
    url = f"http://{pod.address}:8080/v1/embeddings"
    try:
        answer = httpx.post(url, json={"input": "a"}, trust_env=False)
    except httpx.HTTPError:
        return None
    return answer.headers.get("X-Model-Version") if answer.status_code == 200 else None
