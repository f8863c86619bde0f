"""Who goes first among publishers: the same promises for a directory and for Azure Files."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from agent import logs
from agent.errors import RefusedError, StoppedError
from agent.machine import threads
from agent.shares import lock as locking
from agent.shares.azurefiles.share import AzureFilesShare
from agent.shares.directory import DirectoryShare
from agent.shares.lock import LockLostError
from agent.shares.lock_holder import RECORD_BYTES, Holder, parse
from tests.support.azure_double import running_double
from tests.support.services import service
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from agent.shares.base import Share
    from agent.shares.lock import Lock

NAME = "publish-v1"
PATH = f".locks/{NAME}"


@pytest.fixture(params=["directory", "azurefiles"])
def share(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Share]:
    """An empty share of each kind."""
    if request.param == "directory":
        yield DirectoryShare(tmp_path)
        return
    with running_double("--share=models") as double:
        yield AzureFilesShare(service(double.url, "models"))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(locking, "STALE_SECONDS", 0.5)
    monkeypatch.setattr(locking, "_LOOK_SECONDS", 0.02)


def held(
    share: Share, *, timeout: float = 20.0, stop: threading.Event | None = None
) -> AbstractContextManager[Lock]:
    """Hold the lock of v1."""
    stop = stop or threading.Event()
    return locking.held(share.lock_file(NAME), timeout=timeout, stop=stop, log=logs.get())


def record(share: Share) -> Holder:
    """Who holds it, as its file says."""
    data = share.read(PATH, RECORD_BYTES)
    assert data is not None
    assert len(data) == RECORD_BYTES
    lock_holder = parse(data)
    assert lock_holder is not None
    return lock_holder


def test_one_at_a_time(share: Share) -> None:
    """Of eight who want it at once, all get it, and never two together; nothing is left."""
    inside, worst, order = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal inside, worst
        with held(share) as lock:
            with order:
                inside += 1
                worst = max(worst, inside)
            lock.check()
            with order:
                inside -= 1

    working = [threads.start(work) for _ in range(8)]
    for each in working:
        each.result(60)
    assert worst == 1
    assert share.names("") == ()


def test_a_holder_that_lives_is_waited_for(share: Share) -> None:
    """One whose record changes keeps the lock for longer than a dead one would."""
    with held(share), capture_logs() as told:
        waiter = threads.start(lambda: held(share, timeout=1.5).__enter__())
        first = record(share).beat
        until(lambda: record(share).beat > first + 2)
        with pytest.raises(RefusedError, match=r"holds \.locks/publish-v1 and did not release it"):
            waiter.result(20)
    assert "lock.waiting" in {each["event"] for each in told}
    assert "lock.broken" not in {each["event"] for each in told}


def test_a_holder_that_is_silent_loses_it(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says nothing for too long is replaced, and is told so before it commits."""
    monkeypatch.setattr(locking, "BEAT_SECONDS", 3600.0)
    monkeypatch.setattr(Holder, "is_gone", lambda _: False)
    with held(share) as silent:
        with capture_logs() as told, held(share) as lock:
            assert "lock.broken" in {each["event"] for each in told}
            with pytest.raises(LockLostError, match="silent for too long"):
                silent.check()
            lock.check()
            with pytest.raises(LockLostError):
                silent.check()
        # Giving back what is no longer ours must not take it from whoever has it.
        with held(share) as other:
            silent.end()
            other.check()


def test_a_process_of_this_machine_that_died(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that a killed neighbour left is taken at once: nobody waits for its silence."""
    monkeypatch.setattr(locking, "STALE_SECONDS", 3600.0)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    me = Holder.me()
    with_child = replace(me, process=f"{child.pid}:{_started(child.pid)}")
    assert not with_child.is_gone()
    file = share.lock_file(NAME)
    assert file.take(None, with_child.record())
    with pytest.raises(RefusedError), held(share, timeout=0.2):
        pass
    child.kill()
    child.communicate()
    assert with_child.is_gone()
    with held(share, timeout=20) as lock:
        lock.check()


def _started(pid: int) -> str:
    from agent.shares import lock_holder

    return lock_holder._started(pid)


def test_a_stop_ends_the_wait(share: Share) -> None:
    """SIGTERM ends a wait at once."""
    stop = threading.Event()
    with held(share):
        waiter = threads.start(lambda: held(share, timeout=60, stop=stop).__enter__())
        stop.set()
        with pytest.raises(StoppedError):
            waiter.result(20)


def test_only_one_takes_a_dead_lock(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many who find the same dead lock, one at a time has it."""
    monkeypatch.setattr(locking, "STALE_SECONDS", 3600.0)
    dead = replace(Holder.me(), process="1:never", id=str(uuid.uuid4()))
    assert dead.is_gone()
    assert share.lock_file(NAME).take(None, dead.record())
    test_one_at_a_time(share)


def test_another_machine_says_nothing() -> None:
    """Process numbers of another machine, or container, are never judged here."""
    elsewhere = replace(Holder.me(), machine="another", process="1:never")
    assert not elsewhere.is_gone()
    assert not Holder.me().is_gone()
    assert replace(Holder.me(), process=f"{os.getpid()}:0").is_gone()
