"""A worker whose admin listener is a socket file."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import pytest

from tests.faults.matrix import case
from tests.faults.serving import asked, serving
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.pods import Pod


@pytest.fixture
def address() -> Iterator[str]:
    """Where the socket may be: a path of a hundred characters would be too long."""
    with tempfile.TemporaryDirectory() as directory:
        yield f"unix://{directory}/admin.sock"


@case("method", "unix:// socket")
def test_a_socket(address: str, pod: Pod) -> None:
    """A worker is told, and confirms, over a socket file as it does over a port."""
    with serving(pod, admin=address) as running:
        for version in ("v2", "v1", "v2"):
            running.mark(f"{version}\n")
            running.settle(version)
        assert running.sidecar.metric("model_agent_last_reload_successful") == 1


@case("method", "unix:// socket of a worker that died")
def test_a_socket_that_a_worker_left(address: str, pod: Pod) -> None:
    """No request fails before and after; a file that nobody listens at is a worker that is away."""
    with pod.sidecar(address) as sidecar:
        for version in ("v2", "v1"):
            with pod.worker(admin=address) as worker:
                worker.wait("ready")
                with asked(pod, worker, sidecar) as running:
                    running.mark(f"{version}\n")
                    running.settle(version)
            until(lambda: sidecar.status()["worker"]["state"] == "unknown")
            assert (pod.active(), sidecar.get("/readyz").status_code) == (version, 200)
