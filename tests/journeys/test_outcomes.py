"""Every attempt ends in exactly one line of the log that says how, and what it took."""

from __future__ import annotations

import fcntl
import shutil
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import agents
from tests.support.pods import Pod, tiny_pod
from tests.support.scripted import ScriptedWorker, obey, scripted, stuck
from tests.support.shares import SNAPSHOT, flip
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.support.agents import Result
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


def test_a_release_that_is_served(pod: Pod) -> None:
    """`sync.done` has each phase and the bytes; going back to what is held stages nothing."""
    with serving_v1(pod) as worker, pod.sidecar(worker.url) as sidecar:
        pod.bump(sidecar, "v2")
        done = sidecar.wait_for("sync.done", version="v2")
        assert phases(done) == {"observe", "stage", "check", "reload", "activate"}
        assert (done["outcome"], done["previous"]) == ("success", "v1")
        assert done["staged_bytes"] > 0
        assert done["staged_bytes"] + done["reused_bytes"] == pod.share.manifest("v2").size
        pod.bump(sidecar, "v1")
        back = sidecar.wait_for("sync.done", version="v1")
        assert phases(back) == {"observe", "check", "reload", "activate"}
        assert (back["previous"], back["staged_bytes"], back["reused_bytes"]) == ("v2", 0, 0)
    assert told(sidecar.events) == [("sync.done", "v2", 1), ("sync.done", "v1", 1)]


def test_a_failure_that_is_tried_again(pod: Pod) -> None:
    """`sync.failed` says which try it was, and taking the worker back is an attempt of its own."""
    with (
        serving_v1(pod, stuck) as worker,
        pod.sidecar(worker.url, "--reload-timeout", "300ms") as sidecar,
    ):
        pod.bump(sidecar, "v2")
        first = sidecar.wait_for("sync.failed", version="v2")
        sidecar.wait_for("sync.taken_back", version="v1")
        sidecar.look_now()
        second = sidecar.wait_for("sync.failed", version="v2", attempt=2)
        sidecar.wait_for("sync.taken_back", version="v1")
        until(lambda: len(ends(sidecar.events)) == 4 or None)
    assert (first["outcome"], first["kind"], first["previous"]) == ("error", "reload", "v1")
    assert "did not serve v2" in first["reason"]
    assert phases(first) == {"observe", "stage", "check", "reload"}
    assert phases(second) == {"observe", "reload"}
    assert told(sidecar.events) == [
        ("sync.failed", "v2", 1),
        ("sync.taken_back", "v1", 1),
        ("sync.failed", "v2", 2),
        ("sync.taken_back", "v1", 1),
    ]


def test_a_release_that_is_refused(pod: Pod) -> None:
    """`release.quarantined` says what is wrong, and how far the attempt came."""
    weights = next(pod.share.release("v2").rglob("*.data"))
    flip(weights)
    with serving_v1(pod) as worker, pod.sidecar(worker.url) as sidecar:
        pod.bump(sidecar, "v2")
        line = sidecar.wait_for("release.quarantined")
        until(lambda: "quarantined" in sidecar.status()["doing"] or None)
    assert (line["outcome"], line["previous"]) == ("quarantined", "v1")
    assert weights.name in line["reason"]
    assert phases(line) == {"observe", "stage"}
    assert told(sidecar.events) == [("release.quarantined", "v2", 1)]


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


@pytest.mark.slow
def test_a_release_that_waits_for_the_worker_and_is_left(pod: Pod) -> None:
    """An attempt between two steps ends, too, when the marker moves on."""
    with scripted(obey) as gone:
        url = gone.url
    with pod.sidecar(url) as sidecar:
        pod.bump(sidecar, "v2")
        until(lambda: "waits for it" in sidecar.status()["doing"] or None)
        pod.bump(sidecar, "v1")
        line = sidecar.wait_for("sync.superseded", version="v2")
    assert phases(line) == {"observe", "stage", "check"}
    assert told(sidecar.events) == [("sync.superseded", "v2", 1)]


