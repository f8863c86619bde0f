"""The sidecar's loop: it looks, decides and acts, and shows what it does."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from agent.sidecar.loop import Sidecar
from agent.store import room
from agent.sync import events
from agent.sync.record import Record, load
from agent.sync.state import Quarantine, State
from tests.support.keys import make_key
from tests.support.parts import WEIGHTS, Heard, Parts
from tests.support.scripted import obey, scripted
from tests.support.shares import flip

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence
    from pathlib import Path

    from agent.sync.listening import Event, Listener


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """A pod with v1 active, whose worker cannot be told."""
    made = Parts(tmp_path, reload_method="none", listen="127.0.0.1:0")
    made.hold("v1", active="v1")
    made.share.mark("v1")
    return made


def sidecar(parts: Parts, *listeners: Listener) -> Sidecar:
    """Return the sidecar of a pod, which is not run."""
    return Sidecar(parts.context, *listeners)


def metric(side: Sidecar, name: str, **labels: str) -> float | None:
    """Return what one metric shows."""
    return side._metrics.registry.get_sample_value(f"model_agent_{name}", labels)


def named(said: Sequence[MutableMapping[str, Any]], name: str) -> list[MutableMapping[str, Any]]:
    """Return the lines of this name."""
    return [line for line in said if line["event"] == name]


class Breaking:
    """A listener that fails once, as no listener should, at an event of one kind."""

    def __init__(self, kind: type[Event]) -> None:
        self._kind: type[Event] | None = kind

    def hear(self, event: Event) -> None:
        """Fail at the first of the kind."""
        if self._kind and isinstance(event, self._kind):
            self._kind = None
            raise LookupError


async def test_a_turn(parts: Parts) -> None:
    """All steps of a bump are taken in one turn, and shown as they are."""
    parts.unrun("v2", shared=True)
    parts.share.mark("v2")
    heard = Heard()
    side = sidecar(parts, heard)
    await side._turn()
    assert parts.store.active() == "v2"
    phases = [event.phase for event in heard.of(events.PhaseEnded)]
    assert phases == ["stage", "check", "activate"]
    done = heard.only(events.SyncDone)
    assert list(done.summary.phases) == ["observe", *phases]
    assert metric(side, "syncs_total", status="success") == 1
    assert metric(side, "release_info", desired="v2", active="v2", worker="") == 1
    assert metric(side, "share_reachable") == 1
    assert metric(side, "store_used_bytes") == room.used_bytes(parts.store)
    assert side.status()["doing"] == "the marker names no other release"


async def test_what_is_heard_when(parts: Parts) -> None:
    """Whoever reads of something in the log, or is told of it, finds it counted."""
    counted: list[float | None] = []

    class Looking:
        """A listener that looks at the metrics."""

        def hear(self, event: Event) -> None:
            """Look, at the end of a sync."""
            if isinstance(event, events.Quarantined):
                counted.append(metric(side, "syncs_total", status="quarantined"))
                counted.append(len(named(said, "release.quarantined")))

    parts.publish("v2")
    flip(parts.share.release("v2") / WEIGHTS)
    parts.share.mark("v2")
    side = sidecar(parts, Looking())
    with capture_logs() as said:
        await side._turn()
    assert counted == [1, 0]
    assert len(named(said, "release.quarantined")) == 1
    assert metric(side, "quarantined_releases") == 1
    assert metric(side, "verify_failures_total") == 1


async def test_a_turn_that_breaks(parts: Parts) -> None:
    """What nobody expected is logged with its trace, counted once, and tried again."""
    parts.unrun("v2", shared=True)
    parts.share.mark("v2")
    heard = Heard()
    side = sidecar(parts, heard, Breaking(events.Staged))
    with capture_logs() as said:
        await side._turn()
    assert heard.kinds()[-2:] == [events.SyncBroken, events.TurnFailed]
    (failed,) = named(said, "sidecar.turn_failed")
    assert (failed["log_level"], failed["exc_info"]) == ("error", True)
    (ended,) = named(said, "sync.failed")
    assert (ended["log_level"], ended["version"]) == ("error", "v2")
    assert ended["reason"] == "internal error"
    assert "kind" not in ended
    assert metric(side, "syncs_total", status="error") == 1
    await side._turn()
    assert parts.store.active() == "v2"


async def test_a_turn_that_breaks_between_syncs(parts: Parts) -> None:
    """It is counted as well, though there is no sync to end."""
    heard = Heard()
    side = sidecar(parts, Breaking(events.MarkerRead), heard)
    await side._turn()
    assert heard.events == [events.TurnFailed()]
    assert metric(side, "syncs_total", status="error") == 1


async def test_a_step_that_fails(parts: Parts) -> None:
    """It is put off until something is new; the store is not measured, as it may be gone."""
    parts.share.mark("v2")
    heard = Heard()
    side = sidecar(parts, heard)
    for _ in range(2):
        await side._turn()
    assert len(heard.of(events.SyncFailed)) == 1
    assert side.status()["doing"] == "v2 failed and is tried again later"
    assert metric(side, "store_limit_bytes") == 0
    side.look_now()
    await side._turn()
    parts.share.mark("v2", "again")
    await side._turn()
    (parts.share.release("v2")).mkdir()
    (parts.share.release("v2") / "manifest.json").write_text("{")
    await side._turn()
    pauses = [event.retry_seconds for event in heard.of(events.SyncFailed)]
    assert pauses == [5.0, 10.0, 5.0]
    parts.share.release("v2").joinpath("manifest.json").unlink()
    parts.unrun("v2", shared=True)
    await side._turn()
    assert parts.store.active() == "v2"
    assert metric(side, "store_limit_bytes") == room.most_bytes(parts.store)


async def test_a_share_that_is_away(parts: Parts) -> None:
    """It is shown as such, and nothing is news of it."""
    side = sidecar(parts)
    await side._turn()
    away = parts.share.root.with_name("away")
    parts.share.root.rename(away)
    await side._turn()
    assert metric(side, "share_reachable") == 0
    shown = side.status()["share"]
    assert isinstance(shown, dict)
    assert shown["reachable"] is False
    assert str(parts.share.root) not in shown["error"]
    away.rename(parts.share.root)
    await side._turn()
    expected = {"reachable": True, "error": None, "marker_unknown": None}
    assert side.status()["share"] == expected
    assert metric(side, "share_reachable") == 1


async def test_the_status(parts: Parts) -> None:
    """It has all of the state, under the names that it has on disk."""
    side = sidecar(parts)
    await side._turn()
    shown = side.status()
    assert set(shown) == {*State.__struct_fields__, "share", "doing"}
    assert (shown["active"], shown["desired"]) == ("v1", "v1")


async def test_ready(tmp_path: Path) -> None:
    """A verified release is active that may be served."""
    key = make_key(tmp_path)
    parts = Parts(tmp_path, reload_method="none")
    assert not sidecar(parts).ready()
    parts.hold("v1", active="v1")
    assert sidecar(parts).ready()
    wary = Parts(tmp_path, verify_key=str(key.public), require_signature="true")
    side = sidecar(wary)
    await side._turn()
    assert not side.ready()
    key.sign(parts.share, "v1")
    await side._turn()
    assert side.ready()


@pytest.mark.parametrize(("desired", "refused"), [("v2", "It is bad."), ("v1", None), ("v3", None)])
async def test_where_it_starts(desired: str, refused: str | None, parts: Parts) -> None:
    """It says what is active, and why that is not what is desired if `init` refused it."""
    entry = Quarantine("It is bad.", "", None, "")
    Record(parts.store.agent, parts.context.log).update(
        desired=desired, quarantined={"v2": entry, "v1": entry}
    )
    heard = Heard()
    sidecar(parts, heard)._tell_start()
    assert heard.events == [events.SidecarStarted("v1", desired, refused)]


async def test_a_run(parts: Parts) -> None:
    """It puts the store in order, says where it starts, shows itself, and ends when it is told.

    What `init` measured is among what it shows.
    """
    shutil.rmtree(parts.store.staging)
    warmed = b'{"models": [{"name": "m", "device": "cuda", "load_seconds": 1, "first_seconds": 2}]}'
    (parts.store.agent / "warmup.json").write_bytes(warmed)
    with capture_logs() as said:
        side = sidecar(parts)
        running = asyncio.ensure_future(side.run())
        while not named(said, "marker.read"):  # noqa: ASYNC110 - it is told of nothing
            await asyncio.sleep(0.01)
        port = named(said, "sidecar.listening")[0]["port"]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            statuses = [
                (await session.get(path)).status for path in ("/healthz", "/readyz", "/status")
            ]
        doing = side.status()["doing"]
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, 300)
    assert statuses == [200, 200, 200]
    assert metric(side, "warmup_seconds", model="m", device="cuda") == 3
    assert doing in {"starting", "the marker names no other release"}
    found = load(parts.store.agent)
    assert (found.doing, found.doing_since, found.waiting) == (None, None, None)
    names = [line["event"] for line in said]
    assert names == ["sidecar.listening", "sidecar.started", "marker.read", "sidecar.stopped"]


async def test_sighup(tmp_path: Path) -> None:
    """It has the share looked at, however long the poll interval is."""
    parts = Parts(tmp_path, poll_interval="1h", listen="127.0.0.1:0", reload_method="none")
    parts.hold("v1", active="v1")
    parts.share.mark("v1")
    with capture_logs() as said:
        running = asyncio.ensure_future(sidecar(parts).run())
        while not named(said, "marker.read"):  # noqa: ASYNC110 - it is told of nothing
            await asyncio.sleep(0.01)
        parts.share.mark("v2")
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(300):
            while len(named(said, "marker.read")) < 2:  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, 300)


async def test_a_run_that_is_stopped_in_a_sync(tmp_path: Path) -> None:
    """The sync ends in a line of its own."""

    def load_for_ever(worker: Any, request: dict[str, str]) -> int:
        worker.load(request)
        return 202

    with scripted(load_for_ever) as worker, capture_logs() as said:
        parts = Parts(tmp_path, reload_url=worker.url, listen="127.0.0.1:0")
        parts.hold("v1", active="v1")
        parts.share.mark("v1")
        worker.serve("v0", "0" * 64)
        running = asyncio.ensure_future(sidecar(parts).run())
        await asyncio.to_thread(worker.wait_asked, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, 300)
    (line,) = named(said, "sync.stopped")
    assert (line["version"], line["reason"]) == ("v1", "the agent was told to stop")
    assert said[-1]["event"] == "sidecar.stopped"


async def test_alive(parts: Parts) -> None:
    """It is, for as long as a look may take, or ten polls if those are longer."""
    side = sidecar(parts)
    assert side.alive()
    side._runner.turned = time.monotonic() - 120
    assert not side.alive()
    slow = sidecar(Parts(parts.store.root.parent, poll_interval="1m"))
    slow._runner.turned = time.monotonic() - 120
    assert slow.alive()


async def test_a_worker_beside(tmp_path: Path) -> None:
    """It is asked for the active release, and for nothing once it serves that."""
    with scripted(obey) as worker:
        parts = Parts(tmp_path, reload_url=worker.url)
        parts.hold("v1", active="v1")
        parts.share.mark("v1")
        heard = Heard()
        side = sidecar(parts, heard)
        worker.serve("v0", "0" * 64)
        await side._turn()
        await side._turn()
    assert [request["version"] for request in worker.asked] == ["v1"]
    assert len(heard.of(events.SyncTakenBack)) == 1
    assert metric(side, "reload_attempts_total") == 1
    assert metric(side, "last_reload_successful") == 1
