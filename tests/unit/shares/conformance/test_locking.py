"""Publishers take turns: `lock_file`, and the lock that is made of it."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from agent.errors import RefusedError, StoppedError, UnreachableError
from agent.machine import threads
from agent.shares import lock as locking
from agent.shares import lock_holder
from agent.shares.lock import LockLostError
from agent.shares.lock_holder import Holder
from tests.support.workers import until
from tests.unit.shares.conformance.clients import connect
from tests.unit.shares.conformance.locks import NAME, held, record

if TYPE_CHECKING:
    from agent.shares.base import Share
    from tests.unit.shares.conformance.places import Place

pytestmark = pytest.mark.usefixtures("quick")


def test_a_lock_file_that_nobody_has(share: Share) -> None:
    """It is not there until it is taken, says its holder's record then, and goes with it."""
    mine = Holder.me()
    file = share.lock_file(NAME)
    assert file.look() is None
    assert file.take(None, mine.record())
    assert file.look() == share.lock_file(NAME).look() == mine.record()
    beaten = replace(mine, beat=1)
    file.beat(beaten.record())
    assert record(share) == beaten
    file.release()
    assert file.look() is None
    assert share.names("") == ()


def test_a_lock_file_that_another_has(share: Share, place: Place) -> None:
    """It is not taken from a holder who has said something since the last look, nor twice."""
    mine, other = Holder.me(), Holder.me()
    file, others = share.lock_file(NAME), connect(*place.reference).lock_file(NAME)
    assert file.take(None, mine.record())
    assert not others.take(None, other.record())
    seen = others.look()
    file.release()
    third = Holder.me()
    assert share.lock_file(NAME).take(None, third.record())
    assert not others.take(seen, other.record())
    assert record(share) == third


def test_a_lock_file_that_was_lost(share: Share, place: Place) -> None:
    """A holder that lost it can neither write to it nor take it from the new holder."""
    mine, other = Holder.me(), Holder.me()
    file, others = share.lock_file(NAME), connect(*place.reference).lock_file(NAME)
    assert file.take(None, mine.record())
    assert others.take(others.look(), other.record())
    with pytest.raises(LockLostError, match=f"Another publisher took .*{NAME}"):
        file.beat(mine.record())
    file.release()
    assert record(share) == other
    others.beat(other.record())
    others.release()
    with pytest.raises(LockLostError):
        file.beat(mine.record())
    assert share.names("") == ()


def test_locks_of_two_names(share: Share) -> None:
    """Locks of different names do not depend on each other."""
    one, other = share.lock_file("publish-v1"), share.lock_file("publish-v2")
    assert one.take(None, Holder.me().record())
    assert other.take(None, Holder.me().record())
    one.release()
    assert other.look() is not None
    other.release()
    assert share.names("") == ()


def test_one_at_a_time(place: Place) -> None:
    """Of several who want it at once, all get it, and never two together; nothing is left."""
    inside, most, order = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal inside, most
        with held(connect(*place.reference)) as lock:
            with order:
                inside += 1
                most = max(most, inside)
            lock.check()
            with order:
                inside -= 1

    working = [threads.start(work) for _ in range(6)]
    for each in working:
        each.result(60)
    assert most == 1
    assert place.share.names("") == ()


def test_only_one_takes_a_dead_lock(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many who find the same dead lock, one at a time has it."""
    monkeypatch.setattr(locking, "STALE_SECONDS", 3600.0)
    dead = replace(Holder.me(), process="1:never", id=str(uuid.uuid4()))
    assert dead.is_gone()
    assert place.share.lock_file(NAME).take(None, dead.record())
    test_one_at_a_time(place)


def test_a_holder_that_lives_is_waited_for(share: Share) -> None:
    """One whose record changes keeps the lock for longer than a dead one would."""
    with held(share), capture_logs() as told:
        waiter = threads.start(lambda: held(share, timeout=2 * locking.STALE_SECONDS).__enter__())
        first = record(share).beat
        until(lambda: record(share).beat > first + 2)
        with pytest.raises(RefusedError, match=rf"holds .*{NAME} and did not release it"):
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


def test_a_share_that_is_away_for_a_moment(place: Place) -> None:
    """A holder that cannot see the lock is told that, and still has it when the share is back."""
    with held(place.share) as lock:
        with place.away(), pytest.raises(UnreachableError):
            lock.check()
        lock.check()
    assert place.share.names("") == ()


def test_a_process_of_this_machine_that_died(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that a killed neighbour left is taken at once: nobody waits for its silence."""
    monkeypatch.setattr(locking, "STALE_SECONDS", 3600.0)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = lock_holder._started(child.pid)
    with_child = replace(Holder.me(), process=f"{child.pid}:{started}")
    assert not with_child.is_gone()
    assert share.lock_file(NAME).take(None, with_child.record())
    with pytest.raises(RefusedError), held(share, timeout=0.2):
        pass
    child.kill()
    child.communicate()
    assert with_child.is_gone()
    with held(share, timeout=20) as lock:
        lock.check()


def test_a_stop_ends_the_wait(share: Share) -> None:
    """SIGTERM ends a wait at once."""
    stop = threading.Event()
    with held(share):
        waiter = threads.start(lambda: held(share, timeout=60, stop=stop).__enter__())
        stop.set()
        with pytest.raises(StoppedError):
            waiter.result(20)
