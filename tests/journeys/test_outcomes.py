"""Every attempt ends in exactly one line of the log that says how, and what it took."""

from __future__ import annotations

import fcntl
import shutil
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from agent.release import manifest
from tests.support import agents, cluster
from tests.support.scripted import ScriptedWorker, obey, scripted
from tests.support.shares import SNAPSHOT, TestShare, flip
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.support.agents import Result
    from tests.support.cluster import Cluster, Sidecar
    from tests.support.scripted import Script

ALWAYS = {"version", "previous", "outcome", "attempt", "seconds", "staged_bytes", "reused_bytes"}


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A share with v1 and v2."""
    return cluster.publish_tiny(tmp_path_factory.mktemp("releases"))


@pytest.fixture
def pod(releases: Path, tmp_path: Path) -> Cluster:
    """A pod whose store has v1 active."""
    return cluster.on_v1(releases, tmp_path)


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


def size(share: Path, version: str) -> int:
    """Bytes of a release."""
    release = share / "releases" / version
    files = (path for path in release.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files if path.name != "manifest.json")


def bump(pod: Cluster, sidecar: Sidecar, version: str) -> None:
    """Have the marker name a release, and the sidecar see it now."""
    (pod.share / "VERSION").write_text(f"{version}\n")
    sidecar.look_now()


@contextmanager
def serving_v1(pod: Cluster, script: Script = obey) -> Iterator[ScriptedWorker]:
    """Run a worker that serves v1 already."""
    with scripted(script) as worker:
        digest = manifest.parse((pod.share / "releases/v1/manifest.json").read_bytes()).digest
        worker.serve("v1", digest)
        yield worker


def stuck(worker: ScriptedWorker, request: dict[str, str]) -> int:
    """The script of a worker that never gets v2 loaded."""
    if request["version"] == "v2":
        worker.load(request)
        return 202
    return obey(worker, request)


def test_a_release_that_is_served(pod: Cluster) -> None:
    """`sync.done` has each phase and the bytes; going back to what is held stages nothing."""
    with serving_v1(pod) as worker, pod.sidecar(worker.url) as sidecar:
        bump(pod, sidecar, "v2")
        done = sidecar.wait_for("sync.done", version="v2")
        assert phases(done) == {"observe", "stage", "check", "reload", "activate"}
        assert (done["outcome"], done["previous"]) == ("success", "v1")
        assert done["staged_bytes"] > 0
        assert done["staged_bytes"] + done["reused_bytes"] == size(pod.share, "v2")
        bump(pod, sidecar, "v1")
        back = sidecar.wait_for("sync.done", version="v1")
        assert phases(back) == {"observe", "check", "reload", "activate"}
        assert (back["previous"], back["staged_bytes"], back["reused_bytes"]) == ("v2", 0, 0)
    assert told(sidecar.events) == [("sync.done", "v2", 1), ("sync.done", "v1", 1)]


def test_a_failure_that_is_tried_again(pod: Cluster) -> None:
    """`sync.failed` says which try it was, and taking the worker back is an attempt of its own."""
    with (
        serving_v1(pod, stuck) as worker,
        pod.sidecar(worker.url, "--reload-timeout", "300ms") as sidecar,
    ):
        bump(pod, sidecar, "v2")
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


def test_a_release_that_is_refused(pod: Cluster) -> None:
    """`release.quarantined` says what is wrong, and how far the attempt came."""
    weights = next((pod.share / "releases/v2").rglob("*.data"))
    flip(weights)
    with serving_v1(pod) as worker, pod.sidecar(worker.url) as sidecar:
        bump(pod, sidecar, "v2")
        line = sidecar.wait_for("release.quarantined")
        until(lambda: "quarantined" in sidecar.status()["doing"] or None)
    assert (line["outcome"], line["previous"]) == ("quarantined", "v1")
    assert weights.name in line["reason"]
    assert phases(line) == {"observe", "stage"}
    assert told(sidecar.events) == [("release.quarantined", "v2", 1)]


@pytest.mark.slow
def test_a_release_that_the_marker_leaves(pod: Cluster) -> None:
    """`sync.superseded` says what the marker names instead."""
    with serving_v1(pod, stuck) as worker, pod.sidecar(worker.url, poll="200ms") as sidecar:
        bump(pod, sidecar, "v2")
        worker.wait_asked(1)
        (pod.share / "VERSION").write_text("v1\n")
        line = sidecar.wait_for("sync.superseded", version="v2")
        sidecar.wait_for("sync.taken_back", version="v1")
    assert (line["outcome"], line["reason"]) == ("superseded", "the marker names v1 now")
    assert told(sidecar.events) == [("sync.superseded", "v2", 1), ("sync.taken_back", "v1", 1)]


@pytest.mark.slow
def test_a_release_that_waits_for_the_worker_and_is_left(pod: Cluster) -> None:
    """An attempt between two steps ends, too, when the marker moves on."""
    with scripted(obey) as gone:
        url = gone.url
    with pod.sidecar(url) as sidecar:
        bump(pod, sidecar, "v2")
        until(lambda: "waits for it" in sidecar.status()["doing"] or None)
        bump(pod, sidecar, "v1")
        line = sidecar.wait_for("sync.superseded", version="v2")
    assert phases(line) == {"observe", "stage", "check"}
    assert told(sidecar.events) == [("sync.superseded", "v2", 1)]


@pytest.mark.slow
def test_an_agent_that_is_stopped(pod: Cluster) -> None:
    """SIGTERM in the middle of an attempt ends it in a line, too."""
    with serving_v1(pod, stuck) as worker, pod.sidecar(worker.url) as sidecar:
        bump(pod, sidecar, "v2")
        worker.wait_asked(1)
        sidecar.process.send_signal(signal.SIGTERM)
        assert sidecar.process.wait(10) == 0
    assert told(sidecar.events) == [("sync.stopped", "v2", 1)]
    assert phases(ends(sidecar.events)[0]) == {"observe", "stage", "check", "reload"}


def test_nothing_to_do(pod: Cluster) -> None:
    """A look that finds nothing to do is no attempt; the start says what is active."""
    with serving_v1(pod) as worker, pod.sidecar(worker.url, poll="100ms") as sidecar:
        until(lambda: worker.looks > 3 or None)
        started = sidecar.wait_for("sidecar.started")
    assert (started["active"], started["desired"]) == ("v1", "v1")
    assert "refused" not in started
    assert ends(sidecar.events) == []


@pytest.fixture
def share(tmp_path: Path) -> TestShare:
    """Two synthetic releases, v1 promoted."""
    made = TestShare(tmp_path / "share")
    for version in ("v1", "v2"):
        made.add_files(version, {"model.onnx": version.encode() * 200_000})
    made.mark("v1")
    return made


def init(share: TestShare, *flags: str) -> Result:
    """Run `init` without a warm-up."""
    roots = ("--share", share.root, "--store", share.root.with_name("store"))
    share.root.with_name("store").mkdir(exist_ok=True)
    return agents.run("init", "--no-warm", *roots, *flags)


def only(done: Result) -> dict[str, Any]:
    """The one line that ends an attempt."""
    (line,) = ends(done.events)
    return line


def test_init_that_stages(share: TestShare) -> None:
    """`init.done` has the phases that ran and the bytes; a second run stages none."""
    first, second = only(init(share)), only(init(share))
    assert (first["event"], first["outcome"]) == ("init.done", "success")
    assert (first["version"], first["active"], first["previous"]) == ("v1", "v1", None)
    assert phases(first) == {"lock", "observe", "stage", "activate"}
    assert first["staged_bytes"] == share.manifest("v1").size
    assert phases(second) == {"lock", "observe", "verify", "activate"}
    assert (second["previous"], second["staged_bytes"]) == ("v1", 0)


def test_init_that_falls_back(share: TestShare) -> None:
    """`init.fell_back` is the only line, and says why; what was staged in vain counts."""
    init(share)
    flip(share.release("v2") / SNAPSHOT / "model.onnx")
    share.mark("v2", "previous: v1")
    done = init(share)
    line = only(done)
    assert done.code == 0
    assert (line["event"], line["outcome"]) == ("init.fell_back", "fell_back")
    assert (line["version"], line["active"], line["desired"]) == ("v2", "v1", "v2")
    assert "is corrupt" in line["reason"]
    assert phases(line) == {"lock", "observe", "stage", "verify", "activate"}


def test_init_that_fails(share: TestShare) -> None:
    """`init.failed` comes before the sentence, with the same reason, and names the exit code."""
    share.mark("v3")
    shutil.rmtree(share.root / "releases")
    done = init(share)
    line = only(done)
    assert (line["event"], line["outcome"], line["kind"]) == ("init.failed", "error", "missing")
    assert done.sentence == f"model-agent: {line['reason']}"
    assert done.code == 4


def test_init_that_is_stopped(share: TestShare) -> None:
    """`init.stopped`, if SIGTERM comes while it waits for another agent on the same store."""
    store = share.root.with_name("store")
    (store / ".agent").mkdir(parents=True)
    with (store / ".agent/lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        flags = ("--no-warm", "--share", share.root, "--store", store)
        with agents.start("init", *flags) as process:
            until(lambda: (store / "releases").is_dir() or None)
            process.send_signal(signal.SIGTERM)
            done = agents.finish(process)
    line = only(done)
    assert (line["event"], line["outcome"]) == ("init.stopped", "stopped")
    assert phases(line) == {"lock"}
    assert done.code == 143
