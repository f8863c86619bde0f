"""A worker that answers, and does not say that it serves what it was asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.fronts import Reply, front, passes
from tests.faults.matrix import case
from tests.faults.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.fronts import Call, Fault
    from tests.support.pods import Pod

    PassOn = Callable[[], Reply]


def forgets(call: Call, pass_on: PassOn) -> Reply:
    """Answer 200 to a reload of v2, and do nothing."""
    return Reply(200, b"{}") if call.asks_for == "v2" else pass_on()


class Claims:
    """Forget a reload of v2, too, but claim it: v2 is the target, and in this state.

    Args:
        state: Which.
    """

    def __init__(self, state: str) -> None:
        self._state = state
        self._wanted: dict[str, str] | None = None

    def __call__(self, call: Call, pass_on: PassOn) -> Reply:
        """See `Fault`."""
        if call.asks_for:
            self._wanted = json.loads(call.body) if call.asks_for == "v2" else None
            return forgets(call, pass_on)
        return pass_on().changed(self._claim)

    def _claim(self, model: dict[str, Any]) -> dict[str, Any]:
        if self._wanted is None:
            return model
        target = {key: self._wanted[key] for key in ("version", "digest")}
        return model | {"target": target, "state": self._state}


def renames(_: Call, pass_on: PassOn) -> Reply:
    """Load v2, and say of it that it has another content."""

    def change(model: dict[str, Any]) -> dict[str, Any]:
        return model | ({"digest": "0" * 64} if model["version"] == "v2" else {})

    return pass_on().changed(change)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        pytest.param(
            forgets,
            "asked for another release than v2 in the meantime, or forgot the request",
            id="forgets",
            marks=case("worker", "200, and nothing happens"),
        ),
        pytest.param(
            Claims("loading"),
            "did not serve v2 within 3 s: it serves v1",
            id="loads for ever",
            marks=case("worker", "200, but never loads"),
        ),
        pytest.param(
            Claims("ready"),
            "did not serve v2 within 3 s: it serves v1",
            id="ready with v1",
            marks=case("worker", "says ready with the old version"),
        ),
        pytest.param(
            renames,
            "did not serve v2 within 3 s: it serves v2 (000000000000) and is ready",
            id="another digest",
            marks=case("worker", "answers with another digest"),
        ),
    ],
)
def test_a_worker_that_is_not_believed(fault: Fault, said: str, pod: Pod) -> None:
    """No reload counts but one that the worker names by version and digest; v1 stays till then."""
    with front() as admin, serving(pod, "--reload-timeout", "3s", via=admin.to) as running:
        running.settle("v1")
        admin.fault = fault
        running.mark("v2\n")
        assert said in running.sidecar.wait_for("sync.failed", version="v2")["reason"]
        assert said in running.sidecar.status()["last_error"]
        running.settle("v1")
        assert running.sidecar.metric('model_agent_syncs_total{status="success"}') == 0
        assert running.sidecar.status()["quarantined"] == {}
        admin.fault = passes
        running.sidecar.look_now()
        running.settle("v2")
