"""What the sidecar sees: the marker, the store, the share's offer, the worker."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from agent.release import marker
from agent.release.target import Target
from agent.sidecar.observer import Observer
from agent.sidecar.worker_client import WorkerClient
from agent.sync import events
from agent.sync.record import load
from agent.sync.state import Rot, Worker
from tests.support.keys import make_key
from tests.support.parts import Parts
from tests.support.scripted import obey, scripted

if TYPE_CHECKING:
    from pathlib import Path

    from agent.sidecar.reconcile import Observed


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """The parts of an agent."""
    return Parts(tmp_path)


def observer(parts: Parts, url: str = "http://127.0.0.1:9", **changes: Any) -> Observer:
    """Return the observer of a sidecar whose worker is not asked, unless a method is given."""
    wired: dict[str, Any] = {
        "store": parts.store,
        "reader": parts.reader,
        "policy": parts.context.policy,
        "guard": parts.context.guard,
        "record": parts.record,
        "worker": WorkerClient(url, timeout=1),
        "method": "none",
        "told": parts.events,
    }
    return Observer(**(wired | changes))


async def look(sees: Observer) -> Observed:
    """Look once, with nothing put off."""
    return await sees.observe({})


async def test_a_marker_that_is_new(parts: Parts) -> None:
    """It is told of once, and on record; how long it says so counts from then on."""
    parts.share.mark("v2", "previous: v1 v0")
    sees, began = observer(parts), time.monotonic()
    seen = await look(sees)
    assert seen.marker == sees.marker
    assert parts.heard.events == [events.MarkerRead("v2", ["v1", "v0"])]
    assert began < sees.marker_since < time.monotonic()
    found = load(parts.store.agent)
    assert (found.desired, found.tried_for) == ("v2", seen.marker and seen.marker.sha256)
    since = sees.marker_since
    await look(sees)
    assert sees.marker_since == since
    parts.share.mark("v2", "previous: v1")
    await look(sees)
    assert len(parts.heard.of(events.MarkerRead)) == 2
    assert sees.marker_since > since


@pytest.mark.parametrize(
    ("data", "reason"),
    [(None, "there is none"), (b"", "empty"), (b"\0" * 9, "NUL"), ("directory", "VERSION")],
)
async def test_a_marker_that_says_nothing(
    data: bytes | str | None, reason: str, parts: Parts
) -> None:
    """It is unknown, which is told of once and changes nothing; a good one ends that."""
    parts.share.mark("v1")
    sees = observer(parts)
    await look(sees)
    path = parts.share.root / "VERSION"
    path.unlink()
    if isinstance(data, bytes):
        path.write_bytes(data)
    elif data:
        path.mkdir()
    for _ in range(2):
        assert (await look(sees)).marker == marker.parse(b"v1\n")
    assert reason in parts.heard.only(events.MarkerUnknown).reason
    assert reason in (sees.marker_unknown or "")
    assert sees.share_error is None
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    parts.share.mark("v1")
    await look(sees)
    assert sees.marker_unknown is None
    assert len(parts.heard.of(events.MarkerRead)) == 1


async def test_a_share_that_goes_away(parts: Parts) -> None:
    """It is told of once, as is its return; what the marker said last goes on."""
    parts.share.mark("v1")
    sees = observer(parts)
    await look(sees)
    away = parts.share.root.with_name("away")
    parts.share.root.rename(away)
    for _ in range(2):
        assert (await look(sees)).marker
    assert parts.heard.only(events.ShareUnreachable).error == sees.share_error
    assert sees.marker_unknown is None
    away.rename(parts.share.root)
    await look(sees)
    assert sees.share_error is None
    kinds = [events.MarkerRead, events.ShareUnreachable, events.ShareReachable]
    assert parts.heard.kinds() == kinds


async def test_a_step_s_watch(parts: Parts) -> None:
    """It says whether the marker moved since the watch began, be it back and forth."""
    parts.share.mark("v1")
    sees = observer(parts)
    await look(sees)
    has_moved = sees.watch()
    assert not await has_moved()
    (parts.share.root / "VERSION").write_bytes(b"")
    assert not await has_moved()
    parts.share.mark("v2")
    assert await has_moved()
    assert not await sees.watch()()
    parts.share.mark("v1")
    assert not await has_moved()


async def test_the_store(parts: Parts) -> None:
    """What is active is what was confirmed, and all that is verified is held."""
    parts.hold("v1", "v2", active="v1")
    parts.share.mark("v2")
    digests = {version: str(parts.store.digest(version)) for version in ("v1", "v2")}
    parts.record.passed("v2", digests["v2"])
    seen = await look(observer(parts))
    assert seen.active == Target("v1", digests["v1"])
    assert seen.held == digests
    assert seen.checked == {"v2": digests["v2"]}
    assert seen.offered == digests["v2"]
    parts.share.mark("v1")
    seen = await look(observer(parts))
    assert (seen.offered, seen.checked) == (None, {})


@pytest.mark.parametrize("how", ["deleted", "pointed"])
async def test_current_that_does_not_say(how: str, parts: Parts) -> None:
    """Where it was deleted, or leads to what no worker confirmed, what was active is active."""
    parts.hold("v1", "v2", active="v1")
    if how == "deleted":
        (parts.store.root / "current").unlink()
    else:
        parts.steps().point("v2")
    seen = await look(observer(parts))
    assert seen.active
    assert seen.active.version == "v1"
    assert load(parts.store.agent).active == "v1"


async def test_current_that_says_more_than_the_record(parts: Parts) -> None:
    """What `init` activated is active, though nothing is on record of it."""
    parts.hold("v1", "v2", active="v1")
    parts.store.activate("v2")
    seen = await look(observer(parts))
    assert seen.active
    assert seen.active.version == load(parts.store.agent).active == "v2"


async def test_a_release_that_looks_changed(parts: Parts) -> None:
    """The desired one is staged again, which says why; the active one is repaired in place."""
    parts.hold("v1", "v2", active="v1")
    parts.share.mark("v2")
    for version in ("v1", "v2"):
        os.utime(parts.weights(version), ns=(1, 1))
    seen = await look(observer(parts))
    assert set(seen.held) == {"v1"}
    assert seen.active


async def test_what_was_tried(parts: Parts) -> None:
    """What failed, what never ended under this marker, and what is put off is seen."""
    parts.share.mark("v2", "previous: v3")
    parts.record.desired_is(parts.reader.understood(), held=())
    parts.record.begin("v2")
    parts.record.quarantine("v3", "It is bad.", marker=None, digest=None)
    seen = await observer(parts).observe({"v2": 5.0})
    assert seen.attempts == {"v2": 1}
    assert set(seen.quarantined) == {"v3"}
    assert seen.not_before == {"v2": 5.0}
    parts.share.mark("v2", "again")
    seen = await look(observer(parts))
    assert (seen.attempts, seen.quarantined) == ({}, {})


async def test_what_was_refused_and_is_in_the_store(parts: Parts) -> None:
    """Its quarantine stays as long as it is there, as it goes before others."""
    parts.hold("v1", "v2", active="v1")
    parts.share.mark("v1")
    parts.record.quarantine("v2", "It is bad.", marker=None, digest=None)
    assert set((await look(observer(parts))).quarantined) == {"v2"}
    parts.store.remove("v2")
    assert (await look(observer(parts))).quarantined == {}
    assert load(parts.store.agent).quarantined == {}


async def test_what_the_share_offers(parts: Parts) -> None:
    """It is unknown while there is no sound manifest, or the share is away."""
    parts.share.mark("v2")
    sees = observer(parts)
    assert (await look(sees)).offered is None
    made = parts.publish("v2")
    assert (await look(sees)).offered == made.digest
    (parts.share.release("v2") / "manifest.json").write_text("{")
    assert (await look(sees)).offered is None


async def test_another_embedding_space(parts: Parts) -> None:
    """It is said why, once the release is held, unless the marker or the settings allow it."""
    parts.hold("v1", active="v1")
    parts.publish("v2")
    parts.share.sign("v2", lambda raw: raw["models"][0].update(dim=64))
    parts.share.mark("v2")
    sees = observer(parts)
    assert (await look(sees)).another_space is None
    parts.steps().stage("v2", desired="v2")
    reason = (await look(sees)).another_space or ""
    assert "v2 embeds into another space than v1" in reason
    assert "allow-new-space" in reason
    lifted = observer(parts, guard=replace(parts.context.guard, lifted=True))
    assert (await look(lifted)).another_space is None
    parts.share.mark("v2", "allow-new-space")
    assert (await look(sees)).another_space is None


async def test_an_active_release_that_is_not_signed(tmp_path: Path) -> None:
    """It is refused, which is told of once, until it is signed; that is kept in the store."""
    key = make_key(tmp_path)
    Parts(tmp_path).hold("v1", "v2", active="v1")
    parts = Parts(tmp_path, verify_key=str(key.public), require_signature="true")
    sees = observer(parts)
    for _ in range(2):
        seen = await look(sees)
    assert "it is not signed" in str(seen.refused)
    assert seen.refused == sees.refused
    assert parts.heard.of(events.Refused) == [events.Refused("v1", str(seen.refused))]
    key.sign(parts.share, "v1")
    assert (await look(sees)).refused is None
    parts.share.root.rename(parts.share.root.with_name("away"))
    assert (await look(sees)).refused is None


async def test_a_verdict_that_cannot_be_found_again(tmp_path: Path) -> None:
    """While the share is away, what was found before goes on; of another release nothing was."""
    key = make_key(tmp_path)
    Parts(tmp_path).hold("v1", "v2", active="v1")
    parts = Parts(tmp_path, verify_key=str(key.public), require_signature="true")
    sees = observer(parts)
    refused = (await look(sees)).refused
    parts.share.root.rename(parts.share.root.with_name("away"))
    assert (await look(sees)).refused == refused
    parts.store.activate("v2")
    assert str(parts.share.root) in str((await look(sees)).refused)


async def test_a_desired_release_that_is_not_signed(tmp_path: Path) -> None:
    """It is staged again, which says why not."""
    key = make_key(tmp_path)
    Parts(tmp_path).hold("v1", "v2", active="v1")
    parts = Parts(tmp_path, verify_key=str(key.public), require_signature="true")
    parts.share.mark("v2")
    assert set((await look(observer(parts))).held) == {"v1"}
    key.sign(parts.share, "v2")
    assert set((await look(observer(parts))).held) == {"v1", "v2"}


async def test_what_is_rotten_or_outdated(parts: Parts) -> None:
    """That is said of the active release, and of no other."""
    parts.hold("v1", "v2", active="v1")
    parts.record.update(rot=Rot("v1", ("a",), "2026-11-23T15:00:00Z"), outdated="v1")
    seen = await look(observer(parts))
    assert (seen.rotten, seen.outdated) == (True, True)
    parts.store.activate("v2")
    seen = await look(observer(parts))
    assert (seen.rotten, seen.outdated) == (False, False)


async def test_the_worker(parts: Parts) -> None:
    """What it says is seen and on record; one that does not answer is unknown."""
    with scripted(obey) as worker:
        worker.serve("v1", "1" * 64)
        seen = await look(observer(parts, worker.url, method="http"))
    assert seen.worker
    assert seen.worker.serving == Target("v1", "1" * 64)
    assert load(parts.store.agent).worker == Worker("v1", "ready")
    seen = await look(observer(parts, worker.url, method="http"))
    assert seen.worker is None
    assert load(parts.store.agent).worker == Worker(state="unknown")


async def test_a_worker_that_cannot_be_told(parts: Parts) -> None:
    """It is not asked either."""
    with scripted(obey) as worker:
        assert (await look(observer(parts, worker.url, method="none"))).worker is None
        assert worker.looks == 0
