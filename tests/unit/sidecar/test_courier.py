"""What is brought to an API server: a real one, over HTTPS, that is told by a thread."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from agent import logs
from agent.errors import ConfigError
from agent.sidecar.kubernetes import client, courier
from agent.sidecar.kubernetes.courier import Courier
from agent.sidecar.kubernetes.pod import Pod
from agent.sidecar.kubernetes.series import Series
from agent.sync import events
from agent.sync.summary import SyncSummary
from tests.support.apiserver import ANNOTATION, NAMESPACE, POD, UID, ApiServer, api_server
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """An API server that lets the pod in; who finds it in trouble tries again soon."""
    monkeypatch.setattr(courier, "_FIRST_PAUSE", 0.02)
    with api_server(tmp_path / "account") as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


@contextmanager
def telling() -> Iterator[Courier]:
    """Run a courier while the block runs; what is left then is told."""
    numbers = iter(range(1000))
    names = Series(lambda: f"{POD}.{next(numbers):04}")
    made = Courier(lambda: client.connect(Pod(POD, NAMESPACE, UID), "nowhere"), names, logs.get())
    try:
        yield made
    finally:
        made.close(20)


def done(version: str) -> events.SyncDone:
    """Return the end of a sync that went well."""
    return events.SyncDone(SyncSummary(version, "v1", ended=0.0))


def failed(version: str) -> events.SyncFailed:
    """Return the end of a sync that did not."""
    return events.SyncFailed(SyncSummary(version, "v1", ended=0.0), "No.", kind="reload")


def test_what_is_active(server: ApiServer) -> None:
    """The pod says it, from the start on; where nothing is, it says nothing."""
    with telling() as told:
        told.hear(events.SidecarStarted("v1", "v1"))
        until(lambda: server.annotations == {ANNOTATION: "v1"})
        told.hear(events.Activated("v2"))
        until(lambda: server.annotations == {ANNOTATION: "v2"})
        told.hear(events.SidecarStarted(None, "v1"))
        until(lambda: server.annotations == {})
    assert server.events == {}


def test_events_in_order(server: ApiServer) -> None:
    """Each that matters is told, the same again as a count; of others nobody is asked."""
    with telling() as told:
        for event in (failed("v2"), events.Verified("v2", 7), failed("v2"), done("v2")):
            told.hear(event)
    assert server.told() == [("Warning", "ReloadFailed", 2), ("Normal", "ReleaseActivated", 1)]
    assert len(server.calls) == 3


def test_who_tells_does_not_wait(server: ApiServer) -> None:
    """An API server that hangs delays nothing, and the end only as long as was said."""
    server.hanging.set()
    numbers = Series(lambda: "one")
    made = Courier(lambda: client.connect(Pod(POD, NAMESPACE, UID), "nowhere"), numbers, logs.get())
    began = time.monotonic()
    for _ in range(1000):
        made.hear(done("v2"))
    made.close(0.05)
    assert time.monotonic() - began < 5
    server.hanging.clear()
    server.let_go.set()


def test_trouble_that_passes(server: ApiServer) -> None:
    """It is said once, as is its end; what was missed is told then, and no second time."""
    server.failing = 503
    with capture_logs() as said:
        with telling() as told:
            told.hear(events.SidecarStarted("v1", "v1"))
            told.hear(failed("v2"))
            until(lambda: len(server.calls) > 2)
            server.failing = 0
            until(server.told)
        assert server.annotations == {ANNOTATION: "v1"}
    assert server.told() == [("Warning", "ReloadFailed", 1)]
    assert [line["event"] for line in said] == ["kubernetes.unreachable", "kubernetes.reachable"]
    assert [line["log_level"] for line in said] == ["warning", "info"]


def test_what_cannot_be_told_for_long(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten; the annotation is always the last one."""
    monkeypatch.setattr(courier, "_AT_MOST", 3)
    server.failing = 500
    with telling() as told:
        for number in range(9):
            told.hear(done(f"v{number}"))
            told.hear(events.Activated(f"v{number}"))
        until(lambda: server.calls)
        server.failing = 0
        until(lambda: len(server.events) == 3)
    notes = [event["note"].split()[0] for event in server.events.values()]
    assert notes == ["v6", "v7", "v8"]
    assert server.annotations == {ANNOTATION: "v8"}


def test_what_is_not_allowed(server: ApiServer) -> None:
    """The log says once, for each of the two, what to do; nothing is tried again for it."""
    server.forbidden = {"create events", "patch pods/status"}
    with capture_logs() as said, telling() as told:
        for version in ("v2", "v3"):
            told.hear(events.Activated(version))
            told.hear(done(version))
            until(lambda: not told._is_behind())
    assert [code for *_, code in server.calls] == 4 * [403]
    assert [line["event"] for line in said] == 2 * ["kubernetes.refused"]
    first, second = (line["reason"] for line in said)
    assert first.startswith("the annotation is refused: 403: ")
    assert second.startswith("Events are refused: 403: ")
    assert all("Role" in line["remedy"] for line in said)


def test_the_last_words(server: ApiServer) -> None:
    """What is left at the end is told, but not to a server in trouble."""
    with telling() as told:
        told.hear(done("v2"))
    assert len(server.told()) == 1
    server.failing = 500
    with telling() as told:
        told.hear(done("v3"))
        until(lambda: told._failures)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert len(server.told()) == 1


def test_no_way_to_an_api_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is a mistake of the set-up, told at the start."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    threads = threading.active_count()
    with pytest.raises(ConfigError), telling():
        pass
    assert threading.active_count() == threads
