"""Secrets, and paths of the machine: what the sidecar says with all that can be logged, logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.support import agents
from tests.support.pods import Pod
from tests.support.rest import rest_share
from tests.support.secrecy import checked
from tests.support.workers import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.serving import Serving
    from tests.support.rest import Kind

# Every library logs all that it has to say, and the agent writes all of it.
_TALKATIVE: Final = """\
import logging, structlog
filtering, configure = structlog.make_filtering_bound_logger, logging.basicConfig
structlog.make_filtering_bound_logger = lambda _: filtering(logging.DEBUG)
logging.basicConfig = lambda **given: configure(**given | {"level": logging.DEBUG})
"""


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("key", marks=case("security", "secrets: account key, refused by the share")),
        pytest.param("sas", marks=case("security", "secrets: SAS, refused by the share")),
    ],
)
def test_a_share_that_refuses_the_secret(kind: Kind, releases: Path, tmp_path: Path) -> None:
    """With all that can be logged, logged, no secret is in the logs, `/status` or `/metrics`."""
    (tmp_path / "sitecustomize.py").write_text(_TALKATIVE)
    talkative = {"PYTHONPATH": f"{tmp_path}:{agents.REPO}"}
    with rest_share(tmp_path / "root", fill=lambda disk: disk.fill_from(releases)) as rest:
        pod = Pod(tmp_path / "pod", rest.disk, env=rest.env(kind) | talkative)
        pod.agent("promote", "v1")
        pod.agent("init")
        with serving(pod) as running:
            running.settle("v1")
            for code in ("AuthenticationFailed", "AuthorizationFailure"):
                rest.double.fault("status", status=403, code=code, count=None)
                until(lambda: running.sidecar.status()["share"]["error"])
                checked(running.sidecar.get("/status").text)
                checked(running.sidecar.get("/metrics").text)
                running.assert_active("v1")
                rest.double.heal()
                running.sidecar.look_now()
                until(lambda: running.sidecar.status()["share"]["reachable"])
            pod.agent("promote", "v2")
            running.sidecar.look_now()
            running.settle("v2")
            assert any(e.get("level") == "debug" for e in running.sidecar.events)
            checked("".join(running.sidecar.lines))


def said_in_status(running: Serving, text: str) -> str:
    """Wait until `/status` says something; give all that it says."""

    def said() -> str | None:
        found = running.sidecar.get("/status").text
        return found if text in found else None

    return until(said)


@case("security", "`/status` while the share is gone, and while a release is refused")
def test_status_names_no_path(pod: Pod) -> None:
    """It says what is wrong, but no path out of the store; the log does."""
    away = pod.share.root.with_name("away")
    with serving(pod) as running:
        running.settle("v1")
        pod.share.root.rename(away)
        assert str(pod.root) not in said_in_status(running, "is not there")
        unreachable = running.sidecar.wait_for("share.unreachable")
        assert str(pod.share.root) in unreachable["error"]
        running.assert_active("v1")
        away.rename(pod.share.root)
        next(pod.share.release("v2").rglob("model.onnx")).unlink()
        running.mark("v2\n")
        assert str(pod.root) not in said_in_status(running, "model.onnx is missing")
        running.assert_active("v1")
