"""`--kubernetes-events`: what becomes of releases is told in the cluster, and never in the way."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.apiserver import ANNOTATION, NAMESPACE, POD, UID, ApiServer, api_server
from tests.support.pods import Pod, tiny_pod
from tests.support.scripted import ScriptedWorker, obey, scripted
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.scripted import Script
    from tests.support.sidecars import Sidecar

FLAG = "--kubernetes-events"


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    """A pod whose store has v1 active, and whose share has v2 as well."""
    return tiny_pod(tmp_path)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiServer]:
    """An API server that lets the pod in."""
    with api_server(tmp_path / "account") as running:
        yield running


@contextmanager
def running(
    pod: Pod, api: ApiServer, *flags: str, script: Script = obey
) -> Iterator[tuple[Sidecar, ScriptedWorker]]:
    """Run a sidecar that tells, beside a worker that serves v1."""
    with scripted(script) as worker:
        worker.serve("v1", pod.share.manifest("v1").digest)
        with pod.sidecar(worker.url, FLAG, *flags, env=api.environment()) as sidecar:
            yield sidecar, worker


def taken_back(sidecar: Sidecar) -> int:
    """How often the worker was."""
    return [event["event"] for event in sidecar.events].count("sync.taken_back")


def statuses(api: ApiServer) -> set[int]:
    """With what it answered so far."""
    return {code for _, _, code in api.calls}


def test_a_release_that_is_served(pod: Pod, api: ApiServer) -> None:
    """The pod says what is active, from the start on; an activation is a normal Event about it."""
    with running(pod, api) as (sidecar, _):
        until(lambda: api.annotations.get(ANNOTATION) == "v1" or None)
        pod.bump(sidecar, "v2")
        until(lambda: api.told() or None)
        assert api.annotations == {ANNOTATION: "v2"}
    assert api.told() == [("Normal", "ReleaseActivated", 1)]
    event = api.noted("ReleaseActivated")
    assert re.match(r"v2 is active, after v1: [\d.]+ s \(.*\bstage \d+\.\d+, ", event["note"])
    regarding = {"kind": "Pod", "namespace": NAMESPACE, "name": POD, "uid": UID}
    assert event["regarding"] == {"apiVersion": "v1", **regarding}
    assert statuses(api) == {200, 201}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["away", "hangs", "fails"])
def test_an_api_server_in_trouble(how: str, pod: Pod, api: ApiServer) -> None:
    """It delays nothing: the release is served, the agent ends in time, and one line tells."""
    if how == "away":
        kubeconfig = api.directory / "kubeconfig"
        kubeconfig.write_text(kubeconfig.read_text().replace(api.url, "https://127.0.0.1:9"))
    elif how == "hangs":
        api.hanging.set()
    else:
        api.failing = 503
    with running(pod, api) as (sidecar, _):
        pod.bump(sidecar, "v2")
        sidecar.wait_for("sync.done", version="v2")
        assert sidecar.get("/healthz").status_code == 200
        if how == "hangs":
            assert api.calls == []
        else:
            sidecar.wait_for("kubernetes.unreachable")
        sidecar.process.terminate()
        began = time.monotonic()
        assert sidecar.process.wait(10) == 0
        assert time.monotonic() - began < 5
    told = [each for each in sidecar.events if each["event"] == "kubernetes.unreachable"]
    assert len(told) == 1 or how == "hangs"
    assert api.told() == []
