"""What is said to an API server, over a real socket, as a pod's ServiceAccount."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from agent.errors import ConfigError
from agent.sidecar.kubernetes import client
from agent.sidecar.kubernetes.client import Api, AwayError, RefusedError
from agent.sidecar.kubernetes.notices import Notice
from agent.sidecar.kubernetes.pod import Pod
from agent.sidecar.kubernetes.series import Event
from tests.support.apiserver import (
    ANNOTATION,
    NAMESPACE,
    POD,
    SECOND_TOKEN,
    UID,
    ApiServer,
    api_server,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AT = datetime(2026, 11, 23, 15, 0, 0, 0, tzinfo=UTC)
NOTICE = Notice("ReloadFailed", "It did not.", warning=True, same="x")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    """An API server."""
    with api_server(tmp_path / "account") as running:
        yield running


@pytest.fixture
def api(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """A client with what a pod has: a service in its environment, and an account's files."""
    where = urlsplit(server.url)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(where.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(where.port))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = client.connect(Pod(POD, NAMESPACE, UID), str(server.directory))
    yield made
    made.close()


def test_an_event(api: Api, server: ApiServer) -> None:
    """It is as the API server wants it, six digits of a second that has none included."""
    api.write(Event("worker.1", NOTICE), AT)
    assert server.told() == [("Warning", "ReloadFailed", 1)]
    assert server.events["worker.1"]["eventTime"] == "2026-11-23T15:00:00.000001Z"


def test_a_long_note_and_name(server: ApiServer, api: Api) -> None:
    """What is too long is cut where it must be, between letters."""
    api.write(Event("worker.1", Notice("ReloadFailed", "ö" * 2000)), AT)
    assert server.events["worker.1"]["note"] == "ö" * 512


def test_a_count(api: Api, server: ApiServer) -> None:
    """A repetition changes the series of the Event that is there; a lost one is made anew."""
    api.write(Event("worker.1", NOTICE), AT)
    api.write(Event("worker.1", NOTICE, 2), AT)
    assert server.told() == [("Warning", "ReloadFailed", 2)]
    del server.events["worker.1"]
    api.write(Event("worker.1", NOTICE, 3), AT)
    assert server.told() == [("Warning", "ReloadFailed", 1)]


def test_an_answer_that_was_lost(api: Api, server: ApiServer) -> None:
    """An Event that is there already is no trouble: it was this one."""
    for _ in range(2):
        api.write(Event("worker.1", NOTICE), AT)
    assert [code for *_, code in server.calls] == [201, 409]


def test_the_annotation(api: Api, server: ApiServer) -> None:
    """Only ours changes; where nothing is active, it goes."""
    server.annotations = {"theirs": "stays"}
    api.annotate("v1")
    assert server.annotations == {"theirs": "stays", ANNOTATION: "v1"}
    api.annotate(None)
    assert server.annotations == {"theirs": "stays"}


def test_a_token_that_is_renewed(api: Api, server: ApiServer) -> None:
    """The kubelet writes a new one every hour; it is read when the old one is refused."""
    api.annotate("v1")
    server.token.write_text(SECOND_TOKEN)
    api.annotate("v2")
    assert server.annotations == {ANNOTATION: "v2"}
    assert [code for *_, code in server.calls] == [200, 401, 200]


@pytest.mark.parametrize(
    ("code", "error"),
    [(429, AwayError), (500, AwayError), (503, AwayError), (401, RefusedError)],
)
def test_what_may_help_later(
    code: int, error: type[Exception], api: Api, server: ApiServer
) -> None:
    """What is the server's own trouble is tried again; a refusal is not."""
    server.failing = code
    with pytest.raises(error, match=f"^{code}: "):
        api.annotate("v1")


def test_what_is_not_allowed(api: Api, server: ApiServer) -> None:
    """A refusal says which right is missing."""
    server.forbidden = {"create events", "patch events", "patch pods/status"}
    with pytest.raises(RefusedError, match='cannot create resource "events"'):
        api.write(Event("worker.1", NOTICE), AT)
    with pytest.raises(RefusedError, match='cannot patch resource "events"'):
        api.write(Event("worker.1", NOTICE, 2), AT)
    with pytest.raises(RefusedError, match='cannot patch resource "pods/status"'):
        api.annotate("v1")


def test_an_event_that_is_wrong(api: Api, server: ApiServer) -> None:
    """What the API server finds wrong is refused for good."""
    with pytest.raises(RefusedError, match="reason: Required value"):
        api.write(Event("worker.1", Notice("", "nothing")), AT)


def test_another_certificate(server: ApiServer, api: Api) -> None:
    """A server that cannot show that it is the cluster's is not talked to."""
    other = server.directory.with_name("other")
    with api_server(other) as another:
        (server.directory / "ca.crt").write_bytes(another.certificate.cert.read_bytes())
        stranger = client.connect(Pod(POD, NAMESPACE, UID), str(server.directory))
        with pytest.raises(AwayError, match="CERTIFICATE_VERIFY_FAILED"):
            stranger.annotate("v1")
        stranger.close()
    assert server.calls == []


def test_a_pod_without_a_token(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a mistake of the set-up, which names the component that helps."""
    server.token.unlink()
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="k8s/components/events"):
        client.connect(Pod(POD, NAMESPACE, UID), str(server.directory))
