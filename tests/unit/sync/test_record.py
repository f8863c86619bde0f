"""The state on disk, where the disk does not take it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from agent import logs
from agent.sync import record as record_module
from agent.sync import state
from agent.sync.record import FILE_NAME, Record, load
from agent.warmup import passes

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
