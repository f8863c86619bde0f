"""What many bumps in a row leave behind."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults.matrix import case
from tests.faults.processes import Size, size
from tests.faults.serving import serving

if TYPE_CHECKING:
    from tests.faults.serving import Serving
    from tests.support.pods import Pod

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
def test_two_hundred_bumps(pod: Pod) -> None:
    """Agent, worker and store are as large after all of them as after 20, threads and files too."""
    seen = {}
    with serving(pod) as running:
        running.allowed = {"v1", *(f"b{number}" for number in range(1, BUMPS + 1))}
        for number in range(1, BUMPS + 1):
            bump(running, f"b{number}", like=f"v{number % 3 + 1}")
            if number in {EARLY, BUMPS}:
                running.settle(f"b{number}")
                seen[number] = look(running)
        assert running.sidecar.metric('model_agent_syncs_total{status="success"}') == BUMPS
    print(seen)
    assert_no_larger(seen[EARLY], seen[BUMPS])


def bump(running: Serving, version: str, *, like: str) -> None:
    """Put a release on the share that is like another one, go to it, and take it away again."""
    release = running.pod.share.release(version)
    shutil.copytree(release.with_name(like), release)
    running.pod.share.sign(version, lambda raw: raw.update(version=version))
    running.mark(f"{version}\n")
    running.sidecar.wait_for("sync.done", version=version)
    shutil.rmtree(release)


def look(running: Serving) -> Seen:
    """See what a pod takes now."""
    files = [path for path in running.pod.store.rglob("*") if path.is_file()]
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
