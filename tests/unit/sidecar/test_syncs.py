"""The syncs of a sidecar: one at a time, each with one end."""

from __future__ import annotations

import time

import pytest

from agent.sidecar.syncs import Syncs
from agent.sync import events
from agent.sync.listening import Events
from tests.support.parts import Heard


@pytest.fixture
def heard() -> Heard:
    """Who is told of each end."""
    return Heard()


@pytest.fixture
def syncs(heard: Heard) -> Syncs:
    """The syncs of a sidecar that starts."""
    return Syncs(Events(heard))


def test_the_steps_of_a_sync(syncs: Syncs, heard: Heard) -> None:
    """It begins with the look that led to its first step, and goes on until it is ended."""
    syncs.observed(5.0, desired="v2")
    sync = syncs.of("v2", previous="v1", number=3)
    syncs.observed(0.25, desired="v2")
    assert syncs.of("v2", previous="v2", number=9) is sync
    assert sync.phases == {"observe": 5.25}
    assert sync.seconds >= 5
    syncs.end(events.SyncDone, since_marker_seconds=7.0)
    assert heard.events == [events.SyncDone(sync, None, 7.0)]
    assert (sync.version, sync.previous, sync.number) == ("v2", "v1", 3)
    assert syncs.of("v2", previous="v2", number=1) is not sync


def test_its_clock_stops(syncs: Syncs, heard: Heard) -> None:
    """Whoever is told later in another thread tells of the same seconds."""
    syncs.of("v2", previous="v1", number=1)
    syncs.end(events.SyncFailed, "No.", kind="reload", retry_seconds=5.0)
    ended = heard.only(events.SyncFailed)
    before = ended.summary.seconds
    time.sleep(0.002)
    assert ended.summary.seconds == before


def test_without_a_sync(syncs: Syncs, heard: Heard) -> None:
    """A look that leads to nothing, a stop and a marker that moves end nothing."""
    syncs.observed(1.0, desired="v2")
    syncs.end(events.SyncStopped, "told to")
    syncs.supersede("v3")
    assert heard.events == []


def test_a_marker_that_moves_on(syncs: Syncs, heard: Heard) -> None:
    """The sync ends at the next look, which counts to it, and says what the marker names now."""
    sync = syncs.of("v2", previous="v1", number=1)
    syncs.observed(0.5, desired=None)
    assert heard.events == []
    syncs.observed(0.5, desired="v3")
    assert heard.events == [events.SyncSuperseded(sync, "the marker names v3 now")]
    assert sync.phases == {"observe": 1.0}


def test_a_marker_that_is_written_anew(syncs: Syncs, heard: Heard) -> None:
    """What is under way is ended for it, though it names the same release."""
    syncs.of("v2", previous="v1", number=1)
    syncs.supersede("v2")
    assert heard.only(events.SyncSuperseded).reason == "the marker was written again"


def test_a_step_of_another_release(syncs: Syncs) -> None:
    """It is a sync of its own."""
    first = syncs.of("v2", previous="v1", number=1)
    assert syncs.of("v1", previous="v1", number=1) is not first


def test_a_sync_that_another_ends(syncs: Syncs, heard: Heard) -> None:
    """It is handed over with its clock stopped; where none is open there is a new one."""
    sync = syncs.of("v2", previous="v1", number=1)
    assert syncs.take("v2") is sync
    assert sync.ended is not None
    other = syncs.take("v3")
    assert (other.version, other.previous) == ("v3", None)
    syncs.end(events.SyncStopped)
    assert heard.events == []
