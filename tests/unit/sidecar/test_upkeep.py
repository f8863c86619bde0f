"""The upkeep of a store: when it is put in order, read again and repaired, and what is put off."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from agent.errors import NoSpaceError, StoppedError
from agent.sidecar.upkeep import Upkeep
from agent.store import records
from agent.sync.record import load
from agent.sync.state import Rot
from tests.support.parts import WEIGHTS, Parts
from tests.support.shares import flip, rot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.sync.steps import Steps

NOW = 1e-9  # all of a release is due at every look


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """An agent with v1 active, and v2 beside it."""
    made = Parts(tmp_path)
    made.hold("v1", "v2", active="v1")
    return made


class Beside:
    """Carries steps out at once, and counts them.

    Attributes:
        error: What every step ends in, if anything.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.count = 0
        self.error: Exception | None = None

    async def __call__(self, step: Callable[[Steps], object]) -> None:
        """Do a step."""
        self.count += 1
        if self.error:
            raise self.error
        step(self._parts.steps())


@pytest.fixture
def run(parts: Parts) -> Beside:
    """What the upkeep has its steps done by."""
    return Beside(parts)


def upkeep(parts: Parts, run: Beside, interval: float = NOW) -> Upkeep:
    """Return the upkeep of the store."""
    return Upkeep(parts.store, parts.record, run, interval, parts.context.log)


async def test_a_store_that_needs_nothing(parts: Parts, run: Beside) -> None:
    """No step is taken before any decision."""
    await upkeep(parts, run).mend()
    assert run.count == 0


@pytest.mark.parametrize("lost", ["current", ".agent/verified", ".agent/staging"])
async def test_what_was_lost_is_mended(lost: str, parts: Parts, run: Beside) -> None:
    """It is put back, by whoever of the two looks next."""
    path = parts.store.root / lost
    path.unlink() if path.is_symlink() else shutil.rmtree(path)
    keeps = upkeep(parts, run)
    await keeps.mend()
    assert (parts.store.active(), parts.store.is_prepared()) == ("v1", True)
    assert "v1" in parts.store.verified()
    await keeps.mend()
    assert run.count == 1


async def test_what_cannot_be_mended_is_tried_once(parts: Parts, run: Beside) -> None:
    """A release that is not right is not read at every turn; once mended, it is looked after."""
    records.forget(parts.store.agent, "v1")
    flip(parts.weights("v1"))
    keeps = upkeep(parts, run)
    for _ in range(3):
        await keeps.mend()
    assert run.count == 1
    flip(parts.weights("v1"))
    parts.steps().verify("v1")
    await keeps.mend()
    records.forget(parts.store.agent, "v1")
    await keeps.mend()
    assert run.count == 2


async def test_a_failure_is_put_off(parts: Parts, run: Beside) -> None:
    """It may have read a whole release to no avail; each failure is said, with the pause."""
    run.error = NoSpaceError("It is full.", remedy="Make room.")
    (parts.store.root / "current").unlink()
    keeps = upkeep(parts, run)
    with capture_logs() as said:
        for _ in range(3):
            await keeps.mend()
        keeps._not_before = time.monotonic()
        await keeps.mend()
    assert run.count == 2
    line: dict[str, Any] = {"event": "store.upkeep_failed", "log_level": "warning"}
    line |= {"error": "It is full. Make room."}
    assert said == [line | {"retry_seconds": 5.0}, line | {"retry_seconds": 10.0}]
    assert not await keeps.look()
    assert run.count == 2


async def test_a_stop_is_not_put_off(parts: Parts, run: Beside) -> None:
    """The marker moved on: it goes on at the next turn."""
    run.error = StoppedError()
    keeps = upkeep(parts, run)
    with capture_logs() as said:
        assert not await keeps.look()
        assert not await keeps.look()
    assert (run.count, said) == (2, [])


async def test_a_look_that_finds_something(parts: Parts, run: Beside) -> None:
    """It says so, once; after that it is for the repair."""
    keeps = upkeep(parts, run)
    assert not await keeps.look()
    rot(parts.weights("v1"))
    assert await keeps.look()
    assert not await keeps.look()
    assert run.count == 2


@pytest.mark.parametrize("why", ["never", "nothing active", "not verified"])
async def test_what_is_not_read_again(why: str, parts: Parts, run: Beside) -> None:
    """Nothing, if the interval is 0; nor what is not known to have been right."""
    if why == "nothing active":
        (parts.store.root / "current").unlink()
    elif why == "not verified":
        records.forget(parts.store.agent, "v1")
    assert not await upkeep(parts, run, 0.0 if why == "never" else NOW).look()
    assert run.count == 0


async def test_a_repair_that_fails(parts: Parts, run: Beside) -> None:
    """Why is said, and kept with what is rotten; a stop is no failure."""
    parts.record.update(rot=Rot("v1", (WEIGHTS,), "2026-11-23T15:00:00Z"))
    keeps = upkeep(parts, run)
    run.error = StoppedError()
    with capture_logs() as said:
        assert not await keeps.repair("v1")
    assert said == []
    run.error = NoSpaceError("It is full.", remedy="Make room.")
    with capture_logs() as said:
        assert not await keeps.repair("v1")
    line = {"event": "store.repair_failed", "log_level": "warning", "version": "v1"}
    assert said == [line | {"error": "It is full. Make room."}]
    found = load(parts.store.agent).rot
    assert found
    assert found.reason == "It is full. Make room."
    run.error = None
    assert await keeps.repair("v1")
