"""Releases of a store, held to their manifests."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from agent.errors import StoppedError, VerificationError
from agent.release import layout
from agent.store import intact
from tests.support.parts import WEIGHTS, Parts
from tests.support.shares import SNAPSHOT, flip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.release.manifest import Manifest


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """An agent that has v1 in its store; one file of it is empty."""
    made = Parts(tmp_path)
    made.publish("v1", model__onnx=os.urandom(200_000), empty=b"")
    made.steps().stage("v1", desired="v1")
    return made


def require(parts: Parts, *, whole: bool = False, stop: threading.Event | None = None) -> None:
    """Hold v1 to its manifest."""
    release, home = parts.store.manifest("v1"), parts.store.path("v1")
    stop, log = stop or threading.Event(), parts.context.log
    intact.require(release, home, stop=stop, log=log, whole=whole)


def a_view(release: Manifest) -> str:
    """Return a view of the weights."""
    return next(view for view, path in layout.views(release).items() if path == WEIGHTS)


def test_every_byte_is_read(parts: Parts) -> None:
    """A release that is as it was staged is right, its empty file as well.

    The first and the last byte of each chunk count.
    """
    release, home = parts.store.manifest("v1"), parts.store.path("v1")
    require(parts)
    require(parts, whole=True)
    for file in release.files:
        assert intact.is_intact(release, home, file, threading.Event())
    size = (home / WEIGHTS).stat().st_size
    starts = range(0, size, release.chunk_size)
    for offset in (*starts, *(start - 1 for start in starts[1:]), size - 1):
        flip(home / WEIGHTS, offset)
        with pytest.raises(VerificationError, match=WEIGHTS):
            require(parts)
        flip(home / WEIGHTS, offset)
    require(parts)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (flip, "corrupt in chunk 3"),
        (lambda path: os.truncate(path, 7), "missing or has another size"),
        (lambda path: path.unlink(), "missing or has another size"),
        (
            lambda path: path.rename(path.with_name("x")) and path.symlink_to("x"),
            "is missing or has",
        ),
    ],
    ids=["flipped", "short", "gone", "a link"],
)
def test_a_file_that_is_wrong(spoil: Callable[[Path], object], said: str, parts: Parts) -> None:
    """It is named, also where it keeps its size, and where a link leads to the right bytes."""
    release, home = parts.store.manifest("v1"), parts.store.path("v1")
    spoil(home / WEIGHTS)
    with pytest.raises(VerificationError, match=f"{WEIGHTS} .*{said}"):
        require(parts)
    wrong = [
        f.path for f in release.files if not intact.is_intact(release, home, f, threading.Event())
    ]
    assert wrong == [WEIGHTS]


def test_a_view_that_is_another_file(parts: Parts) -> None:
    """A loader may read by a view: equal bytes in another file will not do, nor none at all."""
    release, home = parts.store.manifest("v1"), parts.store.path("v1")
    view = a_view(release)
    data = (home / view).read_bytes()
    (home / view).unlink()
    for _ in range(2):
        assert intact.lost_views(release, home) == {view: WEIGHTS}
        with pytest.raises(VerificationError, match="is not the same file as"):
            require(parts)
        (home / view).write_bytes(data)
    (file,) = (file for file in release.files if file.path == WEIGHTS)
    assert intact.has_right_bytes(release, home, file, threading.Event())
    assert not intact.is_intact(release, home, file, threading.Event())


def test_an_empty_file_that_is_no_longer(parts: Parts) -> None:
    """A byte where there should be none is found."""
    (parts.store.path("v1") / SNAPSHOT / "empty").write_bytes(b"x")
    with pytest.raises(VerificationError, match="empty of v1"):
        require(parts)


def test_a_stop(parts: Parts) -> None:
    """A release of gigabytes is not read to its end when the agent is told to stop."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        require(parts, stop=stop)
