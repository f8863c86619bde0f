"""The emulation does what a kubelet does: limits, probes, evictions, refusals."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Final

import pytest
from testcontainers.core.network import Network

from tests.containers.emulation import Pod, PodSpec, pod_spec
from tests.k8s import pods
from tests.k8s.rendering import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import docker

    Change = Callable[[dict[str, Any]], object]
    Make = Callable[..., Pod]

WAIT: Final = ["python", "-c", "import signal; signal.pause()"]
EAT: Final = ["python", "-c", "data = bytearray(200 << 20); data[::4096] = bytes(51200)"]
FILL: Final = ["python", "-c", "open('/tmp/much', 'wb').write(bytes(80 << 20))"]

KEPT: Final = (
    *("name", "image", "imagePullPolicy", "securityContext", "terminationMessagePolicy"),
    "volumeMounts",
)


@pytest.fixture
def make(docker_client: docker.DockerClient, tmp_path: Path) -> Iterator[Make]:
    """Makes a pod of the worker's container in `k8s/overlays/cpu` alone, with other fields."""
    manifests = render("cpu")
    with Network() as network:

        def made(**changes: Any) -> Pod:
            directory, spec = Path(mkdtemp(dir=tmp_path)), alone(**changes)
            return Pod(docker_client, spec, manifests, directory, network=network.name, places={})

        yield made


def alone(**changes: Any) -> PodSpec:
    """The spec of that pod."""
    spec = pods.pod(pods.deployment(render("cpu")))
    volumes = [each for each in spec["volumes"] if "emptyDir" in each]
    volumes += changes.pop("volumes", [])
    container = {key: spec["containers"][0][key] for key in KEPT} | {"command": WAIT} | changes
    kept = {"initContainers": [], "containers": [container], "volumes": volumes}
    return pod_spec({"spec": {"template": {"spec": spec | kept}}})


def test_memory_is_limited(make: Make) -> None:
    """Over its limit a container is killed, and started again."""
    with make(command=EAT, resources={"limits": {"memory": "64Mi"}}) as pod:
        pod.wait("embeddings-worker", "OOMKilled")
        pod.wait("embeddings-worker", "ended with 137")
        pod.wait("embeddings-worker", "started", times=2)


def test_a_volume_over_its_limit(make: Make) -> None:
    """The pod is evicted."""
    with make() as pod:
        pod.wait_ready()
        assert pod.exec("embeddings-worker", *FILL) == (0, "")
        pod.wait("pod", "evicted: worker-tmp")


@pytest.mark.parametrize("name", ["startupProbe", "livenessProbe"])
def test_a_probe_that_fails(name: str, make: Make) -> None:
    """The container is started again, though not before it failed so often."""
    probe = {"tcpSocket": {"port": 1}, "periodSeconds": 0.1, "failureThreshold": 3}
    with make(**{name: probe}) as pod:
        pod.wait("embeddings-worker", "probe failed")
        pod.wait("embeddings-worker", "started", times=2)


def test_readiness_only_tells(make: Make) -> None:
    """A container that is not ready goes on."""
    probe = {"tcpSocket": {"port": 1}, "periodSeconds": 0.1, "failureThreshold": 1}
    with make(readinessProbe=probe) as pod:
        with pytest.raises(TimeoutError, match="embeddings-worker: started"):
            pod.wait_ready(seconds=2)
        assert pod.events.of("embeddings-worker") == ["started"]


def test_what_no_engine_has(make: Make) -> None:
    """A GPU is refused, not passed over."""
    with pytest.raises(ValueError, match=r"no engine here has nvidia.com/gpu"):
        make(resources={"limits": {"nvidia.com/gpu": "1"}})


def test_a_secret_that_is_missing(make: Make) -> None:
    """A pod would hang for it, unless it is optional."""
    with pytest.raises(KeyError, match="keys"):
        make(volumes=[{"name": "secret", "secret": {"secretName": "keys"}}])
    with make(volumes=[{"name": "s", "secret": {"secretName": "keys", "optional": True}}]) as pod:
        pod.wait_ready()
