"""Steps for the store's own sake: it is put in order, read again, repaired."""

from __future__ import annotations

import os
import shutil
import threading
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from agent.sidecar.upkeep import recover, repair, reverify
from agent.store import records
from agent.store.rot import Reverifier
from agent.sync import events
from agent.sync.record import load
from agent.sync.state import Rot
from tests.support.parts import WEIGHTS, Parts, by_hand
from tests.support.shares import flip, rot

if TYPE_CHECKING:
    from pathlib import Path


NOW = 1e-9  # all of a release is due at every look


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """An agent with v1 active, and v2 beside it."""
    made = Parts(tmp_path)
    made.hold("v1", "v2", active="v1")
    return made


def read_all(parts: Parts) -> None:
    """Read all of v1 again."""
    reverifier = Reverifier(parts.store, NOW)
    reverifier.look("v1", threading.Event())
    reverify(parts.steps(), reverifier, "v1")


def test_a_store_in_order_is_left(parts: Parts) -> None:
    """Nothing is read, told or said."""
    with capture_logs() as said:
        recover(parts.steps())
    assert (said, parts.heard.events) == ([], [])


def test_parts_of_a_store_that_were_lost(parts: Parts) -> None:
    """Its directories, the state and `current` are put back; what a crash left is cleared."""
    shutil.rmtree(parts.store.staging)
    (parts.store.agent / "state.json").unlink()
    (parts.store.root / "current").unlink()
    (parts.store.root / ".current.0123abcd").symlink_to("nowhere")
    with capture_logs() as said:
        recover(parts.steps())
    line = {"event": "store.current_restored", "log_level": "warning", "version": "v1"}
    assert said == [line]
    assert parts.store.is_prepared()
    assert (load(parts.store.agent).active, parts.store.active()) == ("v1", "v1")
    assert not (parts.store.root / ".current.0123abcd").is_symlink()


def test_what_is_being_staged_is_kept(parts: Parts) -> None:
    """The desired release goes on where it was."""
    parts.record.update(desired="v3")
    for version in ("v3", "v4"):
        (parts.store.staging / version).mkdir()
    recover(parts.steps())
    assert [path.name for path in parts.store.staging.iterdir()] == ["v3"]


def test_what_no_worker_confirmed_is_taken_back(parts: Parts) -> None:
    """The agent died while a signalled worker was to load it."""
    parts.steps().point("v2")
    with capture_logs() as said:
        recover(parts.steps())
    assert [(line["event"], line["version"], line["active"]) for line in said] == [
        ("reload.unconfirmed", "v2", "v1")
    ]
    assert (parts.store.active(), load(parts.store.agent).pointed) == ("v1", None)


def test_an_active_release_without_a_record(parts: Parts) -> None:
    """It is read once; what is wrong is told of, and is for the next decision."""
    records.forget(parts.store.agent, "v1")
    recover(parts.steps())
    assert parts.heard.kinds() == [events.Verified]
    records.forget(parts.store.agent, "v1")
    flip(parts.weights("v1"))
    recover(parts.steps())
    assert "is corrupt in chunk 1" in str(parts.heard.only(events.StoreCorrupt).error)
    assert set(parts.store.verified()) == {"v2"}


def test_a_bit_that_flipped(parts: Parts) -> None:
    """It is on record, told of and counted; nothing is made of that file any more."""
    rot(parts.weights("v1"))
    read_all(parts)
    assert parts.heard.events == [
        events.StoreCorrupt("v1", files=[WEIGHTS]),
        events.VerificationFailed("v1"),
    ]
    found = load(parts.store.agent)
    assert found.rot
    assert (found.rot.version, found.rot.files, found.rot.reason) == ("v1", (WEIGHTS,), None)
    record = records.read(parts.store.agent, "v1")
    assert record
    assert WEIGHTS not in record.files
    assert found.last_reverified is None


def test_a_round_that_ended_well(parts: Parts) -> None:
    """The state says when all of it was right, and so does the log."""
    with capture_logs() as said:
        read_all(parts)
    assert said == [{"event": "release.reverified", "log_level": "info", "version": "v1"}]
    assert load(parts.store.agent).last_reverified
    assert parts.heard.events == []


def test_a_right_file_that_looks_changed(parts: Parts) -> None:
    """It is trusted as it looks now."""
    os.utime(parts.weights("v1"), ns=(1, 1))
    read_all(parts)
    home = parts.store.path("v1")
    assert records.is_untouched(parts.store.agent, parts.store.manifest("v1"), home)


def test_a_repair_from_the_share(parts: Parts) -> None:
    """Right bytes take the place of wrong ones, in each release that shares the file."""
    parts.publish("v3", model__onnx=b"v1" * 50_000)
    parts.steps().stage("v3", desired="v3")
    parts.heard.events.clear()
    before = parts.weights("v1").read_bytes()
    rot(parts.weights("v1"))
    parts.record.update(rot=Rot("v1", (WEIGHTS,), "2026-11-23T15:00:00Z"))
    repair(parts.steps(), "v1")
    told = parts.heard.only(events.StoreRepaired)
    assert (told.version, told.files, told.releases) == ("v1", [WEIGHTS], ["v1", "v3"])
    assert told.seconds == round(told.seconds, 3)
    found = load(parts.store.agent)
    assert (found.rot, found.outdated) == (None, "v1")
    assert parts.weights("v1").read_bytes() == parts.weights("v3").read_bytes() == before
    parts.steps().verify("v1")


def test_a_repair_of_a_tree_made_by_hand(tmp_path: Path) -> None:
    """Its files are still where they were adopted from; what the tree lacks is made again."""
    parts = Parts(tmp_path)
    directory = by_hand(parts.share, suffix="-v7")
    release = parts.steps().stage("v7", desired="v7")
    parts.steps().activate("v7")
    home = parts.store.path("v7")
    wrong = [
        file.path for file in release.files if file.path.endswith(("refs/main", "config.json"))
    ]
    for path in wrong:
        rot(home / path)
    parts.record.update(rot=Rot("v7", tuple(wrong), "2026-11-23T15:00:00Z"))
    repair(parts.steps(), "v7")
    assert parts.heard.only(events.StoreRepaired).files == wrong
    assert len(wrong) == 2
    right = (directory / "config.json").read_bytes()
    assert right in [(home / path).read_bytes() for path in wrong]
    parts.steps().verify("v7")


def test_nothing_to_repair(parts: Parts) -> None:
    """Whoever was quicker has done it."""
    repair(parts.steps(), "v1")
    assert parts.heard.events == []
