"""A worker is had to load a release: what is on record meanwhile, and how it ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from agent.errors import ReloadError, ReloadFailedError, WorkerRestartedError
from agent.release.target import Target
from agent.sidecar.reloader import Reloader
from agent.sidecar.runner import Runner
from agent.sidecar.waits import Waits
from agent.sidecar.worker_client import WorkerClient
from agent.sync import events
from agent.sync.record import load
from tests.support.parts import Parts
from tests.support.scripted import ScriptedWorker, obey, scripted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """An agent with v1 active, and v2 beside it."""
    made = Parts(tmp_path)
    made.hold("v1", "v2", active="v1")
    return made


def watch() -> Callable[[], Awaitable[bool]]:
    """Return a look at a marker that never moves."""

    async def has_moved() -> bool:
        return False

    return has_moved


def reloader(parts: Parts, url: str, *, signalled: bool = False, timeout: float = 0.2) -> Reloader:
    """Return the reloader of a sidecar."""
    return Reloader(
        WorkerClient(url, timeout=timeout),
        parts.store,
        parts.record,
        parts.events,
        Runner(parts.steps, watch, 1.0),
        waits=Waits(url, parts.record, parts.events),
        signalled=signalled,
    )


def target(parts: Parts, version: str) -> Target:
    """Return what a worker is asked for."""
    return Target(version, str(parts.store.digest(version)))


class Looking:
    """The script of a good worker that looks into the store before it obeys.

    Args:
        parts: With the store.
        script: What it does then.
    """

    def __init__(self, parts: Parts, script: Any = obey) -> None:
        self._parts = parts
        self._script = script
        self.attempts: list[dict[str, int]] = []
        self.current: list[str | None] = []

    def __call__(self, worker: ScriptedWorker, request: dict[str, str]) -> int:
        """Look, then do as the script says."""
        self.attempts.append(load(self._parts.store.agent).attempts)
        self.current.append(self._parts.store.active())
        status: int = self._script(worker, request)
        return status


def refuse(worker: ScriptedWorker, request: dict[str, str]) -> int:
    """The script of a worker that fails to load anything."""
    worker.load(request, state="failed", reason="out of tune")
    return 202


def restart(worker: ScriptedWorker, request: dict[str, str]) -> int:
    """The script of a worker that dies while it loads."""
    worker.model |= {"instance": worker.model["instance"] + "+"}
    return 202


def load_for_ever(worker: ScriptedWorker, request: dict[str, str]) -> int:
    """The script of a worker that never gets there."""
    worker.load(request)
    return 202


async def test_a_release_on_its_way_in(parts: Parts) -> None:
    """The attempt is on record while the worker loads, and `current` waits for it."""
    script = Looking(parts)
    with scripted(script) as worker:
        await reloader(parts, worker.url).reload(target(parts, "v2"))
    assert (script.attempts, script.current) == ([{"v2": 1}], ["v1"])
    assert load(parts.store.agent).attempts == {}
    asked, confirmed = parts.heard.events
    assert asked == events.ReloadAsked("v2")
    assert isinstance(confirmed, events.ReloadConfirmed)
    assert (confirmed.version, confirmed.seconds) == ("v2", round(confirmed.seconds, 3))


async def test_the_active_release(parts: Parts) -> None:
    """It cannot be given up, so no attempt is counted however often it is asked for."""
    script = Looking(parts, restart)
    with scripted(script) as worker, pytest.raises(WorkerRestartedError):
        await reloader(parts, worker.url).reload(target(parts, "v1"))
    assert script.attempts == [{}]
    assert load(parts.store.agent).attempts == {}


@pytest.mark.parametrize(
    ("script", "error", "attempts"),
    [
        (refuse, ReloadFailedError, {}),
        (load_for_ever, ReloadError, {}),
        (restart, WorkerRestartedError, {"v2": 1}),
    ],
)
async def test_a_worker_that_does_not(
    script: Any, error: type[ReloadError], attempts: dict[str, int], parts: Parts
) -> None:
    """It is told of; only a worker that died leaves the attempt on record."""
    with scripted(script) as worker, pytest.raises(error):
        await reloader(parts, worker.url).reload(target(parts, "v2"))
    assert load(parts.store.agent).attempts == attempts
    assert parts.heard.events == [events.ReloadAsked("v2"), events.ReloadFailed("v2")]


async def test_a_reload_that_is_cut_short(parts: Parts) -> None:
    """The marker moved on, or the agent stops: the attempt ended, and was not confirmed."""
    with scripted(load_for_ever) as worker:
        reloading = asyncio.ensure_future(
            reloader(parts, worker.url, timeout=20).reload(target(parts, "v2"))
        )
        await asyncio.to_thread(worker.wait_asked, 1)
        reloading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reloading
    assert load(parts.store.agent).attempts == {}
    assert parts.heard.events == [events.ReloadAsked("v2"), events.ReloadFailed("v2")]


async def test_a_worker_that_is_signalled(parts: Parts) -> None:
    """It finds the release as `current`, which stays so once it is confirmed."""
    script = Looking(parts)
    with scripted(script) as worker:
        await reloader(parts, worker.url, signalled=True).reload(target(parts, "v2"))
    assert script.current == ["v2"]
    found = load(parts.store.agent)
    assert (parts.store.active(), found.active, found.pointed) == ("v2", "v1", "v2")


async def test_a_worker_that_is_signalled_in_vain(parts: Parts) -> None:
    """`current` leads to the active release again: a worker that restarts finds that."""
    script = Looking(parts, refuse)
    with scripted(script) as worker, pytest.raises(ReloadFailedError):
        await reloader(parts, worker.url, signalled=True).reload(target(parts, "v2"))
    assert script.current == ["v2"]
    assert (parts.store.active(), load(parts.store.agent).pointed) == ("v1", None)


async def test_a_signal_that_is_cut_short(parts: Parts) -> None:
    """`current` is put back then, too."""
    with scripted(load_for_ever) as worker:
        reloading = asyncio.ensure_future(
            reloader(parts, worker.url, signalled=True, timeout=20).reload(target(parts, "v2"))
        )
        await asyncio.to_thread(worker.wait_asked, 1)
        reloading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reloading
    assert (parts.store.active(), load(parts.store.agent).pointed) == ("v1", None)


async def test_a_signal_where_nothing_was_active(parts: Parts) -> None:
    """There is nothing to go back to."""
    (parts.store.root / "current").unlink()
    with scripted(refuse) as worker, pytest.raises(ReloadFailedError):
        await reloader(parts, worker.url, signalled=True).reload(target(parts, "v2"))
    assert parts.store.active() == "v2"
