"""Each image by itself: its size, its user, what it may do, and how it ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.containers.running import UID, run, service, told, volume
from tests.support.workers import until

if TYPE_CHECKING:
    import docker
    from testcontainers.core.container import DockerContainer

MB = 1_000_000
# Of the image's own check, only how often is set: without a test, the engine takes the image's.
OFTEN = {"interval": 500_000_000}
OWN = ["model-agent", "embeddings-worker", "azure-files-double", "hub-double"]


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("user", [f"{UID}:0", "123456:0"], ids=["fixed", "arbitrary"])
def test_it_starts_restricted(
    name: str, user: str, images: dict[str, str], docker_client: docker.DockerClient
) -> None:
    """As its own user and as any other, without capabilities, on a read-only root."""
    done = run(docker_client, images[name], "--help", user=user, network_mode="none")
    assert done.code == 0, done.said
    assert "usage" in done.said.lower()


def test_what_is_in_it(images: dict[str, str], docker_client: docker.DockerClient) -> None:
    """Under 450 MB with its base, not root, labelled, with a health check and no shell in front."""
    image = docker_client.images.get(images["model-agent"])
    config: dict[str, Any] = image.attrs["Config"]
    assert image.attrs["Size"] < 450 * MB
    assert config["User"] == f"{UID}:0"
    assert config["Entrypoint"] == ["model-agent"]
    assert config["Labels"]["org.opencontainers.image.title"] == "model-agent"
    assert config["Labels"]["org.opencontainers.image.version"]
    assert config["Healthcheck"]["Test"][0] == "CMD"


def test_what_a_worker_is_told(images: dict[str, str], docker_client: docker.DockerClient) -> None:
    """The variables that loaders document lead to the store, and the variant has its device."""
    variables = told(docker_client, images["embeddings-worker"])
    assert variables["FASTEMBED_CACHE_PATH"] == "/mnt/models/fastembed"
    assert variables["HF_HOME"] == "/mnt/models/huggingface"
    assert variables["SENTENCE_TRANSFORMERS_HOME"] == "/mnt/models/sentence_transformers"
    assert (variables["EMBEDDINGS_DEVICE"], variables["EMBEDDINGS_MAX_BATCH"]) == ("cpu", "32")


def test_layers_are_shared(images: dict[str, str], docker_client: docker.DockerClient) -> None:
    """A node that has the agent's image has all of the worker's but a few files."""
    layers = {
        name: docker_client.images.get(image).attrs["RootFS"]["Layers"]
        for name, image in images.items()
    }
    agent = layers.pop("model-agent")
    assert all(other[: len(agent)] == agent for other in layers.values())


def test_a_mistake_is_one_sentence(
    images: dict[str, str], docker_client: docker.DockerClient
) -> None:
    """The exit codes come through, and the last line says what to do."""
    done = run(docker_client, images["model-agent"], "init")
    assert done.code == 2
    assert "--share" in done.sentence


def test_a_sidecar_is_healthy_and_stops_at_once(
    images: dict[str, str], docker_client: docker.DockerClient
) -> None:
    """The image's own check finds it healthy; as process 1 it ends on SIGTERM, with 0."""
    with (
        volume(docker_client, images["model-agent"], "16m") as store,
        service(
            images["model-agent"],
            *("sidecar", "--share", "/nowhere"),
            volumes={store: {"bind": "/mnt/models", "mode": "rw"}},
            healthcheck=OFTEN,
        ) as sidecar,
    ):
        stops_at_once(sidecar)


def test_a_worker_is_healthy_and_stops_at_once(images: dict[str, str]) -> None:
    """So does the worker, though it waits for its first release."""
    command = ("--model", "Org/name")
    with service(images["embeddings-worker"], *command, healthcheck=OFTEN) as worker:
        stops_at_once(worker)


def stops_at_once(service: DockerContainer) -> None:
    """See that a service gets healthy, and ends on SIGTERM."""
    container = service.get_wrapped_container()

    def healthy() -> bool:
        container.reload()
        return bool(container.attrs["State"]["Health"]["Status"] == "healthy")

    until(healthy)
    began = time.monotonic()
    container.kill("SIGTERM")
    assert container.wait(timeout=20)["StatusCode"] == 0
    assert time.monotonic() - began < 5
