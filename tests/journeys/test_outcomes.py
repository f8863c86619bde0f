"""Every attempt ends in exactly one line of the log that says how, and what it took."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.pods import Pod, tiny_pod
from tests.support.scripted import ScriptedWorker, obey, scripted, stuck
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.support.scripted import Script

ALWAYS = {"version", "previous", "outcome", "attempt", "seconds", "staged_bytes", "reused_bytes"}


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    """A pod whose store has v1 active, and whose share has v2 as well."""
    return tiny_pod(tmp_path)


def ends(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines that end attempts, each seen to be whole."""
    found = [event for event in events if "outcome" in event]
    for line in found:
        assert line.keys() >= ALWAYS, line
        assert phases(line), line
        assert sum(line[f"{name}_seconds"] for name in phases(line)) <= line["seconds"] + 0.01
        assert ("reason" in line) == (
            line["outcome"] not in {"success", "taken_back", "repaired"}
        ), line
    return found


def phases(line: dict[str, Any]) -> set[str]:
    """The phases that a line has durations of."""
    known = ("lock", "observe", "stage", "verify", "check", "reload", "activate")
    return {name for name in known if f"{name}_seconds" in line}


def told(events: Iterable[dict[str, Any]]) -> list[tuple[str, str, int]]:
    """Name, release and number of each attempt that ended."""
    return [(line["event"], line["version"], line["attempt"]) for line in ends(events)]


@contextmanager
def serving_v1(pod: Pod, script: Script = obey) -> Iterator[ScriptedWorker]:
    """Run a worker that serves v1 already."""
    with scripted(script) as worker:
        worker.serve("v1", pod.share.manifest("v1").digest)
        yield worker


@pytest.mark.slow
def test_a_release_that_the_marker_leaves(pod: Pod) -> None:
    """`sync.superseded` says what the marker names instead."""
    with serving_v1(pod, stuck) as worker, pod.sidecar(worker.url, poll="200ms") as sidecar:
        pod.bump(sidecar, "v2")
        worker.wait_asked(1)
        pod.share.mark("v1")
        line = sidecar.wait_for("sync.superseded", version="v2")
        sidecar.wait_for("sync.taken_back", version="v1")
    assert (line["outcome"], line["reason"]) == ("superseded", "the marker names v1 now")
    assert told(sidecar.events) == [("sync.superseded", "v2", 1), ("sync.taken_back", "v1", 1)]


def test_nothing_to_do(pod: Pod) -> None:
    """A look that finds nothing to do is no attempt; the start says what is active."""
    with serving_v1(pod) as worker, pod.sidecar(worker.url, poll="100ms") as sidecar:
        until(lambda: worker.looks > 3 or None)
        started = sidecar.wait_for("sidecar.started")
    assert (started["active"], started["desired"]) == ("v1", "v1")
    assert "refused" not in started
    assert ends(sidecar.events) == []
