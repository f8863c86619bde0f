"""The agent is told to stop in the middle of something, and another one goes on."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.faults.fronts import front
from tests.faults.matrix import case
from tests.faults.processes import checkers, open_files
from tests.faults.serving import serving
from tests.faults.slow import BIG, CHUNK, PASSED, enlarge, slow_pod
from tests.faults.whole import assert_whole
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.fronts import Call, Reply
    from tests.faults.serving import Serving
    from tests.support.pods import Pod
    from tests.support.sidecars import Sidecar

_STOP_SECONDS: Final = 5.0
# So many chunks take seconds to hash; the file has no blocks of its own.
_ZEROS: Final = 8192


@contextmanager
def stopped(running: Serving, active: str) -> Iterator[None]:
    """Stop the sidecar, see that the pod is as it was, and have another one run in the block."""
    stop(running.sidecar)
    assert running.pod.active() == active
    assert_whole(running.pod.store / "releases" / active)
    running.traffic.wait_for(active)
    with running.pod.sidecar(running.worker.admin) as running.sidecar:
        yield


def stop(sidecar: Sidecar) -> None:
    """Tell a sidecar to stop: it does so quickly, says so, and leaves no process behind."""
    began = time.monotonic()
    sidecar.process.send_signal(signal.SIGTERM)
    assert sidecar.process.wait(30) == 0
    assert time.monotonic() - began < _STOP_SECONDS
    assert checkers(sidecar.process.pid) == []
    sidecar.end()
    last = sidecar.events[-1]
    assert last["event"] == "sidecar.stopped", last
    assert [event for event in sidecar.events if event["level"] == "error"] == []


@case("sequence", "shutdown during staging")
def test_a_stop_while_staging(releases: Path, tmp_path: Path) -> None:
    """A read that hangs does not hold it up, and the next agent fetches only what is missing."""
    with slow_pod(releases, tmp_path) as (pod, share), serving(pod) as running:
        running.allowed = {"v1", "v4"}
        share.stop()
        pod.agent("promote", "v4")
        share.wait_until_stopped(pod.store / ".agent" / "staging" / "v4")
        with stopped(running, "v1"):
            assert not (pod.store / "releases" / "v4").exists()
            share.heal()
            running.settle("v4")
            assert running.sidecar.wait_for("release.staged")["resumed_bytes"] == PASSED * CHUNK


@case("sequence", "shutdown during verifying")
def test_a_stop_while_verifying(pod: Pod) -> None:
    """A release that no record vouches for is hashed at start; the next agent starts that anew."""
    activate_a_large_one(pod)
    with serving(pod) as running:
        running.allowed = {"v4", "v2"}
        until(lambda: BIG in open_files(running.sidecar.process.pid))
        assert running.sidecar.get("/healthz").status_code == 200
        assert running.sidecar.get("/readyz").status_code == 503
        with stopped(running, "v4"):
            running.sidecar.wait_for("release.verified", version="v4")
            running.settle("v4")
            running.mark("v2\n")
            running.settle("v2")


def activate_a_large_one(pod: Pod) -> None:
    """Have v4 active and desired: v1 with a large file more, of which there is no record."""
    release, big = pod.store / "releases" / "v4", pod.root / BIG
    shutil.copytree(pod.store / "releases" / "v1", release, copy_function=os.link)
    (release / "manifest.json").unlink()
    shutil.copy(pod.store / "releases" / "v1" / "manifest.json", release)
    with big.open("wb") as file:
        file.truncate(_ZEROS * CHUNK)
    enlarge(release, "v4", (hashlib.sha256(bytes(CHUNK)).hexdigest(),) * _ZEROS, big)
    (pod.store / "current").unlink()
    (pod.store / "current").symlink_to("releases/v4")
    (pod.share.root / "VERSION").write_text("v4\n")


@case("sequence", "shutdown while a model is checked")
def test_a_stop_while_a_model_is_checked(pod: Pod) -> None:
    """A check that hangs ends with the agent, and does not count against the release."""
    with serving(pod) as running:
        running.mark("v2\n")
        (child,) = until(lambda: checkers(running.sidecar.process.pid))
        os.kill(child, signal.SIGSTOP)
        with stopped(running, "v1"):
            assert not Path(f"/proc/{child}").exists()
            running.settle("v2")
            assert running.sidecar.status()["attempts"] == {}


@case("sequence", "shutdown while the worker loads")
def test_a_stop_while_the_worker_loads(pod: Pod) -> None:
    """What the worker loads meanwhile is taken for what it is by the next agent."""
    digest = pod.manifest("v1").digest
    with front() as between, serving(pod, via=between.to) as running:

        def still_loading(_: Call, pass_on: Callable[[], Reply]) -> Reply:
            serves = {"version": "v1", "digest": digest, "state": "loading"}
            return pass_on().changed(lambda model: model | serves if between.asked else model)

        between.fault = still_loading
        running.mark("v2\n")
        until(lambda: between.asked == ["v2"])
        stop(running.sidecar)
        assert (pod.active(), pod.state()["attempts"]) == ("v1", {})
        with pod.sidecar(running.worker.admin) as running.sidecar:
            running.settle("v2")
            assert running.sidecar.status()["attempts"] == {}
