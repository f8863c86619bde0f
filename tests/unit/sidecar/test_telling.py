"""Who has Kubernetes told, and what a pod needs for that."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from agent import logs
from agent.errors import ConfigError
from agent.sidecar.kubernetes import telling
from agent.sync import events
from tests.support.apiserver import ANNOTATION, POD, ApiServer, api_server
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """An API server that lets the pod in."""
    with api_server(tmp_path / "account") as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


def test_a_pod_that_tells(server: ApiServer) -> None:
    """One listener has the API server told; a busy one may be told after the block has ended."""
    with telling.kubernetes(logs.get(), wanted=True) as listeners:
        for listener in listeners:
            listener.hear(events.Activated("v1"))
            listener.hear(events.ShareReachable())
    until(lambda: server.annotations == {ANNOTATION: "v1"} and server.events)
    (name,) = server.events
    assert name.startswith(f"{POD}.")


def test_a_pod_that_does_not(server: ApiServer) -> None:
    """Nobody listens, whatever the environment has."""
    with telling.kubernetes(logs.get(), wanted=False) as listeners:
        assert listeners == ()
    assert server.calls == []


def test_a_long_name(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Event's is cut to what the API server takes, and ends as a name may."""
    monkeypatch.setenv("POD_NAME", "a" * 229 + "-" + "b" * 20)
    with telling.kubernetes(logs.get(), wanted=True) as (listener,):
        listener.hear(events.ShareReachable())
    (name,) = server.events
    assert name.rpartition(".")[0] == "a" * 229


@pytest.mark.parametrize("missing", ["POD_NAME", "POD_NAMESPACE", "POD_UID"])
def test_a_pod_that_does_not_know_itself(
    missing: str, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing is named, and where it comes from."""
    monkeypatch.delenv(missing)
    with (
        pytest.raises(ConfigError, match=f"needs {missing}, .*k8s/components/events"),
        telling.kubernetes(logs.get(), wanted=True),
    ):
        pass


def test_without_the_library(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install is said."""
    for name in [name for name in sys.modules if name.startswith("agent.sidecar.kubernetes.c")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lightkube", None)
    with (
        pytest.raises(ConfigError, match=r"pip install 'model-agent\[kubernetes\]'"),
        telling.kubernetes(logs.get(), wanted=True),
    ):
        pass
