"""Sessions are freed: a worker that has reloaded many times is no larger than it was."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.support import models, proc, stores
from tests.support.workers import worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.release.manifest import Manifest
    from tests.support.workers import Worker

NAME, REPO = models.MINILM, models.MINILM_REPO
WIDE: Final = 256
EARLY: Final = 10
LATE: Final = 60
LOOKS: Final = 20
PAUSE_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Seen:
    """What a process has: resident memory in KiB, threads, open descriptors."""

    resident: int
    threads: int
    descriptors: int


def look(running: Worker) -> Seen:
    """See what a worker has once a reload is over: on a busy machine its loader ends later."""
    return min((_look(running.process.pid) for _ in range(LOOKS)), key=lambda seen: seen.resident)


def _look(pid: int) -> Seen:
    time.sleep(PAUSE_SECONDS)
    status = proc.status(pid)
    return Seen(
        resident=int(status["VmRSS"].split()[0]),
        threads=int(status["Threads"]),
        descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
    )


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[tuple[Worker, list[Manifest]]]:
    """A worker that serves v1 of two tiny releases, under light traffic."""
    # Large enough that fifty of them would show: 8 MB each.
    models.write_tiny(tmp_path / "one", hidden=WIDE)
    models.write_tiny(tmp_path / "other", seed=1, hidden=WIDE)
    releases = [
        stores.fastembed_release(
            tmp_path / "store", version, tmp_path / source, name=NAME, repo=REPO, dim=WIDE
        )
        for version, source in (("v1", "one"), ("v2", "other"))
    ]
    stores.activate(tmp_path / "store", "v1")
    stop = threading.Event()
    with worker(tmp_path / "store", model=NAME, log=tmp_path / "log") as running:
        running.wait("ready", "v1")

        def ask() -> None:
            while not stop.wait(0.01):
                running.embed("campus map", "lecture notes " * 40).raise_for_status()

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        yield running, releases
        stop.set()
        thread.join(20)


@pytest.mark.slow
def test_sixty_reloads_leave_nothing_behind(
    asked: tuple[Worker, list[Manifest]],
) -> None:
    """Resident memory after 60 reloads is within 10 % of that after 10; nothing else grows."""
    running, releases = asked
    seen = {}
    for count in range(1, LATE + 1):
        release = releases[count % 2]
        running.reload(release)
        running.wait("ready", release.version)
        if count in {EARLY, LATE}:
            seen[count] = look(running)
    print(f"\n{seen}")
    early, late = seen[EARLY], seen[LATE]
    assert late.resident < 1.1 * early.resident
    assert late.threads <= early.threads + 2  # loaders that are about to end
    assert late.descriptors <= early.descriptors + 2  # a connection that is about to close
