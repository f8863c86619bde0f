"""Secrets, and paths of the machine: what the sidecar says with all that can be logged, logged."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults.matrix import case
from tests.faults.pod import pod
from tests.support import agents
from tests.support.cluster import Cluster
from tests.support.rest import RestShare, rest_share
from tests.support.secrecy import checked
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.pod import Pod
    from tests.support.rest import Kind
    from tests.support.shares import TestShare

# Every library logs all that it has to say, and the agent writes all of it.
_TALKATIVE: Final = """\
import logging, structlog
filtering, configure = structlog.make_filtering_bound_logger, logging.basicConfig
structlog.make_filtering_bound_logger = lambda _: filtering(logging.DEBUG)
logging.basicConfig = lambda **given: configure(**given | {"level": logging.DEBUG})
"""


class RestCluster(Cluster):
    """A cluster whose share is asked over REST, by agents that log all they can."""

    def __init__(self, root: Path, rest: RestShare, kind: Kind) -> None:
        super().__init__(root)
        (root / "sitecustomize.py").write_text(_TALKATIVE)
        self._env = rest.env(kind)

    def environment(self) -> dict[str, str]:
        """The environment of the agent's processes."""
        ours = {
            "MODEL_AGENT_STORE": str(self.store),
            "MODEL_AGENT_CATALOG": str(self.root / "catalog.toml"),
            "PYTHONPATH": f"{self.root}:{agents.REPO}",
        }
        return agents.environment(self._env | ours)


def filled(releases: Path) -> Callable[[TestShare], object]:
    """Put the releases on a share."""
    return lambda share: shutil.copytree(releases, share.root, dirs_exist_ok=True)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("key", marks=case("security", "secrets: account key, refused by the share")),
        pytest.param("sas", marks=case("security", "secrets: SAS, refused by the share")),
    ],
)
def test_a_share_that_refuses_the_secret(kind: Kind, releases: Path, tmp_path: Path) -> None:
    """With all that can be logged, logged, no secret is in the logs, `/status` or `/metrics`."""
    (tmp_path / "pod").mkdir()
    with rest_share(tmp_path / "root", fill=filled(releases)) as rest:
        cluster = RestCluster(tmp_path / "pod", rest, kind)
        cluster.agent("promote", "v1")
        cluster.agent("init")
        with pod(cluster) as running:
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
            cluster.agent("promote", "v2")
            running.sidecar.look_now()
            running.settle("v2")
            assert any(e.get("level") == "debug" for e in running.sidecar.events)
            checked("".join(running.sidecar.lines))


def said_in_status(running: Pod, text: str) -> str:
    """Wait until `/status` says something; give all that it says."""

    def said() -> str | None:
        found = running.sidecar.get("/status").text
        return found if text in found else None

    return until(said)


@case("security", "`/status` while the share is gone, and while a release is refused")
def test_status_names_no_path(cluster: Cluster) -> None:
    """It says what is wrong, but no path out of the store; the log does."""
    away = cluster.share.with_name("away")
    with pod(cluster) as running:
        running.settle("v1")
        cluster.share.rename(away)
        assert str(cluster.root) not in said_in_status(running, "is not there")
        unreachable = running.sidecar.wait_for("share.unreachable")
        assert str(cluster.share) in unreachable["error"]
        running.assert_active("v1")
        away.rename(cluster.share)
        next((cluster.share / "releases" / "v2").rglob("model.onnx")).unlink()
        running.mark("v2\n")
        assert str(cluster.root) not in said_in_status(running, "model.onnx is missing")
        running.assert_active("v1")
