"""Waits for a worker that hangs, is absent or loads for long: on record, and told of once."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from agent.errors import ReloadError
from agent.sidecar import worker_client
from agent.sidecar.loop import Sidecar
from agent.sidecar.reloader import Reloader
from agent.sidecar.runner import Runner
from agent.sidecar.waits import LONG_SECONDS, Waits
from agent.sidecar.worker_client import WorkerClient
from agent.sync import events
from agent.sync.record import load
from agent.sync.waiting import (
    ReloadWaiting,
    Waiting,
    WorkerAbsent,
    WorkerAnswers,
    WorkerSilent,
)
from tests.support.parts import Parts
from tests.support.scripted import obey, scripted, stuck
from tests.unit.sidecar.test_reloader import target, watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.sync import state

# For a worker to answer, and until a wait is long.
ANSWER, LONG = 0.2, 0.5
HANGS = "accepts connections and does not answer"


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parts:
    """An agent with v1 active, and v2 beside it."""
    monkeypatch.setattr(worker_client, "_ANSWER_SECONDS", ANSWER)
    made = Parts(tmp_path)
    made.hold("v1", "v2", active="v1")
    return made


@pytest.fixture
def hung() -> Iterator[str]:
    """The URL of a process that was stopped: its kernel accepts, and nobody answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(100)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def waits_of(parts: Parts, url: str) -> tuple[Waits, WorkerClient]:
    """Return the waits for a worker, and the client that is heard by them."""
    waits = Waits(url, parts.record, parts.events, after=LONG)
    return waits, WorkerClient(url, timeout=2, looked=waits.looked)


def on_disk(parts: Parts) -> state.Waiting | None:
    """Return the wait that `model-agent status` would read."""
    return load(parts.store.agent).waiting


async def told(parts: Parts) -> None:
    """Wait until a wait is told of."""
    async with asyncio.timeout(60):
        while not any(isinstance(event, Waiting) for event in parts.heard.events):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_worker_that_hangs(parts: Parts, hung: str) -> None:
    """It is on record from the first request without an answer, and told of once if it lasts."""
    began = datetime.now(UTC).replace(microsecond=0)
    _, client = waits_of(parts, hung)
    assert await client.view() is None
    first = on_disk(parts)
    assert first
    assert first.what == f"the worker at {hung}, which {HANGS}"
    assert began <= datetime.fromisoformat(first.since) <= datetime.now(UTC)
    assert parts.heard.events == []
    async with asyncio.timeout(60):
        while not parts.heard.events:
            await client.view()
    await asyncio.sleep(LONG)
    await client.view()
    assert parts.heard.events == [WorkerSilent(hung, first.since, HANGS)]
    assert on_disk(parts) == first


async def test_a_worker_that_answers_again(parts: Parts) -> None:
    """The wait ends, which is told of if its begin was."""
    with scripted(obey) as worker:
        waits, client = waits_of(parts, worker.url)
        waits.looked(worker_client._SILENT, 5.0)
        await told(parts)
        assert await client.view()
        assert on_disk(parts) is None
        assert 5 < parts.heard.only(WorkerAnswers).seconds < 60
        waits.looked(worker_client._SILENT, ANSWER)
        assert await client.view()
        await asyncio.sleep(LONG)
    assert parts.heard.kinds() == [WorkerSilent, WorkerAnswers]


async def test_a_worker_that_is_absent_and_then_hangs(parts: Parts, hung: str) -> None:
    """It is one wait, which is told of as what it was when it had lasted long."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
        waits, client = waits_of(parts, nowhere)
        await client.view()
    first = on_disk(parts)
    assert first
    assert first.what == f"the worker at {nowhere}, which accepts no connections"
    await told(parts)
    await WorkerClient(hung, timeout=2, looked=waits.looked).view()
    after = on_disk(parts)
    assert after
    assert (HANGS in after.what, after.since) == (True, first.since)
    assert parts.heard.kinds() == [WorkerAbsent]


async def test_a_worker_that_breaks_off_or_talks_nonsense(parts: Parts) -> None:
    """It is said how, so that nobody looks for a hang."""
    with scripted(obey) as worker:
        worker.model = {"no": "worker's"}
        _, client = waits_of(parts, worker.url)
        await client.view()
        found = on_disk(parts)
    assert found
    assert "which does not answer GET /model as a worker does" in found.what

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await waits_of(parts, f"http://127.0.0.1:{port}")[1].view()
        found = on_disk(parts)
    assert found
    assert "which breaks connections off" in found.what


async def test_what_a_sidecar_shows(tmp_path: Path, parts: Parts, hung: str) -> None:
    """It shows what it does and what it waits for, as it is on disk, each with its time."""
    parts.share.mark("v1")
    side = Sidecar(Parts(tmp_path, reload_url=hung).context)
    await side._turn()
    shown, found = side.status(), load(parts.store.agent)
    assert found.waiting
    assert shown["waiting"] == {"what": found.waiting.what, "since": found.waiting.since}
    assert found.waiting.what == f"the worker at {hung}, which {HANGS}"
    assert shown["doing"] == found.doing == "the marker names no other release"
    assert shown["doing_since"] == found.doing_since
    assert found.doing_since


async def test_a_worker_whose_queue_of_connections_is_full(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was stopped for long takes no further connections: that is no absence."""
    monkeypatch.setattr(worker_client, "_ANSWER_SECONDS", 20 * ANSWER)
    monkeypatch.setattr(worker_client, "_CONNECT_SECONDS", ANSWER)
    with socket.socket() as listening, socket.socket() as one, socket.socket() as other:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for client in (one, other):
            client.setblocking(False)
            client.connect_ex(listening.getsockname())
        await waits_of(parts, f"http://127.0.0.1:{listening.getsockname()[1]}")[1].view()
    found = on_disk(parts)
    assert found
    assert "which listens and accepts no connections" in found.what


async def test_a_reload_that_is_asked_for_and_not_answered(parts: Parts, hung: str) -> None:
    """How long nothing came is said: the error of the library has no words."""
    with pytest.raises(ReloadError, match=r"does not answer: nothing came within 0\.2 s"):
        await waits_of(parts, hung)[1].reload(target(parts, "v2"))


async def test_a_reload_that_lasts(parts: Parts) -> None:
    """A worker that loads for long is told of once; the wait ends with the reload."""
    with scripted(stuck) as worker:
        waits, client = waits_of(parts, worker.url)
        runner = Runner(parts.steps, watch, 60)
        reloader = Reloader(
            client, parts.store, parts.record, parts.events, runner, waits=waits, signalled=False
        )
        reload = asyncio.ensure_future(reloader.reload(target(parts, "v2")))
        await told(parts)
        found = on_disk(parts)
        with pytest.raises(ReloadError, match="did not serve v2"):
            await reload
    assert found
    assert found.what == f"the worker at {worker.url} to serve v2"
    assert parts.heard.kinds() == [events.ReloadAsked, ReloadWaiting, events.ReloadFailed]
    assert on_disk(parts) is None


async def test_a_reload_that_is_quick(parts: Parts) -> None:
    """Nothing is said of it."""
    waits, _ = waits_of(parts, "http://127.0.0.1:9")
    with waits.reload("v2"):
        assert on_disk(parts) is None
    await asyncio.sleep(1.5 * LONG)
    assert (parts.heard.events, LONG_SECONDS) == ([], 15)
