"""What befalls the share in the middle of staging."""

from __future__ import annotations

import shutil
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.containers.remote import EIO, ESTALE, HANG, Fault
from tests.faults.matrix import case
from tests.faults.mounts import half_staged, in_small_chunks, mounted_share, pod_on, staged_part
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.containers.mounting import Mount
    from tests.faults.serving import Serving
    from tests.support.pods import Pod

_V2: Final = "releases/v2/*"


@pytest.fixture
def mount(pod: Pod) -> Iterator[Mount]:
    """The mounted share of a pod; its v2 has many chunks."""
    in_small_chunks(pod, "v2")
    with mounted_share(pod) as made:
        yield made


def sick(name: str, fault: Fault, said: str) -> Any:
    """A fault that reads end with, and what is said of it."""
    return pytest.param(
        replace(fault, paths=_V2), said, id=name, marks=case("share", f"{name} while staging")
    )


def assert_resumed(running: Serving) -> None:
    """What had been staged was not read again."""
    assert running.sidecar.wait_for("release.staged", version="v2")["resumed_bytes"] > 0


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        sick("EIO", EIO, "Input/output error"),
        sick("ESTALE", ESTALE, "Stale file handle"),
        sick("permission lost", Fault("EACCES"), "Permission denied"),
    ],
)
def test_reads_fail(fault: Fault, said: str, mount: Mount, pod: Pod) -> None:
    """The old release stays, `/status` has the error, and later it goes on where it stopped."""
    with pod_on(mount, pod) as running:
        with half_staged(running, mount), mount.fault(fault):
            until(lambda: said in (running.sidecar.status()["last_error"] or ""))
            assert "v2" in running.sidecar.status()["last_error"]
            running.assert_active("v1")
        running.sidecar.look_now()
        running.settle("v2")
        assert_resumed(running)
        assert running.sidecar.metric("model_agent_quarantined_releases") == 0


@case("share", "hung while staging: a read that returns late")
def test_a_read_hangs_and_returns(mount: Mount, pod: Pod) -> None:
    """The old release stays while it hangs, and staging goes on by itself once it does not."""
    with pod_on(mount, pod) as running:
        with half_staged(running, mount), mount.fault(replace(HANG, paths=_V2)):
            assert running.sidecar.status()["doing"] == "stage v2"
            running.assert_active("v1")
        running.settle("v2")


@pytest.mark.parametrize(
    ("paths", "part"),
    [
        pytest.param(_V2, 0, id="read", marks=case("share", "hung while staging: a read")),
        pytest.param(
            *("releases/v2/*/tokenizer.json", 1),
            id="open",
            marks=case("share", "hung while staging: an open"),
        ),
    ],
)
def test_a_newer_marker_while_it_hangs(paths: str, part: int, mount: Mount, pod: Pod) -> None:
    """What never returns keeps no other release from being served."""
    with pod_on(mount, pod) as running:
        running.allowed = {"v1", "v3"}
        with half_staged(running, mount), mount.fault(replace(HANG, paths=paths)):
            until(lambda: staged_part(pod.store) >= part)
            running.mark("v3\n")
            running.settle("v3")
        assert running.sidecar.status()["attempts"] == {}


@case("share", "hung while staging, and SIGTERM")
def test_sigterm_while_it_hangs(mount: Mount, pod: Pod) -> None:
    """The agent ends within 5 s all the same; the next one goes on where it stopped."""
    with pod_on(mount, pod) as running:
        with half_staged(running, mount), mount.fault(replace(HANG, paths=_V2)):
            began = time.monotonic()
            running.sidecar.process.send_signal(signal.SIGTERM)
            assert running.sidecar.process.wait(20) == 0
            assert time.monotonic() - began < 5
            running.traffic.wait_for("v1")
        with pod.sidecar(running.worker.admin, "--share", str(mount.path)) as running.sidecar:
            running.settle("v2")
            assert_resumed(running)


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("deleted", marks=case("share", "release deleted while staged from")),
        pytest.param("renamed", marks=case("share", "release renamed while staged from")),
    ],
)
def test_the_release_goes_away(how: str, mount: Mount, pod: Pod) -> None:
    """The old release stays, `/status` says what is missing; put back, it is used as it was."""
    release, aside = pod.share.release("v2"), pod.share.root / "aside"
    with pod_on(mount, pod) as running:
        with half_staged(running, mount):
            if how == "deleted":
                shutil.copytree(release, aside)
                shutil.rmtree(release)
            else:
                release.rename(aside)
            until(lambda: "missing" in (running.sidecar.status()["last_error"] or ""))
            running.assert_active("v1")
        aside.rename(release)
        running.sidecar.look_now()
        running.settle("v2")
        assert_resumed(running)
