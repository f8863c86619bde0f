"""Steps on releases that the store has: verified, checked, activated, pointed to, given up."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from agent.errors import KilledError, ModelError, VerificationError
from agent.files import durable
from agent.machine import threads
from agent.release import marker
from agent.store import records
from agent.sync import events
from agent.sync.record import load
from agent.sync.state import Rot
from agent.sync.summary import SyncSummary
from agent.warmup import passes
from tests.support.keys import make_key
from tests.support.parts import Parts
from tests.support.shares import flip
from tests.support.workers import until

if TYPE_CHECKING:
    from agent.sync.state import Quarantine


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """The parts of an agent."""
    return Parts(tmp_path)


def test_a_release_that_is_right(parts: Parts) -> None:
    """It is trusted from now on, whatever was on record."""
    parts.hold("v1")
    records.forget(parts.store.agent, "v1")
    release = parts.steps().verify("v1")
    assert parts.store.verified() == {"v1": release.digest}
    assert parts.heard.events == [events.Verified("v1", release.size)]


@pytest.mark.parametrize("lost", ["bit", "file", "manifest"])
def test_a_release_that_is_not(lost: str, parts: Parts) -> None:
    """Wrong, missing or unreadable, it is the same to whoever asks; nothing is told or trusted."""
    parts.hold("v1")
    records.forget(parts.store.agent, "v1")
    if lost == "bit":
        flip(parts.weights("v1"))
    elif lost == "file":
        parts.weights("v1").unlink()
    else:
        (parts.store.path("v1") / "manifest.json").unlink()
    with pytest.raises(VerificationError):
        parts.steps().verify("v1")
    assert parts.store.verified() == {}
    assert parts.heard.events == []


def test_a_release_that_is_right_on_a_full_volume(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is served all the same, and read again next time."""
    parts.hold("v1")
    records.forget(parts.store.agent, "v1")
    monkeypatch.setattr(durable, "try_write", lambda *_: False)
    with capture_logs() as said:
        parts.steps().verify("v1")
    line = {"event": "record.unsaved", "log_level": "warning", "reason": "the store is full"}
    assert said == [line]
    assert parts.heard.kinds() == [events.Verified]


def test_models_that_are_checked(parts: Parts) -> None:
    """What passed is on record with its digest and in the report; who was not run is told of."""
    release = parts.unrun("v1")
    checking = threads.start(parts.steps().check, "v1")
    assert until(lambda: load(parts.store.agent).attempts) == {"v1": 1}
    checking.result(60)
    assert load(parts.store.agent).attempts == {}
    assert parts.record.checked() == {"v1": release.digest}
    assert passes.held(parts.store.agent, release.digest) == {("Org/name", "huggingface")}
    told = parts.heard.only(events.ModelNotRun)
    assert (told.version, told.model) == ("v1", "Org/name")
    assert told.reason == "the loader huggingface does not say how"


def test_models_that_do_not_load(parts: Parts) -> None:
    """The attempt ended; what passed before counts no more, and wrong bytes are not meant."""
    parts.unrun("v1", b"{")
    (parts.store.agent / passes.REPORT).write_text("{}")
    with pytest.raises(ModelError, match="does not load"):
        parts.steps().check("v1")
    assert not (parts.store.agent / passes.REPORT).exists()
    assert (load(parts.store.agent).attempts, parts.record.checked()) == ({}, {})
    assert parts.heard.events == []


def test_a_check_that_is_killed(parts: Parts) -> None:
    """It stays on record, as if the agent had been killed: two of them are a failure."""
    parts.unrun("v1")
    checking = threads.start(parts.steps().check, "v1")
    os.kill(until(_child), signal.SIGKILL)
    with pytest.raises(KilledError):
        checking.result(60)
    assert load(parts.store.agent).attempts == {"v1": 1}


def _child() -> int | None:
    """Return the warm-up that this process runs, once it has become one."""
    children = (task / "children" for task in Path("/proc/self/task").iterdir())
    for pid in (int(pid) for path in children for pid in path.read_text().split()):
        if b"agent.warmup.child" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return None


