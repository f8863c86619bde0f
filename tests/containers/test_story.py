"""A pod's life on containers: from a share over REST, and from the Hub, to a hot reload."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
from testcontainers.core.network import Network

from tests.containers.mirror import MIRROR, mirror
from tests.containers.running import KEY, SETTINGS, run, service, volume
from tests.support import models, shares
from tests.support.traffic import Traffic
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import docker
    from testcontainers.core.container import DockerContainer

    from tests.containers.running import Ended

SHARE: Final = "ml-models"
CATALOG: Final = shares.CATALOG.replace("catalogued", "v1")
ENV: Final = SETTINGS | {
    "MODEL_AGENT_SHARE": f"azurefiles://demo/{SHARE}",
    "MODEL_AGENT_AZURE_ENDPOINT": "http://files:8080",
    "MODEL_AGENT_CATALOG": "/trees/catalog.toml",
    "AZURE_STORAGE_KEY": KEY,
}


class Pod:
    """A share on a double, and our images run against it, on one network."""

    def __init__(
        self,
        client: docker.DockerClient,
        images: dict[str, str],
        network: Network,
        room: Path,
        share: DockerContainer,
    ) -> None:
        self.images = images
        self.network = network
        self.trees = room / "trees"
        self._share = share
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
            environment=ENV | options.pop("environment", {}),
            network=self.network.name,
            volumes=volumes,
            **options,
        )

    def store(self, size: str = "64m") -> AbstractContextManager[str]:
        """An empty store; see `running.volume`."""
        return volume(self._client, self.images["model-agent"], size)

    def worker(self, store: str) -> DockerContainer:
        """The worker on a store, which serves while it is entered."""
        return service(
            self.images["embeddings-worker"],
            *("--model", models.MINILM),
            network=self.network.name,
            volumes={store: {"bind": "/mnt/models", "mode": "ro"}},
            ports=[8080],
        )

    def sidecar(self, store: str, worker: DockerContainer) -> DockerContainer:
        """The sidecar of a worker, with its loopback."""
        return service(
            self.images["model-agent"],
            "sidecar",
            environment=ENV,
            network_mode=f"container:{worker.get_wrapped_container().id}",
            volumes={
                store: {"bind": "/mnt/models", "mode": "rw"},
                str(self.trees): {"bind": "/trees", "mode": "ro"},
            },
        )

    def url(self, container: DockerContainer) -> str:
        """Where a container serves, seen from here."""
        return f"http://127.0.0.1:{container.get_exposed_port(8080)}"

    def spoil(self, version: str) -> None:
        """Have a bit be wrong wherever a release's model is read from the share, from now on."""
        rule = {"kind": "flip", "operation": "GetFile", "path": f"{version}/.*onnx$", "count": None}
        url = f"{self.url(self._share)}/_control/faults"
        httpx.post(url, json=rule, trust_env=False).raise_for_status()

    def publish(self, version: str, write: Callable[[Path], None]) -> Ended:
        """Publish what `write` writes as FastEmbed's MiniLM."""
        files = self.trees / f"files-{version}"
        write(files)
        shares.tree(self.trees / version, files)
        return self.agent("publish", "--from", f"/trees/{version}", "--version", version)


@pytest.fixture
def pod(docker_client: docker.DockerClient, images: dict[str, str], room: Path) -> Iterator[Pod]:
    """A pod whose share, over REST, is empty."""
    with Network() as network:
        share = service(
            images["azure-files-double"],
            *("--account", "demo", "--key", KEY, f"--share={SHARE}"),
            ports=[8080],
        )
        with share.with_network(network).with_network_aliases("files"):
            until(lambda: b"http://" in share.get_wrapped_container().logs())
            yield Pod(docker_client, images, network, room, share)


@pytest.fixture
def started(pod: Pod) -> Pod:
    """The pod with v1 on its share, promoted."""
    for done in (pod.publish("v1", models.write_tiny), pod.agent("promote", "v1")):
        assert done.code == 0, done.said
    return pod


