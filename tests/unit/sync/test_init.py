"""`init` in this process: what it makes active, and every line of the log that it writes."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from agent.errors import (
    AgentError,
    NoSpaceError,
    ReleaseMissingError,
    StoppedError,
    UnreachableError,
)
from agent.store import room
from agent.sync import init
from agent.sync.record import load
from agent.sync.state import Waiting
from tests.support.parts import WEIGHTS, Parts
from tests.support.shares import flip

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence
    from pathlib import Path

    from agent.sync.init import Outcome


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """A pod that does not warm."""
    return Parts(tmp_path, no_warm="true")


def run(parts: Parts) -> tuple[Outcome, Sequence[MutableMapping[str, Any]]]:
    """Run `init`, and return how it ended and what it said."""
    with capture_logs() as said:
        return init.run(parts.context), said


def fail(parts: Parts, error: type[AgentError]) -> Sequence[MutableMapping[str, Any]]:
    """Run `init`, which fails, and return what it said."""
    with capture_logs() as said, pytest.raises(error):
        init.run(parts.context)
    return said


def names(said: Sequence[MutableMapping[str, Any]]) -> list[str]:
    """Return name and level of each line."""
    return [f"{line['event']} {line['log_level']}" for line in said]


def other_space(parts: Parts, version: str) -> None:
    """Put a release on the share whose vectors have another length."""
    parts.publish(version)
    parts.share.sign(version, lambda raw: raw["models"][0].update(dim=64))


def test_a_first_run_and_the_next(parts: Parts) -> None:
    """The first stages, the next only reads what the store has."""
    parts.publish("v1")
    parts.share.mark("v1")
    done, said = run(parts)
    assert (done.active, done.desired, parts.store.active()) == ("v1", "v1", "v1")
    assert names(said) == ["release.staged info", "release.activated info", "init.done info"]
    assert said[-1].items() >= {"active": "v1", "desired": "v1", "version": "v1"}.items()
    assert said[-1].items() >= {"previous": None, "attempt": 1, "outcome": "success"}.items()
    assert load(parts.store.agent).desired == "v1"
    done, said = run(parts)
    assert names(said) == ["release.verified info", "release.activated info", "init.done info"]
    assert said[-1]["previous"] == "v1"


def test_a_bump_that_is_bad(parts: Parts) -> None:
    """It is quarantined, the one before is served, and the next run tries it last."""
    parts.hold("v1", active="v1")
    parts.publish("v2")
    flip(parts.share.release("v2") / WEIGHTS)
    parts.share.mark("v2", "previous: v1")
    done, said = run(parts)
    assert (done.active, done.desired) == ("v1", "v2")
    served = ["release.verified info", "release.activated info", "init.fell_back error"]
    refused = ["release.quarantined error", "release.refused error"]
    assert names(said) == refused + served
    assert "outcome" not in said[0]
    assert said[-1]["reason"] == said[0]["reason"] == said[1]["error"]
    assert set(load(parts.store.agent).quarantined) == {"v2"}
    done, said = run(parts)
    assert (done.active, names(said)) == ("v1", served)
    assert "reason" not in said[-1]


def test_a_bad_bump_that_nothing_can_replace(parts: Parts) -> None:
    """The error is that of the desired release, and the last line names its exit code."""
    parts.publish("v2")
    flip(parts.share.release("v2") / WEIGHTS)
    parts.share.mark("v2", "previous: v1")
    said = fail(parts, AgentError)
    assert names(said)[-2:] == ["release.refused error", "init.failed error"]
    assert (said[-1]["kind"], said[-1]["version"]) == ("verification", "v2")
    assert "is corrupt" in said[-1]["reason"]
    assert "v1 is missing" in said[-2]["error"]
    assert load(parts.store.agent).last_error == said[-2]["error"]


@pytest.mark.parametrize("fallback", ["", "true"])
@pytest.mark.parametrize("data", [b"", b"\x00" * 512, b"\xff\xfe\x00", b"v/5\n", b"# v5\n"])
def test_a_marker_that_names_nothing(data: bytes, fallback: str, tmp_path: Path) -> None:
    """Where nothing is active no other release is taken for it, from the share or the store."""
    parts = Parts(tmp_path, no_warm="true", no_fallback=fallback or "false")
    parts.hold("v1", active="v1")
    parts.share.mark("v1")
    run(parts)
    (parts.share.root / "VERSION").write_bytes(data)
    done, said = run(parts)
    assert (done.active, done.desired) == ("v1", None)
    assert "marker.unknown warning" in names(said)
    (parts.store.root / "current").unlink()
    done, _ = run(parts)
    assert done.active == "v1"  # as is on record
    for path in (parts.store.root / "current", parts.store.agent / "state.json"):
        path.unlink()
    fail(parts, ReleaseMissingError)
    assert parts.store.active() is None


def test_a_share_that_is_away(parts: Parts) -> None:
    """The pod comes up on what it has; what was desired before is not forgotten."""
    parts.publish("v1")
    parts.share.mark("v1")
    run(parts)
    parts.share.root.rename(parts.share.root.with_name("gone"))
    done, said = run(parts)
    assert (done.active, done.desired) == ("v1", None)
    served = ["release.verified info", "release.activated info", "init.done info"]
    assert names(said) == ["init.share_unusable warning", *served]
    assert said[-1]["reason"] == said[0]["error"]
    assert load(parts.store.agent).desired == "v1"


def test_a_share_that_is_away_and_an_empty_store(parts: Parts) -> None:
    """What the share said is why it failed."""
    parts.share.root.rename(parts.share.root.with_name("gone"))
    said = fail(parts, UnreachableError)
    assert names(said) == ["init.share_unusable warning", "init.failed error"]
    assert said[-1]["version"] is None


def test_files_of_the_store_that_are_corrupt(parts: Parts) -> None:
    """They are told of once, as an error, and the release is staged again."""
    parts.hold("v1", active="v1")
    parts.share.mark("v1")
    flip(parts.weights("v1"))
    _, said = run(parts)
    assert names(said)[:2] == ["store.corrupt error", "release.staged info"]
    assert "is corrupt in chunk 1" in said[0]["error"]


def test_a_release_whose_content_on_the_share_is_another(parts: Parts) -> None:
    """Releases never change: it is said, and what is verified stays."""
    parts.hold("v1", active="v1")
    (parts.share.release("v1") / "manifest.json").unlink()
    parts.publish("v1", model__onnx=b"another")
    parts.share.mark("v1")
    _, said = run(parts)
    assert names(said)[:2] == ["release.differs warning", "release.verified info"]
    assert parts.weights("v1").read_bytes() != b"another"


def test_a_release_that_killed_its_agent_twice(parts: Parts) -> None:
    """It is not tried a third time, but quarantined."""
    parts.publish("v2")
    parts.share.mark("v2")
    parts.hold("v1", active="v1")
    parts.record.desired_is(parts.reader.understood(), held=())
    for _ in range(2):
        parts.record.begin("v2")
    done, said = run(parts)
    assert done.active == "v1"
    assert "2 attempts never ended" in said[0]["reason"]
    assert said[-1]["attempt"] == 3
    assert load(parts.store.agent).attempts == {}


def test_a_release_that_does_not_fit(parts: Parts) -> None:
    """It is not to blame, so no other release is taken in its stead."""
    parts.hold("v1", active="v1")
    parts.publish("v2", model__onnx=os.urandom(1000))
    parts.share.mark("v2", "previous: v1")
    parts.store.limit = room.used_bytes(parts.store)
    said = fail(parts, NoSpaceError)
    assert names(said) == ["init.failed error"]
    assert (said[0]["kind"], parts.store.active()) == ("no_space", "v1")
    assert load(parts.store.agent).quarantined == {}


def test_a_release_that_is_not_there_yet(parts: Parts) -> None:
    """It is not to blame either, but any other is better than none."""
    parts.hold("v1", active="v1")
    parts.share.mark("v2")
    done, said = run(parts)
    assert (done.active, names(said)[0]) == ("v1", "release.refused error")
    assert load(parts.store.agent).quarantined == {}
    parts = Parts(parts.store.root.parent, no_fallback="true")
    assert names(fail(parts, ReleaseMissingError)) == ["init.failed error"]


def test_another_embedding_space(parts: Parts) -> None:
    """It is quarantined beside the active release."""
    parts.hold("v1", active="v1")
    other_space(parts, "v2")
    parts.share.mark("v2")
    done, said = run(parts)
    assert done.active == "v1"
    assert "embeds into another space than v1" in said[1]["reason"]


def test_another_embedding_space_on_a_new_node(parts: Parts) -> None:
    """Stored vectors are of the release that was served before, if that can be known."""
    parts.publish("v1")
    other_space(parts, "v2")
    parts.share.mark("v2", "previous: v1")
    done, _ = run(parts)
    assert done.active == "v1"
    parts.share.mark("v2", "previous: v0")
    parts.store.remove("v1")
    (parts.store.root / "current").unlink()
    done, said = run(parts)
    assert done.active == "v2"
    assert names(said)[1] == "embedding_space.unchecked warning"


@pytest.mark.parametrize("how", ["--allow-new-space", "marker"])
def test_another_embedding_space_that_is_allowed(how: str, tmp_path: Path) -> None:
    """Nobody asks then which space stored vectors are of."""
    flag = {"allow_new_space": "true"} if how != "marker" else {}
    parts = Parts(tmp_path, no_warm="true", **flag)
    other_space(parts, "v2")
    parts.share.mark("v2", "previous: v0", *(["allow-new-space"] if how == "marker" else []))
    done, said = run(parts)
    assert done.active == "v2"
    assert names(said) == ["release.staged info", "release.activated info", "init.done info"]


def test_what_has_passed_its_check(tmp_path: Path) -> None:
    """It is not run again, which is said."""
    parts = Parts(tmp_path)
    parts.unrun("v1")
    _, said = run(parts)
    served = ["release.activated info", "init.done info"]
    assert names(said) == ["release.verified info", "model.not_run warning", *served]
    _, said = run(parts)
    assert names(said) == ["release.verified info", "warmup.skipped info", *served]
    assert said[1].items() >= {"version": "v1", "device": "cpu"}.items()


def test_nothing_at_all(parts: Parts) -> None:
    """Without a marker, a release or a tree there is nothing to serve."""
    said = fail(parts, ReleaseMissingError)
    assert names(said) == ["init.share_unusable warning", "init.failed error"]


def test_a_stop(parts: Parts) -> None:
    """It is no failure, and is said."""
    parts.publish("v1")
    parts.share.mark("v1")
    parts.context.stop.set()
    said = fail(parts, StoppedError)
    assert names(said) == ["init.stopped info"]
    assert (said[0]["outcome"], said[0]["reason"]) == ("stopped", "Stopped.")


def test_another_agent_on_the_same_store(parts: Parts) -> None:
    """It is waited for, and the line says how long."""
    parts.hold("v1", active="v1")
    done: list[MutableMapping[str, Any]] = []
    waiting = threading.Thread(target=lambda: done.extend(run(parts)[1]))
    with parts.store.lock(threading.Event()):
        waiting.start()
        waiting.join(0.3)
        assert done == []
    waiting.join(30)
    assert done[-1]["lock_seconds"] >= 0.2


def test_what_was_refused_before_this_start_and_is_gone(parts: Parts) -> None:
    """A quarantine ends with its release, also if no sidecar runs beside the worker."""
    parts.hold("v1", active="v1")
    parts.share.mark("v1")
    parts.record.quarantine("v0", "It is bad.", marker=None, digest=None)
    run(parts)
    assert load(parts.store.agent).quarantined == {}


def test_what_a_sidecar_did_before_this_start(parts: Parts) -> None:
    """One that was killed left what it did and waited for, which nobody does any more."""
    parts.hold("v1", active="v1")
    parts.share.mark("v1")
    parts.record.does("reload v1")
    parts.record.update(waiting=Waiting("the worker", "2026-01-01T00:00:00Z"))
    run(parts)
    found = load(parts.store.agent)
    assert (found.doing, found.doing_since, found.waiting) == (None, None, None)
