"""`Steps.stage`: a release comes into the store, or all is as it was before."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from agent.errors import (
    NoSpaceError,
    PickleError,
    ReleaseMissingError,
    ShortFileError,
    StoppedError,
    UnreachableError,
    VerificationError,
)
from agent.files import durable
from agent.files.progress import ByteCounter
from agent.release import manifest
from agent.store import records, room
from agent.sync import events
from tests.support.keys import make_key
from tests.support.parts import WEIGHTS, Parts
from tests.support.shares import flip

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """The parts of an agent."""
    return Parts(tmp_path)


def touch(path: Path) -> None:
    """Have a file look changed, with the bytes that it had."""
    os.utime(path, ns=(1, 1))


class Watched(threading.Event):
    """A stop that tells when somebody who waits looks at it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()

    def is_set(self) -> bool:
        """As of any event."""
        self.asked.set()
        return super().is_set()


def test_a_release_comes(parts: Parts) -> None:
    """It is in the store, verified, and told of with its bytes; no attempt is left on record."""
    made, moved = parts.publish("v1"), ByteCounter()
    assert parts.steps().stage("v1", desired="v1", moved=moved) == made
    assert parts.store.verified() == {"v1": made.digest}
    told = parts.heard.only(events.Staged)
    assert (told.version, told.digest, told.origin) == ("v1", made.digest, "share")
    assert told.moved == moved.by_source == {"share": made.size}
    assert parts.state() == {"schema": 1, "worker": parts.record.state.worker}


def test_what_the_store_has_is_linked(parts: Parts) -> None:
    """Bytes that a verified release of the store has are not fetched, and are counted apart."""
    parts.hold("v1")
    again = parts.publish("v2", model__onnx=b"v1" * 50_000)
    parts.steps().stage("v2", desired="v2")
    assert parts.heard.only(events.Staged).moved == {"reused": again.size}
    assert parts.weights("v1").samefile(parts.weights("v2"))


def test_a_release_that_only_looks_changed(parts: Parts) -> None:
    """It is read, found right, trusted as it looks now, and stays where it is."""
    parts.hold("v1")
    home = parts.store.path("v1")
    before = home.stat().st_ino
    touch(parts.weights("v1"))
    release = parts.steps().stage("v1", desired="v1")
    assert parts.heard.kinds() == [events.Verified]
    assert home.stat().st_ino == before
    assert records.is_untouched(parts.store.agent, release, home)


def test_a_release_that_only_looks_changed_while_the_share_is_away(parts: Parts) -> None:
    """What the share has is unknown then, and never another release."""
    parts.hold("v1")
    touch(parts.weights("v1"))
    parts.share.root.rename(parts.share.root.with_name("gone"))
    parts.steps().stage("v1", desired="v1")
    assert parts.heard.kinds() == [events.Verified]


def test_a_release_that_is_corrupt(parts: Parts) -> None:
    """It is told of, and staged again: only what is wrong is fetched."""
    parts.hold("v1")
    flip(parts.weights("v1"))
    parts.steps().stage("v1", desired="v1")
    assert parts.heard.kinds() == [events.SpareCorrupt, events.Staged]
    assert "is corrupt in chunk 1" in str(parts.heard.only(events.SpareCorrupt).error)
    moved = parts.heard.only(events.Staged).moved
    assert moved["share"] == parts.weights("v1").stat().st_size
    assert moved["reused"] > 0
    parts.steps().verify("v1")


def test_a_release_that_is_another_on_the_share(parts: Parts) -> None:
    """What the store has under that version is not even read; the share's takes its place."""
    parts.hold("v1")
    touch(parts.weights("v1"))
    (parts.share.release("v1") / "manifest.json").unlink()
    other = parts.publish("v1", model__onnx=b"another")
    assert parts.steps().stage("v1", desired="v1") == other
    assert parts.heard.kinds() == [events.Staged]
    assert parts.weights("v1").read_bytes() == b"another"


