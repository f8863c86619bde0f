"""A worker whose container holds one model: refused by numbers, or replaced by way of a gap."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from tests.support import models, stores
from tests.support.groups import Group, limited_group
from tests.support.workers import until, worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.release.manifest import Canary, Manifest
    from tests.support.workers import Worker

pytestmark = pytest.mark.slow

MIB: Final = 1024 * 1024
# The worker with the real MiniLM takes 190 MiB of its own, and another one needs 160.
LIMIT: Final = 300 * MIB
NAME, REPO = models.MINILM, models.MINILM_REPO


@pytest.fixture(scope="module")
def canary(minilm_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Canary:
    """What the real MiniLM must give."""
    scratch = tmp_path_factory.mktemp("cache")
    return stores.canary_of(minilm_dir, name=NAME, repo=REPO, scratch=scratch)


@pytest.fixture
def store(tmp_path: Path, minilm_dir: Path, canary: Canary) -> dict[str, Manifest]:
    """The releases of a store with v1 active, v2 as good, and v3 with another model's canary."""
    reversed_ = type(canary)(texts=canary.texts, vectors=canary.vectors[::-1])
    held = {}
    for version, given in {"v1": canary, "v2": canary, "v3": reversed_}.items():
        held[version] = stores.fastembed_release(
            tmp_path / "store", version, minilm_dir, name=NAME, repo=REPO, canary=given, dim=384
        )
    stores.activate(tmp_path / "store", "v1")
    return held


@pytest.fixture
def group() -> Iterator[Group]:
    """A control group that holds one model."""
    with limited_group(LIMIT) as made:
        yield made


@contextmanager
def crowded(root: Path, group: Group, swap: str) -> Iterator[Worker]:
    """A worker in the group that serves v1."""
    flags = ("--swap", swap, "--max-batch", "4")
    log = root / "log"
    with worker(
        root / "store", *flags, model=NAME, log=log, prefix=group.prefix, MALLOC_ARENA_MAX="2"
    ) as running:
        running.wait("ready", "v1")
        yield running


class Asking:
    """Requests one after the other, and the release that answered each."""

    def __init__(self, running: Worker) -> None:
        self.answers: list[tuple[int, str | None]] = []
        self._running = running
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        until(lambda: self.answers)

    def end(self) -> set[tuple[int, str | None]]:
        """The kinds of answers."""
        self._stop.set()
        self._thread.join(30)
        return set(self.answers)

    def _ask(self) -> None:
        while not self._stop.is_set():
            answer = self._running.embed("campus map")
            self.answers.append((answer.status_code, answer.headers.get("X-Model-Version")))


def test_beside_refuses_by_numbers(
    tmp_path: Path, store: dict[str, Manifest], group: Group
) -> None:
    """v1 serves on, and the reason says what v2 needs, what is free, and what to change."""
    with crowded(tmp_path, group, "beside") as running:
        running.reload(store["v2"])
        reason = running.wait("failed", "v2")["reason"]
        assert "v2 needs about" in reason
        assert "of the container's memory are free" in reason
        assert "--swap replace" in reason
        assert running.embed("campus map").headers["X-Model-Version"] == "v1"
        assert "model.loading version=v2" not in running.log.read_text()


def test_replace_loses_no_request(tmp_path: Path, store: dict[str, Manifest], group: Group) -> None:
    """Requests that come while nothing serves are answered by v2; the gap is logged."""
    with crowded(tmp_path, group, "replace") as running:
        asking = Asking(running)
        running.reload(store["v2"])
        assert running.wait("ready", "v2")["version"] == "v2"
        until(lambda: asking.answers[-1][1] == "v2")
        assert asking.end() == {(200, "v1"), (200, "v2")}
        until(lambda: "model.replaced version=v2 gap_seconds=" in running.log.read_text())
        assert running.process.poll() is None


def test_replace_brings_the_old_one_back(
    tmp_path: Path, store: dict[str, Manifest], group: Group
) -> None:
    """v3 fails its canary: v1 is loaded again and answers, and the reason says how long it took."""
    with crowded(tmp_path, group, "replace") as running:
        asking = Asking(running)
        running.reload(store["v3"])
        model = running.wait("failed", "v3")
        assert model["version"] == "v1"
        assert "fails its canary" in model["reason"]
        assert "v1 was loaded again; nothing answered for" in model["reason"]
        assert asking.end() == {(200, "v1")}
        until(lambda: "model.restored version=v1 gap_seconds=" in running.log.read_text())