@pytest.mark.slow
def test_an_agent_that_is_stopped(pod: Pod) -> None:
    """SIGTERM in the middle of an attempt ends it in a line, too."""
    with serving_v1(pod, stuck) as worker, pod.sidecar(worker.url) as sidecar:
        pod.bump(sidecar, "v2")
        worker.wait_asked(1)
        sidecar.process.send_signal(signal.SIGTERM)
        assert sidecar.process.wait(10) == 0
    assert told(sidecar.events) == [("sync.stopped", "v2", 1)]
    assert phases(ends(sidecar.events)[0]) == {"observe", "stage", "check", "reload"}


def test_nothing_to_do(pod: Pod) -> None:
    """A look that finds nothing to do is no attempt; the start says what is active."""
    with serving_v1(pod) as worker, pod.sidecar(worker.url, poll="100ms") as sidecar:
        until(lambda: worker.looks > 3 or None)
        started = sidecar.wait_for("sidecar.started")
    assert (started["active"], started["desired"]) == ("v1", "v1")
    assert "refused" not in started
    assert ends(sidecar.events) == []


@pytest.fixture
def idle(tmp_path: Path) -> Pod:
    """A pod whose share has two synthetic releases, v1 promoted; its store is empty."""
    made = Pod(tmp_path)
    made.share.add_plain("v1", "v2")
    made.share.mark("v1")
    return made


def only(done: Result) -> dict[str, Any]:
    """The one line that ends an attempt."""
    (line,) = ends(done.events)
    return line


def test_init_that_stages(idle: Pod) -> None:
    """`init.done` has the phases that ran and the bytes; a second run stages none."""
    first, second = only(idle.init()), only(idle.init())
    assert (first["event"], first["outcome"]) == ("init.done", "success")
    assert (first["version"], first["active"], first["previous"]) == ("v1", "v1", None)
    assert phases(first) == {"lock", "observe", "stage", "activate"}
    assert first["staged_bytes"] == idle.share.manifest("v1").size
    assert phases(second) == {"lock", "observe", "verify", "activate"}
    assert (second["previous"], second["staged_bytes"]) == ("v1", 0)


def test_init_that_falls_back(idle: Pod) -> None:
    """`init.fell_back` is the only line, and says why; what was staged in vain counts."""
    idle.init()
    flip(idle.share.release("v2") / SNAPSHOT / "model.onnx")
    idle.share.mark("v2", "previous: v1")
    done = idle.init()
    line = only(done)
    assert done.code == 0
    assert (line["event"], line["outcome"]) == ("init.fell_back", "fell_back")
    assert (line["version"], line["active"], line["desired"]) == ("v2", "v1", "v2")
    assert "is corrupt" in line["reason"]
    assert phases(line) == {"lock", "observe", "stage", "verify", "activate"}


def test_init_that_fails(idle: Pod) -> None:
    """`init.failed` comes before the sentence, with the same reason, and names the exit code."""
    idle.share.mark("v3")
    shutil.rmtree(idle.share.root / "releases")
    done = idle.init()
    line = only(done)
    assert (line["event"], line["outcome"], line["kind"]) == ("init.failed", "error", "missing")
    assert done.sentence == f"model-agent: {line['reason']}"
    assert done.code == 4


def test_init_that_is_stopped(idle: Pod) -> None:
    """`init.stopped`, if SIGTERM comes while it waits for another agent on the same store."""
    store = idle.store
    (store / ".agent").mkdir()
    with (store / ".agent/lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with idle.start("init", "--no-warm") as process:
            until(lambda: (store / "releases").is_dir() or None)
            process.send_signal(signal.SIGTERM)
            done = agents.finish(process)
    line = only(done)
    assert (line["event"], line["outcome"]) == ("init.stopped", "stopped")
    assert phases(line) == {"lock"}
    assert done.code == 143
