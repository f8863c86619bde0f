"""The pods of `k8s/`, as `kubectl kustomize` renders them, emulated on an engine."""

from __future__ import annotations

import time
from threading import Thread
from typing import TYPE_CHECKING, Final

import pytest

from tests.containers.emulation.slot import PRE_STOP, SIGTERM, STARTED
from tests.containers.node import AGENT, INIT, WORKER, Node, served
from tests.k8s.rendering import combine, render
from tests.support.traffic import Traffic
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.containers.emulation import Pod
    from tests.support import pods

OK: Final = "ended with 0"
ENDS: Final = [(WORKER, PRE_STOP), (WORKER, SIGTERM), (WORKER, OK), (AGENT, SIGTERM), (AGENT, OK)]


@pytest.fixture
def pod(node: Node, operators: pods.Pod) -> Iterator[Pod]:
    """The pod of `k8s/overlays/cpu`, ready."""
    with node.pod(render("cpu")) as made:
        made.wait_ready()
        yield made


def traffic(pod: Pod) -> Traffic:
    """Requests to the pod's worker, from now on."""
    sent = Traffic(f"http://{pod.address}:8080")
    sent.start()
    return sent


def test_it_comes_up_in_order(pod: Pod) -> None:
    """`init` ends, the sidecar is up, and then the worker starts; nothing is tried twice."""
    happened = [
        (event.container, event.what)
        for event in pod.events.all()
        if event.what in (STARTED, OK) or "ended" in event.what
    ]
    assert happened == [(INIT, STARTED), (INIT, OK), (AGENT, STARTED), (WORKER, STARTED)]
    assert pod.events.at(AGENT, "ready") < pod.events.at(WORKER, STARTED)
    assert served(pod) == "v1"


def test_it_is_bumped(pod: Pod, operators: pods.Pod) -> None:
    """The worker follows the marker, and no request fails; nothing is restarted."""
    sent = traffic(pod)
    sent.wait_for("v1")
    operators.agent("promote", "v2")
    sent.wait_for("v2")
    sent.stop()
    assert sent.failures == []
    assert set(sent.by_release) == {"v1", "v2"}
    code, status = pod.exec(AGENT, "model-agent", "status")
    assert (code, "v2" in status) == (0, True)
    assert [pod.events.of(name).count(STARTED) for name in (INIT, AGENT, WORKER)] == [1, 1, 1]


def test_the_sidecar_is_killed(pod: Pod, operators: pods.Pod) -> None:
    """The worker serves on, the sidecar comes back, asks for no reload, and brings the bump."""
    sent = traffic(pod)
    sent.wait_for("v1")
    pod[AGENT].signal("SIGKILL")
    pod.wait(AGENT, "ended with 137")
    sent.wait_for("v1", more=20)
    pod.wait(AGENT, "ready", times=2)
    assert "reload.requested" not in pod.log(AGENT)
    operators.agent("promote", "v2")
    sent.wait_for("v2")
    sent.stop()
    assert sent.failures == []
    assert pod.events.of(WORKER).count(STARTED) == 1


def test_the_worker_is_killed(pod: Pod, operators: pods.Pod) -> None:
    """It comes back by itself and gets to the newest release again, though the share is away."""
    operators.agent("promote", "v2")
    until(lambda: served(pod) == "v2")
    operators.share.root.rename(operators.share.root.with_name("away"))
    pod[WORKER].signal("SIGKILL")
    pod.wait(WORKER, "ended with 137")
    pod.wait(WORKER, "ready", times=2)
    until(lambda: served(pod) == "v2")


def test_it_ends_in_order(pod: Pod) -> None:
    """The worker's hook, its SIGTERM, its end, and then the sidecar's; no request fails before."""
    sent = traffic(pod)
    sent.wait_for("v1")
    began = time.monotonic()
    deletion = Thread(target=pod.delete)
    deletion.start()
    pod.wait(WORKER, PRE_STOP)
    sent.wait_for("v1", more=20)
    sent.stop()
    deletion.join()
    assert sent.failures == []
    order = [pod.events.at(*each) for each in ENDS]
    assert order == sorted(order)
    assert time.monotonic() - began < pod.spec.termination_grace_period_seconds / 2


def test_a_sidecar_of_the_old_sort(node: Node, operators: pods.Pod) -> None:
    """`plain-sidecar` comes up, is bumped, and both get SIGTERM at once."""
    components = ["local-share", "cpu", "small-model", "plain-sidecar"]
    with node.pod(combine(node.directory("overlay"), components)) as pod:
        pod.wait_ready()
        assert served(pod) == "v1"
        operators.agent("promote", "v2")
        until(lambda: served(pod) == "v2")
        pod.delete()
        assert pod.events.of(WORKER)[-3:] == [PRE_STOP, SIGTERM, OK]
        assert pod.events.of(AGENT)[-2:] == [SIGTERM, OK]
        assert pod.events.at(AGENT, SIGTERM) < pod.events.at(WORKER, SIGTERM)
