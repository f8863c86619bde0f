"""`--reload-method signal`: a worker that reads `current` on SIGHUP, and is confirmed as any."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.support import agents, signalled
from tests.support.pods import Pod, tiny_pod
from tests.support.traffic import Traffic
from tests.support.workers import copied_worker, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from tests.support.sidecars import Sidecar

SIGNALLED: Final = Path(signalled.__file__)


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    """A pod with v1 active, whose marker names v2."""
    made = tiny_pod(tmp_path)
    made.share.mark("v2", "previous: v1")
    return made


def sidecar_of(pod: Pod, url: str, process: Path, *flags: str) -> AbstractContextManager[Sidecar]:
    """A sidecar that tells a worker, which runs the program `process`, by a signal."""
    method = ("--reload-method", "signal", "--reload-process", process.name)
    return pod.sidecar(url, *method, *flags)


@pytest.fixture
def program(pod: Pod) -> Path:
    """The scripted worker under a name that no other test's has."""
    copy = pod.root / f"worker-{pod.root.name[-12:]}.py"
    shutil.copyfile(SIGNALLED, copy)
    return copy


@contextmanager
def worker(pod: Pod, program: Path, *flags: str) -> Iterator[str]:
    """Run the scripted worker on the store; gives its URL."""
    command = [sys.executable, str(program), str(pod.store), *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=agents.environment())
    assert process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_bumps_reach_a_worker_that_is_signalled(pod: Pod) -> None:
    """Each is confirmed at the worker's URL, `current` leads to it, and no request fails."""
    program = copied_worker(pod.root)
    with pod.worker(app=program) as running:
        running.wait("ready", "v1")
        traffic = Traffic(running.serving)
        traffic.start()
        with sidecar_of(pod, running.admin, program) as sidecar:
            for version in ("v2", "v1"):
                pod.agent("promote", version)
                sidecar.look_now()
                sidecar.wait_for("sync.done", version=version)
                traffic.wait_for(version)
        traffic.stop()
        assert traffic.failures == []
    assert pod.active() == "v1"
    assert (pod.state()["active"], pod.state()["pointed"]) == ("v1", None)


@pytest.mark.slow
def test_what_the_worker_cannot_load_is_taken_back(pod: Pod, program: Path) -> None:
    """`current` leads to v1 again, the worker is told of that, and v2 is quarantined."""
    with (
        worker(pod, program, "--fails", "v2") as url,
        sidecar_of(pod, url, program) as sidecar,
    ):
        assert "out of tune" in sidecar.wait_for("release.quarantined", version="v2")["reason"]
        assert sidecar.wait_for("reload.confirmed")["version"] == "v1"
    assert pod.active() == "v1"
    assert (pod.state()["active"], pod.state()["pointed"]) == ("v1", None)


@pytest.mark.slow
def test_a_signal_without_effect_is_no_reload(pod: Pod, program: Path) -> None:
    """A worker that handles the signal and goes on as before is not believed; it is tried again."""
    with (
        worker(pod, program, "--deaf") as url,
        sidecar_of(pod, url, program, "--reload-timeout", "1s") as sidecar,
    ):
        assert "did not serve v2 within 1 s" in sidecar.wait_for("sync.failed")["reason"]
        until(lambda: pod.active() == "v1")
        assert sidecar.metric('model_agent_syncs_total{status="quarantined"}') == 0
    assert pod.state()["pointed"] is None


@pytest.mark.slow
def test_a_worker_that_is_not_there_is_waited_for(pod: Pod, program: Path) -> None:
    """Without a process of that name nothing is active that no worker serves; then it is told."""
    other = program.with_name(f"other-{program.name}")
    shutil.copyfile(program, other)
    with worker(pod, other) as url, sidecar_of(pod, url, program) as sidecar:
        assert f"No process is called {program.name}" in sidecar.wait_for("sync.failed")["reason"]
        until(lambda: pod.active() == "v1")
    with worker(pod, program) as url, sidecar_of(pod, url, program) as sidecar:
        sidecar.wait_for("sync.done", version="v2")
    assert pod.active() == "v2"


@pytest.mark.slow
def test_a_crash_before_the_confirmation_is_taken_back(pod: Pod, program: Path) -> None:
    """The agent is killed while `current` leads to a release that nobody confirmed."""
    with worker(pod, program, "--deaf") as url:
        with sidecar_of(pod, url, program) as sidecar:
            until(lambda: pod.active() == "v2")
            assert pod.state()["pointed"] == "v2"
            sidecar.process.kill()
            sidecar.process.wait()
        assert pod.active() == "v2"
        with sidecar_of(pod, url, program, "--reload-timeout", "60s") as sidecar:
            event = sidecar.wait_for("reload.unconfirmed")
            assert (event["version"], event["active"]) == ("v2", "v1")
