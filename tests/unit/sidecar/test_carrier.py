"""What becomes of a step: done, put off, given up, or left for another release."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import pytest

from agent.release.target import Target
from agent.sidecar.carrier import Carrier
from agent.sidecar.observer import Observer
from agent.sidecar.reconcile import REPAIR, Activate, Check, GiveUp, Reload, Repair, Stage
from agent.sidecar.reloader import Reloader
from agent.sidecar.runner import Runner
from agent.sidecar.upkeep import Upkeep
from agent.sidecar.waits import Waits
from agent.sidecar.worker_client import WorkerClient
from agent.sync import events
from agent.sync.record import load
from agent.sync.state import Rot
from agent.warmup import passes
from tests.support.parts import WEIGHTS, Parts
from tests.support.scripted import ScriptedWorker, obey, scripted
from tests.support.shares import flip

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """An agent with v1 active."""
    made = Parts(tmp_path)
    made.hold("v1", active="v1")
    return made


class Side:
    """A carrier with the collaborators that a sidecar gives it.

    Args:
        parts: What they are made of.
        url: The worker's admin listener.
        poll: Seconds between two looks at the marker while a step goes on.
    """

    def __init__(self, parts: Parts, url: str = "http://127.0.0.1:9", poll: float = 60) -> None:
        worker = WorkerClient(url, timeout=0.2)
        store, record, told = parts.store, parts.record, parts.events
        self.observer = Observer(
            store=store,
            reader=parts.reader,
            policy=parts.context.policy,
            guard=parts.context.guard,
            record=record,
            worker=worker,
            method="http",
            told=told,
        )
        runner = Runner(parts.steps, self.observer.watch, poll)
        self.carrier = Carrier(
            store=store,
            record=record,
            observer=self.observer,
            runner=runner,
            reloader=Reloader(
                worker, store, record, told, runner, waits=Waits(url, record, told), signalled=False
            ),
            upkeep=Upkeep(store, record, runner.run_watched, 0, parts.context.log),
            told=told,
        )

    def is_put_off(self, what: str, pause: float) -> bool:
        """Return whether something is put off for about so many seconds."""
        return pause / 2 < self.carrier.not_before[what] - time.monotonic() <= pause


def refuse(worker: ScriptedWorker, request: dict[str, str]) -> int:
    """The script of a worker that fails to load anything."""
    worker.load(request, state="failed", reason="out of tune")
    return 202


def target(parts: Parts, version: str) -> Target:
    """Return what a worker is asked for."""
    return Target(version, str(parts.store.digest(version)))


async def test_a_sync_from_its_first_step_to_its_last(parts: Parts) -> None:
    """Each step is told of with its time; the last one ends the sync, with all it took."""
    release = parts.publish("v2")
    with scripted(obey) as worker:
        side = Side(parts, worker.url)
        side.observer.marker_since -= 60
        for action in (Stage("v2"), Reload(Target("v2", release.digest)), Activate("v2")):
            assert await side.carrier.carry_out(action)
            assert str(parts.record.state.doing).endswith(" v2")
    phases = [event.phase for event in parts.heard.of(events.PhaseEnded)]
    assert phases == ["stage", "reload", "activate"]
    done = parts.heard.events[-1]
    assert isinstance(done, events.SyncDone)
    assert list(done.summary.phases) == ["observe", *phases]
    assert (done.summary.version, done.summary.previous, done.summary.number) == ("v2", "v1", 1)
    assert done.summary.moved.by_source == parts.heard.only(events.Staged).moved
    assert 60 < done.since_marker_seconds < 120
    assert parts.store.active() == "v2"


async def test_a_step_that_checks(parts: Parts) -> None:
    """It is a phase of its own."""
    parts.unrun("v2")
    side = Side(parts)
    assert await side.carrier.carry_out(Check("v2"))
    assert parts.heard.kinds() == [events.ModelNotRun, events.PhaseEnded]
    assert str(parts.record.state.doing) == "check v2"


async def test_a_failure_is_put_off_for_twice_as_long_each_time(parts: Parts) -> None:
    """It ends the sync, which says what failed and when it is tried again."""
    side = Side(parts)
    for number, pause in enumerate((5.0, 10.0, 20.0), 1):
        assert not await side.carrier.carry_out(Stage("v2"))
        failed = parts.heard.of(events.SyncFailed)[-1]
        assert (failed.kind, failed.retry_seconds) == ("missing", pause)
        assert failed.summary.number == number
        assert list(failed.summary.phases) == ["observe", "stage"]
        assert side.is_put_off("v2", pause)
    assert "v2 is missing" in str(failed.reason)
    assert parts.heard.kinds() == 3 * [events.SyncFailed]
    assert load(parts.store.agent).last_error == failed.reason
    assert load(parts.store.agent).quarantined == {}


async def test_news_end_a_back_off(parts: Parts) -> None:
    """Told to look now, it tries at once and counts on; what is new has never failed."""
    side = Side(parts)
    await side.carrier.carry_out(Stage("v2"))
    side.carrier.put_nothing_off()
    assert side.carrier.not_before == {}
    await side.carrier.carry_out(Stage("v2"))
    assert side.is_put_off("v2", 10)
    side.carrier.put_nothing_off(forget=True)
    assert side.carrier.not_before == {}
    await side.carrier.carry_out(Stage("v2"))
    assert side.is_put_off("v2", 5)


async def test_a_step_that_is_done_ends_a_back_off(parts: Parts) -> None:
    """The next failure is the first one again."""
    side = Side(parts)
    for _ in range(2):
        await side.carrier.carry_out(Stage("v2"))
    parts.publish("v2")
    assert await side.carrier.carry_out(Stage("v2"))
    shutil.rmtree(parts.share.release("v2"))
    await side.carrier.carry_out(Stage("v2"))
    assert side.is_put_off("v2", 5)


async def test_a_release_that_is_to_blame(parts: Parts) -> None:
    """It is quarantined for the marker that named it, and nothing is put off."""
    parts.publish("v2")
    parts.share.mark("v2")
    flip(parts.share.release("v2") / WEIGHTS)
    side = Side(parts)
    await side.observer.look_at_marker()
    assert not await side.carrier.carry_out(Stage("v2"))
    ended = parts.heard.only(events.Quarantined)
    assert "is corrupt" in ended.reason
    assert ended.summary
    assert (ended.summary.previous, list(ended.summary.phases)) == ("v1", ["observe", "stage"])
    assert side.observer.marker
    entry = load(parts.store.agent).quarantined["v2"]
    assert entry.marker_sha256 == side.observer.marker.sha256
    assert (side.carrier.not_before, parts.heard.of(events.SyncFailed)) == ({}, [])
    side.carrier.syncs.end(events.SyncStopped)
    assert parts.heard.of(events.SyncStopped) == []


async def test_a_release_that_the_worker_cannot_load(parts: Parts) -> None:
    """A worker that tried and failed is believed: the release is quarantined at once."""
    with scripted(refuse) as worker:
        side = Side(parts, worker.url)
        assert not await side.carrier.carry_out(Reload(Target("v2", "2" * 64)))
    assert "out of tune" in parts.heard.only(events.Quarantined).reason
    assert set(load(parts.store.agent).quarantined) == {"v2"}


async def test_the_active_release_cannot_be_given_up(parts: Parts) -> None:
    """A worker that refuses it is asked again later; whoever starts on it checks all of it."""
    report = parts.store.agent / passes.REPORT
    report.write_text("{}")
    with scripted(refuse) as worker:
        side = Side(parts, worker.url)
        assert not await side.carrier.carry_out(Reload(target(parts, "v1"), back=True))
    assert "out of tune" in str(parts.heard.only(events.SyncFailed).reason)
    assert parts.heard.only(events.SyncFailed).kind == "reload"
    assert side.is_put_off("v1", 5)
    assert load(parts.store.agent).quarantined == {}
    assert not report.exists()


async def test_a_release_that_is_given_up(parts: Parts) -> None:
    """It is quarantined for the reason that was found, without another attempt."""
    side = Side(parts)
    assert await side.carrier.carry_out(GiveUp("v2", "It never ends."))
    assert parts.heard.kinds() == [events.Quarantined]
    assert load(parts.store.agent).quarantined["v2"].reason == "It never ends."


async def test_a_marker_that_moves_on(parts: Parts) -> None:
    """The step ends, and the sync says for which release; that is no failure."""

    def leave(worker: ScriptedWorker, request: dict[str, str]) -> int:
        parts.share.mark("v3")
        worker.load(request)
        return 202

    parts.share.mark("v2")
    with scripted(leave) as worker:
        side = Side(parts, worker.url, poll=0.05)
        await side.observer.look_at_marker()
        assert not await side.carrier.carry_out(Reload(Target("v2", "2" * 64)))
    told = parts.heard.only(events.SyncSuperseded)
    assert (told.summary.version, told.reason) == ("v2", "the marker names v3 now")
    assert (side.carrier.not_before, load(parts.store.agent).last_error) == ({}, None)


async def test_a_worker_that_is_brought_back(parts: Parts) -> None:
    """That is a sync of its own, as is having it load the repaired files."""
    with scripted(obey) as worker:
        side = Side(parts, worker.url)
        back = Reload(target(parts, "v1"), back=True)
        assert await side.carrier.carry_out(back)
        assert parts.heard.events[-1:] == parts.heard.of(events.SyncTakenBack)
        parts.record.update(outdated="v1")
        assert await side.carrier.carry_out(back)
    assert parts.heard.events[-1:] == parts.heard.of(events.SyncRepaired)
    assert load(parts.store.agent).outdated is None


async def test_attempts_of_other_runs_count(parts: Parts) -> None:
    """A sync's number goes on from attempts that never ended, of this agent or one before."""
    parts.record.update(attempts={"v2": 1})
    side = Side(parts)
    await side.carrier.carry_out(Stage("v2"))
    assert parts.heard.only(events.SyncFailed).summary.number == 2


async def test_a_repair(parts: Parts) -> None:
    """It is put off for as long as it fails, whatever fails, and not once it is done."""
    flip(parts.weights("v1"))
    parts.record.update(rot=Rot("v1", (WEIGHTS,), "2026-11-23T15:00:00Z"))
    side = Side(parts)
    away = parts.share.root.with_name("away")
    parts.share.root.rename(away)
    for pause in (5, 10):
        assert not await side.carrier.carry_out(Repair("v1"))
        assert side.is_put_off(REPAIR, pause)
    away.rename(parts.share.root)
    assert await side.carrier.carry_out(Repair("v1"))
    assert side.carrier.not_before == {}
    assert parts.heard.kinds() == [events.StoreRepaired]
    flip(parts.weights("v1"))
    parts.record.update(rot=Rot("v1", (WEIGHTS,), "2026-11-23T15:00:00Z"))
    parts.share.root.rename(away)
    await side.carrier.carry_out(Repair("v1"))
    assert side.is_put_off(REPAIR, 5)
