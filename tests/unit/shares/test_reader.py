"""A share that is slow or sick: what is made of it where no mount is needed to see that."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from agent import logs, settings
from agent.context import Context
from agent.errors import ReleaseMissingError, UnreachableError
from agent.release import marker
from agent.shares import reader
from agent.shares.directory import DirectoryShare
from agent.shares.reader import MANIFEST_SECONDS, MARKER_SECONDS
from agent.sidecar.loop import Sidecar
from agent.sync import init
from agent.sync.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def here(tmp_path: Path) -> Context:
    """An empty store, and a share whose marker names v1."""
    for name in ("share", "store"):
        (tmp_path / name).mkdir()
    (tmp_path / "share" / "VERSION").write_text("v1\n")
    places = {"share": str(tmp_path / "share"), "store": str(tmp_path / "store")}
    return Context(settings.parse(places | {"populate": "never"}, {}), logs.get())


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN])
def test_an_error_of_a_mount_is_told(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not called unmounted, though its root gives the same error."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fail)
    monkeypatch.setattr(Path, "is_dir", fail)
    with pytest.raises(UnreachableError, match=f"VERSION on .*: {os.strerror(number)}"):
        DirectoryShare(tmp_path).read("VERSION", 512)


def test_init_takes_no_marker_that_is_not_sure_for_none(
    here: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not choose a release by itself while the marker may name another."""
    monkeypatch.setattr(reader, "_APART_SECONDS", 0.0)
    with pytest.raises(UnreachableError, match="took too long to be sure"):
        init.run(here)


def test_init_reads_a_marker_once_that_it_knows(
    here: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the store's state was made for is whole: a pod that starts again need not wait."""
    monkeypatch.setattr(reader, "_APART_SECONDS", 0.0)
    here.store.prepare()
    Record(here.store.agent, here.log).desired_is(marker.parse(b"v1\n"), held=())
    with pytest.raises(ReleaseMissingError, match="v1 is missing"):
        init.run(here)


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Reads of a share never return, and are given up soon."""
    ended = threading.Event()
    monkeypatch.setattr(DirectoryShare, "read", lambda *_: ended.wait(60) and None)
    monkeypatch.setattr(reader, "MARKER_SECONDS", 0.05)
    yield
    ended.set()


def test_an_operator_waits_no_longer_than_a_pod(hang: None, here: Context) -> None:
    """`status` and its like give a share up that hangs, too."""
    with pytest.raises(UnreachableError, match="did not answer within"):
        here.reader.understood()


async def test_a_look_may_take_every_deadline(here: Context) -> None:
    """`/healthz` is 200 while one cycle waits for the marker, a manifest and the worker."""
    sidecar = Sidecar(here)
    sidecar._runner.turned = time.monotonic() - MARKER_SECONDS - MANIFEST_SECONDS - 10
    assert sidecar.alive()
    sidecar._runner.turned -= 60
    assert not sidecar.alive()
