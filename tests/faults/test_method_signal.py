"""`--reload-method signal`, and processes that are not the worker's."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults import late
from tests.faults.fronts import front
from tests.faults.loads import living
from tests.faults.matrix import case
from tests.faults.named import by_signal, heir, replaced, stranger
from tests.faults.serving import serving
from tests.support.workers import copied_worker, until

if TYPE_CHECKING:
    from tests.faults.serving import Serving
    from tests.support.pods import Pod

LATE: Final = Path(late.__file__)
WITHOUT_KILL: Final = ("setpriv", "--bounding-set=-kill", "--inh-caps=-kill")
# Another user's, who may read the files of a test all the same.
AS_NOBODY: Final = (
    *("setpriv", "--reuid=65534", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
)
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The worker's program under a name of its own."""
    return copied_worker(tmp_path)


@case("method", "signal: process missing")
def test_a_process_that_is_not_there(pod: Pod, program: Path) -> None:
    """`current` leads back to what serves, and `/status` names the process that is missed."""
    missing = f"missing-{program.name}"
    with serving(pod, *by_signal(missing), app=program) as running:
        running.settle("v1")
        running.mark("v2\n")
        assert_not_told(running, f"No process is called {missing}")
        with replaced(running, *by_signal(program.name)):
            running.settle("v2")


@case("method", "signal: wrong process, which it would end")
def test_a_process_that_the_signal_would_end(pod: Pod, program: Path) -> None:
    """A process that does not handle SIGHUP is never sent it."""
    other = pod.root / f"other-{secrets.token_hex(4)}.py"
    with (
        stranger(other) as process,
        serving(pod, *by_signal(other.name), app=program) as running,
    ):
        running.settle("v1")
        running.mark("v2\n")
        assert_not_told(running, "does not handle SIGHUP, which would end it")
        assert process.poll() is None
        with replaced(running, *by_signal(program.name)):
            running.settle("v2")


@case("method", "signal: wrong process, which handles it", "confirmation needed all the same")
def test_a_signal_without_effect(pod: Pod, program: Path) -> None:
    """A signal proves nothing: what the worker does not say that it serves is not active."""
    other = pod.root / f"other-{secrets.token_hex(4)}.py"
    told = pod.root / "told"
    with (
        stranger(other, told=told),
        serving(pod, *by_signal(other.name), app=program) as running,
    ):
        running.settle("v1")
        running.mark("v2\n")
        assert_not_told(running, "did not serve v2 within 5 s: it serves v1")
        assert told.exists()
        with replaced(running, *by_signal(program.name)):
            running.settle("v2")


@case("method", "signal: several matching")
def test_several_of_one_name(pod: Pod, program: Path) -> None:
    """None of them is signalled; once one is left, it is."""
    told = pod.root / "told"
    with serving(pod, *by_signal(program.name), app=program) as running:
        running.settle("v1")
        with stranger(pod.root / "other" / program.name, told=told):
            running.mark("v2\n")
            assert_not_told(running, f"Several processes are called {program.name}")
            assert not told.exists()
        running.sidecar.look_now()
        running.settle("v2")


@root_only
@case("method", "signal: no permission")
def test_another_user_s_process(pod: Pod, program: Path) -> None:
    """The reason names the process and what to set; the same user, or the right, ends it."""
    pod.prefix = WITHOUT_KILL
    with serving(pod, *by_signal(program.name), app=program, prefix=AS_NOBODY) as running:
        running.settle("v1")
        running.mark("v2\n")
        assert_not_told(running, f"({program.name}) belongs to another user")
        pod.prefix = ()
        with replaced(running, *by_signal(program.name)):
            running.settle("v2")


@case("method", "signal: pid reused")
def test_a_number_that_is_another_process_by_now(pod: Pod, program: Path) -> None:
    """No request fails before and after it died; who has its number by now is left alone."""
    reached, go = pod.root / "reached", pod.root / "go"
    pod.prefix = (sys.executable, str(LATE), str(reached), str(go))
    with front() as admin, pod.sidecar(admin.url, *by_signal(program.name)) as sidecar:
        with living(pod, admin, sidecar, app=program) as running:
            running.settle("v1")
            running.mark("v2\n")
            until(reached.exists)
        with heir(running.worker.process.pid) as process:
            go.touch()
            reason = sidecar.wait_for("sync.failed", version="v2")["reason"]
            assert f"No process is called {program.name}" in reason
            assert process.poll() is None
            assert (pod.active(), sidecar.status()["active"]) == ("v1", "v1")
        with living(pod, admin, sidecar, app=program) as running:
            running.traffic.wait_for("v1")
            sidecar.look_now()
            running.settle("v2")


def assert_not_told(running: Serving, reason: str) -> None:
    """The attempt failed for this reason, which blames no release, and v1 is active again."""
    assert reason in running.sidecar.wait_for("sync.failed", version="v2")["reason"]
    running.settle("v1")
    status = running.sidecar.status()
    assert reason in status["last_error"]
    assert (status["pointed"], status["quarantined"], status["attempts"]) == (None, {}, {})
    assert running.sidecar.metric("model_agent_last_reload_successful") == 0
