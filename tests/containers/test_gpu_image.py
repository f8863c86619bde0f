"""The images with CUDA, on an engine without a GPU: they are whole, and say what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.containers.conftest import built
from tests.containers.running import run, told

if TYPE_CHECKING:
    from pathlib import Path

    import docker

    from tests.support.pods import Pod

pytestmark = pytest.mark.timeout(1200)  # 2 GB of wheels are downloaded, and installed
_BUILDS: Final = """
from importlib.metadata import distributions
import onnxruntime
builds = {d.name for d in distributions() if d.name.startswith("onnxruntime")}
print(*sorted(builds), "CUDAExecutionProvider" in onnxruntime.get_available_providers())
"""


@pytest.fixture(scope="module")
def gpu(base: str) -> dict[str, str]:
    """The images by their names."""
    return built(base, "gpu")


def test_it_has_the_one_build_with_cuda(
    gpu: dict[str, str], docker_client: docker.DockerClient
) -> None:
    """Two builds of onnxruntime in one environment hide CUDA from each other."""
    options = {"entrypoint": "python", "network_mode": "none"}
    done = run(docker_client, gpu["model-agent"], "-c", _BUILDS, **options)
    assert done.printed.split() == ["onnxruntime-gpu", "True"], done.said


def test_a_node_without_a_gpu(
    gpu: dict[str, str], docker_client: docker.DockerClient, operators: Pod, room: Path
) -> None:
    """`init` ends with 7 before the pod takes requests, and names the cause."""
    done = run(
        docker_client,
        gpu["model-agent"],
        *("init", "--share", "/share", "--device", "cuda"),
        volumes={
            str(operators.share.root): {"bind": "/share", "mode": "ro"},
            str(room / "store"): {"bind": "/mnt/models", "mode": "rw"},
        },
    )
    assert done.code == 7, done.said
    assert "No GPU is visible" in done.sentence


def test_what_a_worker_is_told(gpu: dict[str, str], docker_client: docker.DockerClient) -> None:
    """CUDA, and no other device; batches that fill a GPU."""
    variables = told(docker_client, gpu["embeddings-worker"])
    assert (variables["EMBEDDINGS_DEVICE"], variables["EMBEDDINGS_MAX_BATCH"]) == ("cuda", "128")
