"""Copies of a share whose calls do not return, or end early."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

import pytest

from agent.errors import ShortFileError, StoppedError
from agent.files import parallel
from agent.files.copy import Copier, Job
from agent.shares.directory import DirectoryShare
from tests.support.workers import until

if TYPE_CHECKING:
    from pathlib import Path

    from agent.files.source import FileReader

_DATA = b"weights"
_JOB = Job("a", "a", len(_DATA), (hashlib.sha256(_DATA).hexdigest(),))


class _Hanging(DirectoryShare):
    """An `open` stops the copy and returns once it is told to."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.stop, self.wake = threading.Event(), threading.Event()
        self.opened: list[FileReader] = []

    def open(self, path: str) -> FileReader:
        self.stop.set()
        self.wake.wait()
        reader = super().open(path)
        self.opened.append(reader)
        return reader


def copier(share: DirectoryShare, target: Path, stop: threading.Event) -> Copier:
    """What copies from there, in one thread."""
    return Copier(share, target, chunk_size=16, stop=stop)


def test_a_hung_open_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy ends in time though an open hangs, and that one writes nothing when it wakes."""
    monkeypatch.setattr(parallel, "STOP_SECONDS", 0.1)
    (tmp_path / "a").write_bytes(_DATA)
    target = tmp_path / "target"
    target.mkdir()
    share = _Hanging(tmp_path)
    with pytest.raises(StoppedError):
        copier(share, target, share.stop).copy([_JOB])
    share.wake.set()
    until(lambda: share.opened and _is_closed(share.opened[0]))
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("data", [_DATA[:-1], b""], ids=["short", "empty"])
def test_a_file_that_ends_early(data: bytes, tmp_path: Path) -> None:
    """It may still be growing, so that the release is not to blame."""
    (tmp_path / "a").write_bytes(data)
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(ShortFileError, match="shorter than its 7 bytes") as caught:
        copier(DirectoryShare(tmp_path), target, threading.Event()).copy([_JOB])
    assert (caught.value.exit_code, caught.value.blames_release) == (5, False)


def _is_closed(reader: FileReader) -> bool:
    try:
        reader.read_into(memoryview(bytearray(1)), 0)
    except Exception:  # noqa: BLE001 - the descriptor is no longer one
        return True
    return False
