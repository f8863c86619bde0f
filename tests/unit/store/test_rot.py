"""Reading the active release again, a little at a time."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

import pytest

from agent.errors import StoppedError
from agent.release import layout
from agent.store import intact, records, rot
from agent.store.rot import Reverifier, Seen
from agent.store.store import Store
from tests.support.shares import SNAPSHOT, TestShare, flip

if TYPE_CHECKING:
    from pathlib import Path

    from agent.release.manifest import File, Manifest

_CHUNK: Final = 64 * 1024
_INTERVAL: Final = 1000.0
_WEIGHTS: Final = f"{SNAPSHOT}/model.onnx"


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def monotonic(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that rounds go by."""
    made = Clock()
    monkeypatch.setattr(rot, "time", made)
    return made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with a record of a v1 of eight chunks of weights, and two small files."""
    (tmp_path / "releases").mkdir()
    share = TestShare(tmp_path)
    share.add_files("v1", {"model.onnx": os.urandom(8 * _CHUNK), "config.json": b"{}"})
    made = Store(tmp_path)
    made.prepare()
    release = made.manifest("v1")
    home = made.path("v1")
    for view, path in layout.views(release).items():
        (home / view).parent.mkdir(parents=True, exist_ok=True)
        os.link(home / path, home / view)
    assert records.write(made.agent, release, home)
    return made


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The chunks that were read, as they are read."""
    seen: list[tuple[str, int]] = []
    is_right = intact.is_right

    def spy(release: Manifest, home: Path, file: File, index: int) -> bool:
        seen.append((file.path, index))
        return is_right(release, home, file, index)

    monkeypatch.setattr(intact, "is_right", spy)
    return seen


def test_a_round_is_spread_over_the_interval(
    store: Store, clock: Clock, read: list[tuple[str, int]]
) -> None:
    """Each chunk is read once an interval, and at most as many at a time as are due."""
    reverifier, stop = Reverifier(store, _INTERVAL), threading.Event()
    assert reverifier.look("v1", stop) == Seen()
    count = sum(max(1, len(file.chunks)) for file in store.manifest("v1").files)
    for number in range(1, count + 1):
        clock.now = _INTERVAL * number / count + 0.001
        seen = reverifier.look("v1", stop)
        assert (len(read), seen.finished) == (number, number == count)
    assert len(set(read)) == count
    assert reverifier.look("v1", stop) == Seen()


def test_a_late_look_reads_what_is_due_once(
    store: Store, clock: Clock, read: list[tuple[str, int]]
) -> None:
    """An agent that had other things to do for days reads all of it, not all of it for each day."""
    reverifier, stop = Reverifier(store, _INTERVAL), threading.Event()
    reverifier.look("v1", stop)
    clock.now = 10 * _INTERVAL
    assert reverifier.look("v1", stop).finished
    assert len(read) == len(set(read))


def test_what_changed_is_read_at_once(store: Store, clock: Clock) -> None:
    """Another time of change is no proof: the file is read, and trusted anew if it is right."""
    reverifier, stop = Reverifier(store, _INTERVAL), threading.Event()
    path = store.path("v1") / _WEIGHTS
    os.utime(path, ns=(1, 1))
    assert reverifier.look("v1", stop) == Seen(right={_WEIGHTS: records.look(path)})
    records.amend(store.agent, "v1", {_WEIGHTS: records.look(path)})
    assert reverifier.look("v1", stop) == Seen()
    flip(path)
    assert reverifier.look("v1", stop) == Seen(wrong=(_WEIGHTS,))


def test_all_that_is_wrong_is_found_with_the_first(store: Store, clock: Clock) -> None:
    """One repair, and one reload, is enough for a disk that rots in several places."""
    home = store.path("v1")
    (home / f"{SNAPSHOT}/config.json").unlink()
    status = (home / _WEIGHTS).stat()
    flip(home / _WEIGHTS)
    os.utime(home / _WEIGHTS, ns=(status.st_atime_ns, status.st_mtime_ns))
    seen = Reverifier(store, _INTERVAL).look("v1", threading.Event())
    assert set(seen.wrong) == {_WEIGHTS, f"{SNAPSHOT}/config.json"}


def test_a_view_that_is_another_file(store: Store, clock: Clock) -> None:
    """A loader reads by a view: it must lead to the bytes that are verified."""
    release = store.manifest("v1")
    view, path = next(iter(layout.views(release).items()))
    (store.path("v1") / view).unlink()
    seen = Reverifier(store, _INTERVAL).look("v1", threading.Event())
    assert seen == Seen(wrong=(path,))


def test_it_can_be_stopped(store: Store, clock: Clock) -> None:
    """A release of gigabytes is not read to its end when the agent is told to stop."""
    os.utime(store.path("v1") / _WEIGHTS, ns=(1, 1))
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        Reverifier(store, _INTERVAL).look("v1", stop)
