"""What many bumps in a row leave behind."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from agent.release import manifest
from tests.faults.matrix import case
from tests.faults.pod import pod
from tests.faults.processes import Size, size

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.pod import Pod
    from tests.support.cluster import Cluster

BUMPS: Final = 200
EARLY: Final = 20
_MIB: Final = 2**20


@dataclass(frozen=True)
class Seen:
    """What a pod takes: each process, the store's files and bytes, the samples of `/metrics`."""

    agent: Size
    worker: Size
    files: int
    stored: int
    samples: int


@pytest.mark.timeout(1800)
@case("sequence", f"{BUMPS} bumps in a row, each to another release")
def test_two_hundred_bumps(cluster: Cluster) -> None:
    """Agent, worker and store are as large after all of them as after 20, threads and files too."""
    seen = {}
    with pod(cluster) as running:
        running.allowed = {"v1", *(f"b{number}" for number in range(1, BUMPS + 1))}
        for number in range(1, BUMPS + 1):
            bump(running, f"b{number}", like=f"v{number % 3 + 1}")
            if number in {EARLY, BUMPS}:
                running.settle(f"b{number}")
                seen[number] = look(running)
        assert running.sidecar.metric('model_agent_syncs_total{status="success"}') == BUMPS
    print(seen)
    assert_no_larger(seen[EARLY], seen[BUMPS])


def bump(running: Pod, version: str, *, like: str) -> None:
    """Put a release on the share that is like another one, go to it, and take it away again."""
    release = running.cluster.share / "releases" / version
    shutil.copytree(release.with_name(like), release)
    rename(release / manifest.FILE_NAME, version)
    running.mark(f"{version}\n")
    running.sidecar.wait_for("sync.done", version=version)
    shutil.rmtree(release)


def rename(path: Path, version: str) -> None:
    """Make a manifest that of another version."""
    raw = json.loads(path.read_bytes()) | {"version": version}
    path.write_bytes(manifest.parse(manifest.canonical(raw)).encoded)


def look(running: Pod) -> Seen:
    """See what a pod takes now."""
    files = [path for path in running.cluster.store.rglob("*") if path.is_file()]
    return Seen(
        agent=size(running.sidecar.process.pid),
        worker=size(running.worker.process.pid),
        files=len(files),
        stored=sum(path.stat().st_size for path in files),
        samples=len(running.sidecar.get("/metrics").text.splitlines()),
    )


def assert_no_larger(early: Seen, late: Seen) -> None:
    """Nothing grew by more than what comes and goes."""
    for before, after in ((early.agent, late.agent), (early.worker, late.worker)):
        assert after.resident < 1.1 * before.resident + 2 * _MIB
        assert after.threads <= before.threads + 2  # what is about to end
        assert after.descriptors <= before.descriptors + 2  # a connection that is about to close
    assert late.files <= early.files + 2
    assert late.stored < 1.05 * early.stored
    assert late.samples == early.samples
