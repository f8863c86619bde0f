"""A pod on a mounted share: store, worker and sidecar, with the share's own side in a directory."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx

from tests.containers.running import SETTINGS, run, service, volume
from tests.containers.test_story import served
from tests.support import models
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import docker
    from testcontainers.core.container import DockerContainer

    from tests.containers.running import Ended

ENV: Final = SETTINGS | {"MODEL_AGENT_SHARE": "/share"}
WELL: Final = {"reachable": True, "error": None, "marker_unknown": None}


@dataclass(frozen=True)
class Site:
    """An engine with our images, and the place where a share is mounted."""

    client: docker.DockerClient
    images: dict[str, str]
    share: Path

    def volumes(self, store: str) -> dict[str, dict[str, str]]:
        """What the agent's containers are given."""
        share = {"bind": "/share", "mode": "ro"}
        return {store: {"bind": "/mnt/models", "mode": "rw"}, str(self.share): share}

    def init(self, store: str) -> Ended:
        """Run `init` to its end."""
        options = {"environment": ENV, "volumes": self.volumes(store)}
        return run(self.client, self.images["model-agent"], "init", **options)

    def store(self) -> Any:
        """An empty store while it is entered; see `running.volume`."""
        return volume(self.client, self.images["model-agent"], "64m")


@dataclass(frozen=True)
class Pod:
    """What runs.

    Attributes:
        store: The volume that both are on.
        worker: The worker, in whose network the sidecar is, too.
    """

    store: str
    worker: DockerContainer

    def url(self, port: int) -> str:
        """Where a port of either is."""
        return f"http://127.0.0.1:{self.worker.get_exposed_port(port)}"

    def get(self, path: str) -> httpx.Response:
        """What the sidecar answers."""
        return httpx.get(self.url(9090) + path, trust_env=False)

    def status(self) -> dict[str, Any]:
        """What the sidecar says of itself."""
        answer: dict[str, Any] = self.get("/status").raise_for_status().json()
        return answer

    def current(self) -> str:
        """The release that `current` leads to."""
        link = self.worker.get_wrapped_container().exec_run(["readlink", "/mnt/models/current"])
        return str(link.output.decode().strip().rpartition("/")[2])

    def serves(self) -> str | None:
        """The release that the worker answers from."""
        return served(self.url(8080))

    def wait_for(self, version: str) -> None:
        """Wait until a release is active, and nothing is wrong with the share."""

        def arrived() -> bool:
            status = self.status()
            return (status["active"], status["share"]) == (version, WELL)

        until(arrived)
        assert self.current() == self.serves() == version


@contextmanager
def running(site: Site) -> Iterator[Pod]:
    """Run `init`, then a worker and a sidecar while the block runs."""
    with site.store() as store:
        done = site.init(store)
        assert done.code == 0, done.said
        worker = service(
            site.images["embeddings-worker"],
            *("--model", models.MINILM),
            volumes={store: {"bind": "/mnt/models", "mode": "ro"}},
            ports=[8080, 9090],
        )
        with worker:
            sidecar = service(
                site.images["model-agent"],
                "sidecar",
                environment=ENV,
                network_mode=f"container:{worker.get_wrapped_container().id}",
                volumes=site.volumes(store),
            )
            with sidecar:
                agent, pod = sidecar.get_wrapped_container(), Pod(store, worker)
                until(lambda: b"sidecar.listening" in agent.logs())
                until(pod.serves)
                yield pod
