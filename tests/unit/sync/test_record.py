"""The state on disk: what each change leaves there, and where the disk does not take it."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from agent import logs
from agent.release import marker
from agent.sidecar.metrics import Metrics
from agent.store.store import Store
from agent.sync import record as record_module
from agent.sync import state
from agent.sync.record import FILE_NAME, Record, load, may_go, save
from agent.warmup import passes
from tests.support.stores import activate, bare_release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def full(*_: object) -> bool:
    """A volume without room."""
    return False


def read_only(*_: object) -> bool:
    """A volume that was mounted anew."""
    raise OSError(errno.EROFS, "Read-only file system")


@pytest.mark.parametrize("save", [full, read_only])
def test_what_could_not_be_saved_is_saved_later(
    save: Callable[..., bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on in memory, says so once, and the disk follows though nothing changes any more."""
    record = Record(tmp_path, logs.get())
    with monkeypatch.context() as broken, capture_logs() as said:
        broken.setattr(record_module, "save", save)
        record.update(desired="v1")
        record.update(active="v1")
    assert [each["event"] for each in said] == ["state.unsaved"]
    assert record.state.active == "v1"
    assert load(tmp_path) == state.State()
    record.update()
    assert load(tmp_path) == record.state


def test_what_passed_elsewhere_counts_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another start of the machine, or in other libraries, all of a store is checked again."""
    Record(tmp_path, logs.get()).passed("v1", "1" * 64)
    assert Record(tmp_path, logs.get()).checked() == {"v1": "1" * 64}
    monkeypatch.setattr(passes, "sha256", lambda: "another")
    record = Record(tmp_path, logs.get())
    assert record.checked() == {}
    record.passed("v2", "2" * 64)
    assert Record(tmp_path, logs.get()).checked() == {"v2": "2" * 64}


@pytest.mark.parametrize("data", [b"", b"[]", b'{"schema": 2}', None], ids=repr)
def test_a_state_that_cannot_be_read_is_a_new_one(data: bytes | None, tmp_path: Path) -> None:
    """Torn, another's, or what the disk does not give: here a directory stands for that."""
    place = tmp_path / FILE_NAME
    place.mkdir() if data is None else place.write_bytes(data)
    assert load(tmp_path) == state.State()


def test_a_state_that_was_deleted_is_put_back(tmp_path: Path) -> None:
    """Whoever deletes it takes nothing from an agent that runs."""
    record = Record(tmp_path, logs.get())
    record.update(active="v1")
    (tmp_path / FILE_NAME).unlink()
    record.ensure()
    assert load(tmp_path) == record.state


def test_an_attempt_is_on_disk_while_it_lasts(tmp_path: Path) -> None:
    """Whoever is killed in the middle leaves a count; whoever comes to an end leaves none."""
    record = Record(tmp_path, logs.get())
    record.begin("v1")
    record.begin("v2")
    record.begin("v2")
    assert load(tmp_path).attempts == {"v1": 1, "v2": 2}
    assert [version for version in ("v1", "v2", "v3") if record.worn_out(version)] == ["v2"]
    record.end("v2")
    assert load(tmp_path).attempts == {"v1": 1}


def test_a_quarantine(tmp_path: Path) -> None:
    """It has the marker's bytes and the digest that it holds for; the release has passed nothing.

    Where there is no marker it is for none, so that any marker is another one.
    """
    record, read = Record(tmp_path, logs.get()), marker.parse(b"v2\n")
    record.passed("v2", "2" * 64)
    record.begin("v2")
    record.quarantine("v2", "It is bad.", marker=read, digest="2" * 64)
    record.quarantine("v3", "It is worse.", marker=None, digest=None)
    found = load(tmp_path)
    entry = found.quarantined["v2"]
    assert (entry.reason, entry.marker_sha256, entry.digest) == (
        "It is bad.",
        read.sha256,
        "2" * 64,
    )
    assert (found.quarantined["v3"].marker_sha256, found.quarantined["v3"].digest) == ("", None)
    assert (found.attempts, found.checked, found.last_error) == ({}, {}, "It is worse.")


def test_an_activation(tmp_path: Path) -> None:
    """It ends all that was against the release; what was active is what to go back to."""
    record = Record(tmp_path, logs.get())
    record.activated("v1")
    record.begin("v2")
    record.quarantine("v2", "It is bad.", marker=None, digest=None)
    record.quarantine("v3", "It is bad.", marker=None, digest=None)
    record.update(pointed="v2", rot=state.Rot("v1", ("a",), "2026-11-23T15:00:00Z"), outdated="v1")
    record.activated("v2")
    found = load(tmp_path)
    assert (found.active, found.previous, found.pointed) == ("v2", "v1", None)
    assert (found.rot, found.outdated, found.last_error, found.attempts) == (None, None, None, {})
    assert set(found.quarantined) == {"v3"}
    assert found.last_success
    record.activated("v2")
    assert load(tmp_path).previous == "v1"