def test_a_release_becomes_active(parts: Parts) -> None:
    """`current` leads to it; what is beyond `--keep` goes, the oldest first, after that."""
    parts.hold("v1", "v2", "v3", "v4", active="v3")
    parts.record.passed("v1", "1" * 64)
    (parts.store.staging / "v1").mkdir()
    (parts.store.staging / "v9").mkdir()
    parts.record.update(desired="v9")
    parts.steps(keep=2).activate("v4")
    assert parts.store.active() == load(parts.store.agent).active == "v4"
    told: list[object] = [events.Activated("v4"), events.Pruned("v1"), events.Pruned("v2")]
    assert parts.heard.events == told
    assert parts.store.versions() == ("v4", "v3")
    assert parts.record.checked() == {}
    assert [path.name for path in parts.store.staging.iterdir()] == ["v9"]


def test_a_release_that_was_not_repaired(parts: Parts) -> None:
    """Left for another one, it is staged again should it be wanted; the new one is not."""
    parts.hold("v1", "v2", active="v1")
    parts.record.update(rot=Rot("v1", ("a",), "2026-11-23T15:00:00Z"))
    parts.steps().activate("v2")
    assert set(parts.store.verified()) == {"v2"}
    parts.record.update(rot=Rot("v2", ("a",), "2026-11-23T15:00:00Z"))
    parts.steps().activate("v2")
    assert set(parts.store.verified()) == {"v2"}
    assert load(parts.store.agent).rot is None


def test_a_worker_that_is_signalled(parts: Parts) -> None:
    """It finds the release as `current`, which is on record, and active only once confirmed."""
    parts.hold("v1", "v2", active="v1")
    parts.steps().point("v2")
    assert parts.store.active() == "v2"
    found = load(parts.store.agent)
    assert (found.active, found.pointed) == ("v1", "v2")
    parts.steps().point("v1")
    assert parts.store.active() == "v1"
    found = load(parts.store.agent)
    assert (found.active, found.pointed) == ("v1", None)
    assert parts.heard.events == []


def entry(parts: Parts) -> Quarantine:
    """Quarantine v2, and return what is on record of it."""
    found = marker.parse(b"v2\n")
    parts.steps().quarantine("v2", "It is bad.", found)
    made = load(parts.store.agent).quarantined["v2"]
    assert (made.reason, made.marker_sha256) == ("It is bad.", found.sha256)
    return made


def test_a_quarantine(parts: Parts) -> None:
    """It holds for the digest that the share has now; what passed a check counts no more."""
    parts.hold("v2")
    (parts.share.release("v2") / "manifest.json").unlink()
    offered = parts.publish("v2", model__onnx=b"another")
    (parts.store.agent / passes.REPORT).write_text("{}")
    assert entry(parts).digest == offered.digest
    assert not (parts.store.agent / passes.REPORT).exists()
    assert parts.heard.events == [events.Quarantined("v2", "It is bad.")]


def test_a_quarantine_while_the_share_is_away(parts: Parts) -> None:
    """It holds for what the store has, or for whatever comes if that is nothing."""
    parts.hold("v2")
    digest = parts.store.digest("v2")
    parts.share.root.rename(parts.share.root.with_name("gone"))
    assert entry(parts).digest == digest
    parts.store.remove("v2")
    assert entry(parts).digest is None


@pytest.mark.parametrize("manifest", [None, "{"])
def test_a_quarantine_without_a_manifest(parts: Parts, manifest: str | None) -> None:
    """A sound one that comes later is a change."""
    if manifest:
        parts.share.release("v2").mkdir()
        (parts.share.release("v2") / "manifest.json").write_text(manifest)
    assert entry(parts).digest == ""


def test_a_quarantine_ends_a_sync(parts: Parts) -> None:
    """The event has the sync with it."""
    summary = SyncSummary("v2", "v1")
    parts.steps().quarantine("v2", "It is bad.", None, summary)
    assert parts.heard.only(events.Quarantined).summary is summary


def test_a_release_of_the_store_is_held_to_the_rule(tmp_path: Path) -> None:
    """A signature that came later is fetched; without one it is not let in."""
    parts, key = Parts(tmp_path), make_key(tmp_path)
    parts.hold("v1")
    wary = Parts(tmp_path, verify_key=str(key.public), require_signature="true")
    release = wary.store.manifest("v1")
    with pytest.raises(VerificationError, match="it is not signed"):
        wary.steps().hold_signature(release)
    key.sign(parts.share, "v1")
    wary.steps().hold_signature(release)
    parts.share.root.rename(parts.share.root.with_name("gone"))
    wary.steps().hold_signature(release)