def test_from_the_hub_to_a_refused_release(pod: Pod, room: Path) -> None:
    """The catalog's release comes from the Hub; bumps of it arrive hot, and bad ones do not."""
    with (
        pod.store() as store,
        mirror(pod.images["hub-double"], pod.network, room / "hub", models.write_tiny),
    ):
        done = pod.agent("init", "--populate", "share", store=store, environment=MIRROR)
        assert done.code == 0, done.said
        promote(pod, "v1")
        with pod.worker(store) as worker, pod.sidecar(store, worker) as sidecar:
            until(lambda: served(pod.url(worker)) == "v1")
            with Traffic(pod.url(worker)) as sent:
                publish(pod, "v2", partial(models.write_tiny, weights="external"))
                promote(pod, "v2")
                sent.wait_for("v2")
                publish(pod, "v3", partial(models.write_tiny, seed=1))
                refused = pod.agent("promote", "v3")
                assert (refused.code, "another space" in refused.sentence) == (9, True)
                publish(pod, "v4", partial(models.write_tiny, weights="fp16"))
                pod.spoil("v4")
                promote(pod, "v4")
                until(lambda: "v4" in status(sidecar)["state"]["quarantined"])
                sent.wait_for("v2", more=20)
            seen = status(sidecar)
            assert seen["active"] == "v2"
            assert "corrupt in chunk" in seen["state"]["quarantined"]["v4"]["reason"]
            assert (sent.failures, set(sent.by_release)) == ([], {"v1", "v2"})


def publish(pod: Pod, version: str, write: Callable[[Path], None]) -> None:
    """Have a release on the share."""
    done = pod.publish(version, write)
    assert done.code == 0, done.said


def promote(pod: Pod, version: str) -> None:
    """Have the marker name it."""
    done = pod.agent("promote", version)
    assert done.code == 0, done.said


def status(sidecar: DockerContainer) -> dict[str, Any]:
    """What `model-agent status` says of the store."""
    command = ["model-agent", "status", "--json"]
    said = sidecar.get_wrapped_container().exec_run(command).output
    found: dict[str, Any] = json.loads(said[said.index(b"{\n") :])["store"]
    return found


def served(url: str) -> str | None:
    """The release that a worker answers from now, if it answers."""
    try:
        answer = httpx.post(f"{url}/v1/embeddings", json={"input": "a"}, trust_env=False)
    except httpx.HTTPError:
        return None
    return answer.headers.get("X-Model-Version") if answer.status_code == 200 else None


def test_a_store_that_is_too_small(started: Pod) -> None:
    """Exit 6 before anything is written, with the bytes that are missing."""
    with started.store("128k") as store:
        done = started.agent("init", store=store)
    assert done.code == 6, done.said
    assert "bytes" in done.sentence


def test_an_arbitrary_user_with_group_0(started: Pod) -> None:
    """A platform that hands out uids: the store's group is what counts."""
    with started.store() as store:
        done = started.agent("init", store=store, user="123456:0")
        assert done.code == 0, done.said
        again = started.agent("init", store=store, user="654321:0")
        assert again.code == 0, again.said


def test_from_the_hub_to_the_store(
    images: dict[str, str], docker_client: docker.DockerClient, room: Path
) -> None:
    """A pod that may not write the share makes the catalog's release for itself."""
    (room / "catalog.toml").write_text(CATALOG)
    with (
        Network() as network,
        volume(docker_client, images["model-agent"], "64m") as store,
        mirror(images["hub-double"], network, room / "hub", models.write_tiny),
    ):
        done = run(
            docker_client,
            images["model-agent"],
            *("init", "--share", "/share", "--populate", "store"),
            environment=SETTINGS | MIRROR | {"MODEL_AGENT_CATALOG": "/catalog.toml"},
            network=network.name,
            volumes={
                store: {"bind": "/mnt/models", "mode": "rw"},
                str(room / "share"): {"bind": "/share", "mode": "ro"},
                str(room / "catalog.toml"): {"bind": "/catalog.toml", "mode": "ro"},
            },
        )
    assert done.code == 0, done.said
    assert "v1 is active" in done.said