def test_a_repair(tmp_path: Path) -> None:
    """Nothing is rotten any more; what the worker made of it may be."""
    record = Record(tmp_path, logs.get())
    record.update(rot=state.Rot("v1", ("a",), "2026-11-23T15:00:00Z"))
    record.repaired("v1")
    assert (load(tmp_path).rot, load(tmp_path).outdated) == (None, "v1")


def test_a_release_that_was_removed(tmp_path: Path) -> None:
    """It must pass its check anew, should it come again."""
    record = Record(tmp_path, logs.get())
    record.passed("v1", "1" * 64)
    record.passed("v2", "2" * 64)
    record.removed("v1")
    assert load(tmp_path).checked == {"v2": "2" * 64}


def test_a_state_that_is_there_is_left(tmp_path: Path) -> None:
    """What is on disk is not written again if nothing is new."""
    record = Record(tmp_path, logs.get())
    record.update(active="v1")
    before = (tmp_path / FILE_NAME).stat()
    record.ensure()
    record.update(active="v1")
    assert (tmp_path / FILE_NAME).stat() == before


def test_what_may_go(tmp_path: Path) -> None:
    """A quarantined release goes first, the previous one last; active and desired stay."""
    for version in ("v1", "v2", "v3", "v4", "v5"):
        bare_release(tmp_path, version)
        os.utime(tmp_path / "releases" / version / "manifest.json", ns=(1, int(version[1])))
    activate(tmp_path, "v3")
    known = state.State(previous="v1", quarantined={"v5": state.Quarantine("", "", None, "")})
    store = Store(tmp_path)
    assert may_go(store, known, keep=1, desired="v4") == ("v5", "v2", "v1")
    assert may_go(store, known, keep=3, desired="v4") == ("v5", "v2")
    assert may_go(store, known, keep=1, desired=None) == ("v5", "v2", "v4", "v1")


FULL = state.State(
    active="v2",
    previous="v1",
    desired="v3",
    worker=state.Worker("v2", "ready"),
    quarantined={"v3": state.Quarantine("it is bad", "a" * 64, None, "2026-11-23T15:00:00Z")},
    attempts={"v3": 1},
    tried_for="b" * 64,
    checked={"v2": "c" * 64},
    rot=state.Rot("v2", ("fastembed/model.onnx",), "2026-11-23T15:00:00Z"),
    outdated="v2",
    last_reverified="2026-11-23T15:00:00Z",
    last_success="2026-11-23T15:00:00Z",
    doing_since="2026-11-23T15:00:00Z",
    waiting=state.Waiting("the worker", "2026-11-23T15:00:00Z"),
)


def test_any_flipped_bit_does_no_harm(tmp_path: Path) -> None:
    """What no agent writes is dropped with one line; all else can be shown, and goes on."""
    save(tmp_path, FULL)
    file = tmp_path / FILE_NAME
    sound = file.read_bytes()
    metrics, dropped = Metrics(), 0
    for place in range(len(sound)):
        for bit in range(8):
            file.write_bytes(flipped(sound, place, bit))
            with capture_logs() as said:
                record = Record(tmp_path, logs.get())
            assert [each["event"] for each in said] in ([], ["state.dropped"])
            dropped += len(said)
            assert not said or record.state == state.State()
            metrics.show(record.state)
    assert 0 < dropped < 8 * len(sound)


def flipped(data: bytes, place: int, bit: int) -> bytes:
    """The bytes with one bit of one of them changed."""
    return data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"desired": "../../etc"}, "a version '../../etc'"),
        ({"pointed": "x" * 1000}, f"a version '{'x' * 80}'"),
        ({"attempts": {"\x00": 1}}, "a version '\\x00'"),
        ({"attempts": {"v1": -1}}, "-1 attempts"),
        ({"rot": {"version": "v1", "files": ["../a"], "at": "2026-11-23"}}, "a path '../a'"),
        ({"last_success": "20r6-11-23T15:00:00Z"}, "a time '20r6-11-23T15:00:00Z'"),
        ({"schema": 2}, "of schema 2, and this agent reads 1"),
        ({"active": 1}, "Expected `str | null`, got `int`"),
    ],
)
def test_what_no_agent_writes_is_dropped(
    change: dict[str, object], said: str, tmp_path: Path
) -> None:
    """A hand that edits the state, or a disk that changes it, is told what was wrong with it."""
    (tmp_path / FILE_NAME).write_text(json.dumps({"schema": 1, **change}))
    with capture_logs() as lines:
        record = Record(tmp_path, logs.get())
    (line,) = lines
    assert said in line["reason"]
    assert (record.state, load(tmp_path)) == (state.State(), state.State())


def test_a_state_that_may_not_be_read(tmp_path: Path) -> None:
    """A directory in its place is said, and the agent goes on without a state."""
    (tmp_path / FILE_NAME).mkdir()
    with capture_logs() as lines:
        Record(tmp_path, logs.get())
    assert lines[0]["reason"] == "state.json cannot be read: Is a directory"
