"""A pod as processes, asked for vectors all the while."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.support.traffic import Traffic
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.pods import Pod
    from tests.support.sidecars import Sidecar
    from tests.support.workers import Worker

_SETTLE_SECONDS: Final = 300.0
# Often enough that none of a reload's moments passes without a request.
_PAUSE_SECONDS: Final = 0.1


@dataclass
class Serving:
    """The embeddings worker, a sidecar, and requests to the worker from two threads.

    Attributes:
        pod: The share and the store.
        worker: The worker.
        sidecar: The sidecar; a test may put another one in its place.
        traffic: What the worker answered.
        allowed: The releases that may answer; when the pod ends, no other may have.
    """

    pod: Pod
    worker: Worker
    sidecar: Sidecar
    traffic: Traffic
    allowed: set[str] = field(default_factory=lambda: {"v1", "v2"})

    def mark(self, text: str | bytes) -> None:
        """Write the marker as it is, and have the sidecar look."""
        data = text if isinstance(text, bytes) else text.encode()
        (self.pod.share.root / "VERSION").write_bytes(data)
        self.sidecar.look_now()

    def settle(self, version: str, *, seconds: float = _SETTLE_SECONDS) -> None:
        """Wait until a release is served; then disk, /status, /metrics and answers agree on it."""
        self.traffic.wait_for(version, more=2, seconds=seconds)
        until(lambda: self.sidecar.status()["active"] == version or None, seconds=seconds)
        # /metrics follows at the end of the same turn.
        both = {"active": version, "worker": version}.items()
        until(lambda: both <= release_labels(self.sidecar).items(), seconds=seconds)
        self.assert_active(version)

    def assert_active(self, version: str) -> None:
        """The disk, `/status`, `/metrics`, `/readyz` and the worker agree on a release."""
        # The worker is the last thing that a turn of the agent's loop looks at.
        until(lambda: self.sidecar.status()["worker"]["version"] == version)
        self.assert_kept(version)

    def assert_kept(self, version: str) -> None:
        """The same, whatever the sidecar hears of the worker."""
        assert self.pod.active() == version
        assert self.sidecar.status()["active"] == version
        until(lambda: release_labels(self.sidecar).get("active") == version)
        assert self.sidecar.get("/readyz").status_code == 200
        assert self.sidecar.get("/healthz").status_code == 200
        assert self.worker.model()["version"] == version
        self.traffic.wait_for(version)


@contextmanager
def serving(
    pod: Pod, *flags: str, via: Callable[[str], str] = str, **worker_flags: Any
) -> Iterator[Serving]:
    """Run worker and sidecar of a pod whose store has a release active; no request may fail.

    Args:
        pod: Its share and store.
        flags: More of the sidecar's.
        via: Gives what the sidecar takes for the worker's admin listener.
        worker_flags: As `tests.support.workers.worker` takes them.
    """
    with pod.worker(**worker_flags) as worker:
        worker.wait("ready")
        with (
            pod.sidecar(via(worker.admin), *flags) as sidecar,
            asked(pod, worker, sidecar) as made,
        ):
            yield made


@contextmanager
def asked(pod: Pod, worker: Worker, sidecar: Sidecar) -> Iterator[Serving]:
    """Ask a worker that is ready all the while; no request may fail."""
    made = Serving(pod, worker, sidecar, Traffic(worker.serving, pause=_PAUSE_SECONDS))
    made.traffic.start()
    try:
        yield made
    finally:
        made.traffic.stop()
    assert made.traffic.failures == [], made.traffic.failures[:3]
    assert set(made.traffic.by_release) <= made.allowed, made.traffic.by_release
    assert "sidecar.turn_failed" not in [event["event"] for event in sidecar.events]


def release_labels(sidecar: Sidecar) -> dict[str, Any]:
    """What `/metrics` says of the releases of this pod: desired, active, worker; first, nothing."""
    lines = sidecar.get("/metrics").raise_for_status().text.splitlines()
    line = next((line for line in lines if line.startswith("model_agent_release_info{")), None)
    if line is None:
        return {}
    inner = line[line.index("{") + 1 : line.rindex("}")]
    return {key: json.loads(value) for key, value in (p.split("=", 1) for p in inner.split(","))}
