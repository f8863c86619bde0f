"""Whether a worker grows with its reloads: resident memory after 10 and after 60 of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.support import models, proc, stores
from tests.support.workers import worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent.release.manifest import Manifest
    from tests.benchmarks.release import Subject
    from tests.support.workers import Worker

EARLY: Final = 10
LATE: Final = 60
_WRITERS: Final[dict[str, tuple[str, int, Callable[[Path], None]]]] = {
    models.MINILM: (models.MINILM_REPO, 384, models.write_minilm_onnx),
    models.BGE_LARGE: (models.BGE_LARGE_REPO, 1024, models.write_bge_large),
}


def found(subject: Subject) -> Iterator[str]:
    """A line of Markdown a model: its weights are inside the graph, which is the harder case."""
    yield "| worker | MiB after 10 reloads | after 60 | ratio |"
    yield "| --- | --- | --- | --- |"
    for name in _WRITERS:
        early, late = _reload(subject.room / name.partition("/")[2], name)
        yield f"| {name} | {early:.0f} | {late:.0f} | {late / early:.3f} |"
    yield ""


def _reload(room: Path, name: str) -> tuple[float, float]:
    repo, dim, write = _WRITERS[name]
    write(room / "files")
    releases = [
        stores.fastembed_release(
            room / "store", version, room / "files", name=name, repo=repo, dim=dim
        )
        for version in ("v1", "v2")
    ]
    stores.activate(room / "store", "v1")
    with worker(room / "store", model=name, log=room / "log") as running:
        running.wait("ready", "v1", seconds=120)
        return _after(running, releases, EARLY), _after(running, releases, LATE - EARLY)


def _after(running: Worker, releases: list[Manifest], count: int) -> float:
    """Resident MiB after so many reloads, each with a request."""
    for number in range(count):
        release = releases[(number + 1) % 2]
        running.reload(release)
        running.wait("ready", release.version, seconds=120)
        running.embed("campus map").raise_for_status()
    return proc.memory("VmRSS", running.process.pid) / 1024**2
