"""`--kubernetes-events`: what becomes of releases is told in the cluster, and never in the way."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support import agents
from tests.support.apiserver import ANNOTATION, NAMESPACE, POD, UID, ApiServer, api_server
from tests.support.pods import Pod, tiny_pod
from tests.support.scripted import ScriptedWorker, obey, scripted, stuck
from tests.support.shares import flip
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


def test_a_release_that_is_refused(pod: Pod, api: ApiServer) -> None:
    """A quarantine is a warning; one that `init` found is told by the sidecar that starts then."""
    flip(next(pod.share.release("v2").rglob("*.data")))
    with running(pod, api) as (sidecar, _):
        pod.bump(sidecar, "v2")
        until(lambda: api.told() or None)
    with running(pod, api):
        until(lambda: len(api.told()) == 2 or None)
    assert api.told() == 2 * [("Warning", "ReleaseQuarantined", 1)]
    first, second = (event["note"] for event in api.events.values())
    assert first.startswith("v2 is refused and v1 stays active: releases/v2/")
    assert second == first
    assert api.annotations == {ANNOTATION: "v1"}


@pytest.mark.slow
def test_trouble_that_goes_on_is_one_event(pod: Pod, api: ApiServer) -> None:
    """A reload that fails at each try is one Event with a count, and so is the way back."""
    with running(pod, api, "--reload-timeout", "200ms", script=stuck) as (sidecar, _):
        pod.bump(sidecar, "v2")
        for attempt in (1, 2, 3):
            sidecar.wait_for("sync.failed", version="v2", attempt=attempt)
            until(lambda count=attempt: taken_back(sidecar) == count or None)  # type: ignore[misc]
            sidecar.look_now()
        until(lambda: ("Normal", "WorkerTakenBack", 2) in api.told() or None)
    assert api.told() == [("Warning", "ReloadFailed", 2), ("Normal", "WorkerTakenBack", 2)]
    assert "did not serve v2" in api.noted("ReloadFailed")["note"]
    assert 422 not in statuses(api)


def test_a_share_that_goes_away(pod: Pod, api: ApiServer) -> None:
    """It is a warning once, however often it is looked for, and its return is told."""
    with running(pod, api) as (sidecar, _):
        until(lambda: api.annotations or None)
        pod.share.root.rename(pod.root / "away")
        until(lambda: api.told() or None)
        sidecar.wait_for("share.unreachable")
        (pod.root / "away").rename(pod.share.root)
        until(lambda: len(api.told()) == 2 or None)
    assert api.told() == [("Warning", "ShareUnreachable", 1), ("Normal", "ShareReachable", 1)]


@pytest.mark.slow
def test_without_the_right_to(pod: Pod, api: ApiServer) -> None:
    """403: the log says once what to do, for each of the two, and releases go on as ever."""
    api.forbidden = {"create events", "patch pods/status"}
    with running(pod, api) as (sidecar, _):
        for version in ("v2", "v1"):
            pod.bump(sidecar, version)
            sidecar.wait_for("sync.done", version=version)
        until(lambda: [code for *_, code in api.calls].count(403) >= 4 or None)
        refused = [each for each in sidecar.events if each["event"] == "kubernetes.refused"]
        assert ["Events are" in each["reason"] for each in refused] == [False, True]
        assert all("Role" in each["remedy"] for each in refused)
        assert all("cannot" in each["reason"] for each in refused)
        api.forbidden = set()
        pod.bump(sidecar, "v2")
        until(lambda: api.told() or None)
        until(lambda: api.annotations == {ANNOTATION: "v2"} or None)


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


@pytest.mark.slow
def test_what_was_missed_is_told_later(pod: Pod, api: ApiServer) -> None:
    """When the API server is back, so are the Events, in order, and the annotation is the last."""
    api.failing = 500
    with running(pod, api) as (sidecar, _):
        for version in ("v2", "v1"):
            pod.bump(sidecar, version)
            sidecar.wait_for("sync.done", version=version)
        until(lambda: len(api.calls) > 1 or None)
        api.failing = 0
        sidecar.wait_for("kubernetes.reachable")
        until(lambda: len(api.told()) == 2 or None)
        until(lambda: api.annotations == {ANNOTATION: "v1"} or None)
    assert [event["note"][:2] for event in api.events.values()] == ["v2", "v1"]
    assert [event["event"] for event in sidecar.events].count("kubernetes.unreachable") == 1


def test_it_is_off_by_default(pod: Pod, api: ApiServer) -> None:
    """Without the flag nobody is asked, whatever the environment has."""
    with scripted(obey) as worker, pod.sidecar(worker.url, env=api.environment()) as sidecar:
        pod.bump(sidecar, "v2")
        sidecar.wait_for("sync.done", version="v2")
    assert api.calls == []


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("POD_UID", ["POD_UID", "downward API", "k8s/components/events"]),
        ("KUBECONFIG", ["cannot find the API server", "k8s/components/events"]),
    ],
)
def test_a_pod_without_what_it_needs(
    missing: str, words: list[str], api: ApiServer, tmp_path: Path
) -> None:
    """Exit 2 says what is missing, and where it comes from."""
    env = api.environment() | {"HOME": str(tmp_path)}
    env.pop(missing)
    done = Pod(tmp_path).run("sidecar", FLAG, "--listen", "127.0.0.1:0", env=env)
    assert done.code == 2
    assert [word for word in words if word not in done.sentence] == []


def test_without_the_extra(api: ApiServer, tmp_path: Path) -> None:
    """Exit 2 says what to install."""
    (tmp_path / "lightkube.py").write_text('raise ModuleNotFoundError("No module lightkube")')
    env = api.environment() | {"PYTHONPATH": f"{tmp_path}:{agents.REPO}"}
    done = Pod(tmp_path).run("sidecar", FLAG, "--listen", "127.0.0.1:0", env=env)
    assert done.code == 2
    assert "pip install 'model-agent[kubernetes]'" in done.sentence