def test_a_right_release_that_cannot_be_written_down(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full volume it is said that there is no room, rather than staged for ever."""
    parts.hold("v1")
    touch(parts.weights("v1"))
    monkeypatch.setattr(durable, "try_write", lambda *_: False)
    with capture_logs() as said, pytest.raises(NoSpaceError, match="v1 is intact, but the store"):
        parts.steps().stage("v1", desired="v1")
    assert [line["event"] for line in said] == ["record.unsaved"]


def test_a_release_that_came_meanwhile(parts: Parts) -> None:
    """Staged once more, it would go from under whoever checks or serves it by now."""
    parts.publish("v1")
    stop, staged = Watched(), []

    def wait_and_stage() -> None:
        staged.append(parts.steps(stop).stage("v1", desired="v1").digest)

    waiting = threading.Thread(target=wait_and_stage)
    with parts.store.lock(threading.Event()):
        waiting.start()
        assert stop.asked.wait(30)
        digest = parts.steps().stage("v1", desired="v1").digest
        inode = parts.store.path("v1").stat().st_ino
    waiting.join(30)
    assert staged == [digest]
    assert parts.store.path("v1").stat().st_ino == inode
    assert parts.heard.kinds() == [events.Staged]


def test_a_release_that_came_meanwhile_is_held_to_the_rule(tmp_path: Path) -> None:
    """Another agent may not have asked for a signature, which is fetched then."""
    key = make_key(tmp_path)
    parts = Parts(tmp_path, verify_key=str(key.public), require_signature="true")
    parts.publish("v1")
    key.sign(parts.share, "v1")
    signature, stop = parts.store.path("v1") / manifest.SIGNATURE, Watched()
    waiting = threading.Thread(target=lambda: parts.steps(stop).stage("v1", desired="v1"))
    with parts.store.lock(threading.Event()):
        waiting.start()
        assert stop.asked.wait(30)
        parts.steps().stage("v1", desired="v1")
        signature.unlink()
    waiting.join(30)
    assert signature.read_bytes() == (parts.share.release("v1") / manifest.SIGNATURE).read_bytes()
    assert parts.heard.kinds() == [events.Staged]


def big(parts: Parts, *versions: str) -> None:
    """Put releases of a megabyte on the share that have nothing in common."""
    for version in versions:
        parts.publish(version, model__onnx=os.urandom(1024 * 1024))


def test_what_is_in_the_way_goes(parts: Parts) -> None:
    """For want of room the oldest goes; the active and the desired release stay."""
    big(parts, "v1", "v2", "v3", "v4")
    for version in ("v1", "v2", "v3"):
        parts.steps().stage(version, desired=version)
    parts.steps(keep=9).activate("v1")
    parts.store.limit = room.used_bytes(parts.store) + 1536 * 1024
    parts.steps().stage("v4", desired="v4")
    assert parts.store.versions() == ("v4", "v3", "v1")


def test_what_is_desired_does_not_go(parts: Parts) -> None:
    """Where only the active and the desired release are left, there is no room, and both stay."""
    big(parts, "v1", "v2", "v3")
    for version in ("v1", "v2"):
        parts.steps().stage(version, desired=version)
    parts.steps(keep=9).activate("v1")
    parts.store.limit = room.used_bytes(parts.store) + 1536 * 1024
    with pytest.raises(NoSpaceError):
        parts.steps().stage("v3", desired="v2")
    assert parts.store.versions() == ("v2", "v1")


def spoil(parts: Parts, how: str) -> None:
    """Have v1 on the share, with something wrong about it."""
    files = {"pytorch_model__bin": b"pickle"} if how == "pickle" else {}
    parts.publish("v1", **files)
    weights = parts.share.release("v1") / WEIGHTS
    if how == "corrupt":
        flip(weights)
    elif how == "short":
        os.truncate(weights, 70_000)
    elif how == "gone":
        weights.unlink()


FAILURES: list[tuple[str, type[Exception], int]] = [
    ("corrupt", VerificationError, 1),
    ("short", ShortFileError, 1),
    ("gone", ReleaseMissingError, 0),
    ("pickle", PickleError, 0),
]


@pytest.mark.parametrize(("how", "error", "counted"), FAILURES)
def test_what_fails(how: str, error: type[Exception], counted: int, parts: Parts) -> None:
    """The store has no such release, no attempt is left on record, and wrong bytes are told of."""
    spoil(parts, how)
    with pytest.raises(error):
        parts.steps().stage("v1", desired="v1")
    assert parts.store.versions() == ()
    assert len(parts.heard.of(events.VerificationFailed)) == counted
    assert len(parts.heard.events) == counted
    assert parts.record.state.attempts == {}


def test_what_was_staged_in_vain_is_used(parts: Parts) -> None:
    """Whoever asked is told of the bytes that came, and the next attempt goes on with them."""
    big(parts, "v1")
    moved, weights = ByteCounter(), parts.share.release("v1") / WEIGHTS
    flip(weights)
    with pytest.raises(VerificationError):
        parts.steps().stage("v1", desired="v1", moved=moved)
    flip(weights)
    parts.steps().stage("v1", desired="v1")
    assert moved.by_source["share"] >= parts.heard.only(events.Staged).moved["resumed"] > 0


def test_a_share_that_is_away(parts: Parts) -> None:
    """It is no fault of the release, and nothing is on record of it."""
    parts.share.root.rename(parts.share.root.with_name("gone"))
    with pytest.raises(UnreachableError):
        parts.steps().stage("v1", desired="v1")
    assert parts.heard.events == []


def test_a_stop(parts: Parts) -> None:
    """It ends a wait for another agent on the same store, too."""
    parts.publish("v1")
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        parts.steps(stop).stage("v1", desired="v1")
    assert parts.record.state.attempts == {}
