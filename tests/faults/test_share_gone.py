"""A share, or a release on it, that is gone or may not be read."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.support.workers import until

if TYPE_CHECKING:
    from tests.faults.serving import Serving
    from tests.support.pods import Pod


@pytest.fixture
def as_a_user(pod: Pod) -> None:
    """Have agents be bound to permissions as a user is, who may be root here."""
    if not os.geteuid():
        pod.prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--")


def assert_unreachable(running: Serving, said: str) -> None:
    """Wait until the sidecar says what is wrong with the share; the old release stays."""
    until(lambda: said in (running.sidecar.status()["share"]["error"] or ""))
    assert running.sidecar.status()["share"]["reachable"] is False
    until(lambda: running.sidecar.metric("model_agent_share_reachable") == 0)
    running.assert_active("v1")


def settle(running: Serving, version: str) -> None:
    """Wait until a release is served and the share is well."""
    running.settle(version)
    assert running.sidecar.status()["share"]["reachable"] is True
    assert running.sidecar.metric("model_agent_share_reachable") == 1


@case("share", "gone")
def test_the_share_is_gone(pod: Pod) -> None:
    """The old release stays and `/status` says so; a bump that came meanwhile is served after."""
    away = pod.root / "away"
    with serving(pod) as running:
        pod.share.root.rename(away)
        assert_unreachable(running, "is not there")
        (away / "VERSION").write_text("v2\n")
        away.rename(pod.share.root)
        settle(running, "v2")


@case("share", "permission lost and back")
def test_the_share_may_not_be_read(as_a_user: None, pod: Pod) -> None:
    """The old release stays and `/status` says so; a bump that came meanwhile is served after."""
    with serving(pod) as running:
        mode = pod.share.root.stat().st_mode
        pod.share.root.chmod(0)
        assert_unreachable(running, "Permission denied")
        pod.share.root.chmod(mode)
        running.mark("v2\n")
        settle(running, "v2")


@case("share", "permission lost and back: a release")
def test_a_release_may_not_be_read(as_a_user: None, pod: Pod) -> None:
    """It is not held against the release: once it may be read, it is served."""
    weights = next(pod.share.release("v2").rglob("*.onnx.data"))
    weights.chmod(0)
    with serving(pod) as running:
        running.mark("v2\n")
        until(lambda: "Permission denied" in (running.sidecar.status()["last_error"] or ""))
        assert weights.name in running.sidecar.status()["last_error"]
        running.assert_active("v1")
        weights.chmod(0o644)
        settle(running, "v2")
        assert running.sidecar.metric("model_agent_quarantined_releases") == 0


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("deleted", marks=case("share", "release deleted while active")),
        pytest.param("renamed", marks=case("share", "release renamed while active")),
    ],
)
def test_the_active_release_is_gone(how: str, pod: Pod) -> None:
    """What the store holds is served on, and served again when the marker comes back to it."""
    release = pod.share.release("v1")
    with serving(pod) as running:
        running.settle("v1")
        if how == "deleted":
            shutil.rmtree(release)
        else:
            release.rename(release.with_name("v1-old"))
        running.mark("v1\n# again\n")
        until(lambda: len([e for e in running.sidecar.events if e["event"] == "marker.read"]) == 2)
        running.assert_active("v1")
        running.mark("v2\n")
        running.settle("v2")
        running.mark("v1\n")
        running.settle("v1")
        assert running.sidecar.status()["last_error"] is None
