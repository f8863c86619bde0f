"""A pod's life on containers: from a share over REST, and from the Hub, to a hot reload."""

from __future__ import annotations

import base64
import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
from testcontainers.core.network import Network

from tests.containers.running import run, service, volume
from tests.support import models
from tests.support.cluster import CATALOG
from tests.support.shares import REVISION
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import docker

    from tests.containers.running import Ended

KEY: Final = base64.b64encode(b"a key of the double's account").decode()
SHARE: Final = "ml-models"
SETTINGS: Final = {
    "MODEL_AGENT_SHARE": f"azurefiles://demo/{SHARE}",
    "MODEL_AGENT_AZURE_ENDPOINT": "http://files:8080",
    "MODEL_AGENT_CATALOG": "/trees/catalog.toml",
    "MODEL_AGENT_DEVICE": "cpu",
    "MODEL_AGENT_POLL_INTERVAL": "1s",
    "AZURE_STORAGE_KEY": KEY,
}


class Pod:
    """A share on a double, and the agent's image run against it, on one network."""

    def __init__(
        self, client: docker.DockerClient, images: dict[str, str], network: str, room: Path
    ) -> None:
        self.images = images
        self.network = network
        self.trees = room / "trees"
        self.trees.mkdir()
        (self.trees / "catalog.toml").write_text(CATALOG)
        self._client = client

    def agent(self, *command: str, store: str | None = None, **options: Any) -> Ended:
        """Run the agent to its end."""
        volumes = {str(self.trees): {"bind": "/trees", "mode": "ro"}}
        if store:
            volumes[store] = {"bind": "/mnt/models", "mode": "rw"}
        return run(
            self._client,
            self.images["model-agent"],
            *command,
            environment=SETTINGS | options.pop("environment", {}),
            network=self.network,
            volumes=volumes,
            **options,
        )

    def publish(self, version: str, write: Callable[[Path], None]) -> Ended:
        """Publish what `write` writes as FastEmbed's MiniLM."""
        tree = self.trees / version
        write(self.trees / f"files-{version}")
        files = self.trees / f"files-{version}"
        models.as_hub_cache(tree / "fastembed", models.MINILM_REPO, REVISION, files)
        return self.agent("publish", "--from", f"/trees/{version}", "--version", version)


@pytest.fixture
def pod(docker_client: docker.DockerClient, images: dict[str, str], room: Path) -> Iterator[Pod]:
    """A pod whose share has v1, v2 of the same space, and v3 of another; v1 is promoted."""
    with Network() as network:
        double = service(
            images["azure-files-double"], "--account", "demo", "--key", KEY, f"--share={SHARE}"
        )
        with double.with_network(network).with_network_aliases("files"):
            made = Pod(docker_client, images, network.name, room)
            for done in (
                made.publish("v1", models.write_tiny),
                made.publish("v2", partial(models.write_tiny, weights="external")),
                made.publish("v3", partial(models.write_tiny, seed=1)),
            ):
                assert done.code == 0, done.said
            assert made.agent("promote", "v1").code == 0
            yield made


def test_from_init_to_a_refused_release(pod: Pod, docker_client: docker.DockerClient) -> None:
    """`init`, worker and sidecar share a store and a loopback; bumps arrive, a bad one does not."""
    with volume(docker_client, pod.images["model-agent"], "64m") as store:
        assert pod.agent("init", store=store).code == 0
        worker = service(
            pod.images["embeddings-worker"],
            *("--model", models.MINILM),
            network=pod.network,
            volumes={store: {"bind": "/mnt/models", "mode": "ro"}},
            ports=[8080],
        )
        with worker:
            pause = worker.get_wrapped_container()
            url = f"http://127.0.0.1:{worker.get_exposed_port(8080)}"
            until(lambda: served(url) == "v1", seconds=60)
            sidecar = service(
                pod.images["model-agent"],
                "sidecar",
                environment=SETTINGS,
                network_mode=f"container:{pause.id}",
                volumes={
                    store: {"bind": "/mnt/models", "mode": "rw"},
                    str(pod.trees): {"bind": "/trees", "mode": "ro"},
                },
            )
            with sidecar:
                assert pod.agent("promote", "v2").code == 0
                until(lambda: served(url) == "v2", seconds=60)
                refused = pod.agent("promote", "v3")
                assert refused.code == 9
                assert "another space" in refused.sentence
                assert pod.agent("promote", "v3", "--allow-new-space").code == 0
                until(lambda: served(url) == "v3", seconds=60)
                agent = sidecar.get_wrapped_container()
                status = agent.exec_run(["model-agent", "status", "--json"]).output
                seen = json.loads(status[status.index(b"{\n") :])
                assert seen["store"]["active"] == "v3"


def served(url: str) -> str | None:
    """The release that a worker answers from now, if it answers."""
    try:
        answer = httpx.post(f"{url}/v1/embeddings", json={"input": "a"}, trust_env=False)
    except httpx.HTTPError:
        return None
    return answer.headers.get("X-Model-Version") if answer.status_code == 200 else None


def test_a_store_that_is_too_small(pod: Pod, docker_client: docker.DockerClient) -> None:
    """Exit 6 before anything is written, with the bytes that are missing."""
    with volume(docker_client, pod.images["model-agent"], "128k") as store:
        done = pod.agent("init", store=store)
    assert done.code == 6, done.said
    assert "bytes" in done.sentence


def test_an_arbitrary_user_with_group_0(pod: Pod, docker_client: docker.DockerClient) -> None:
    """A platform that hands out uids: the store's group is what counts."""
    with volume(docker_client, pod.images["model-agent"], "64m") as store:
        done = pod.agent("init", store=store, user="123456:0")
        assert done.code == 0, done.said
        again = pod.agent("init", store=store, user="654321:0")
        assert again.code == 0, again.said


def test_from_the_hub(
    images: dict[str, str], docker_client: docker.DockerClient, room: Path
) -> None:
    """A pod that finds no release makes the catalog's own, from the Hub."""
    repo = room / "hub" / models.MINILM_REPO
    models.write_tiny(repo / REVISION)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(REVISION)
    (room / "catalog.toml").write_text(CATALOG)
    with Network() as network, volume(docker_client, images["model-agent"], "64m") as store:
        double = service(
            images["hub-double"],
            *("--root", "/hub", "--cdn-host", "cdn"),
            volumes={str(room / "hub"): {"bind": "/hub", "mode": "ro"}},
        )
        with double.with_network(network).with_network_aliases("hub", "cdn"):
            until(lambda: b"http://" in double.get_wrapped_container().logs(), seconds=60)
            done = run(
                docker_client,
                images["model-agent"],
                *("init", "--share", "/share", "--populate", "store"),
                environment={
                    "MODEL_AGENT_CATALOG": "/catalog.toml",
                    "MODEL_AGENT_DEVICE": "cpu",
                    "HF_ENDPOINT": "http://hub:8080",
                    "HF_HUB_DISABLE_XET": "1",
                },
                network=network.name,
                volumes={
                    store: {"bind": "/mnt/models", "mode": "rw"},
                    str(room / "share"): {"bind": "/share", "mode": "ro"},
                    str(room / "catalog.toml"): {"bind": "/catalog.toml", "mode": "ro"},
                },
            )
    assert done.code == 0, done.said
    assert "v1 is active" in done.said
