"""A worker that the sidecar cannot talk to; the real one serves on behind that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.fronts import Front, Reply, front, passes
from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.fronts import Call
    from tests.faults.serving import Serving
    from tests.support.pods import Pod


def resets(admin: Front) -> None:
    """Reset every connection."""
    admin.fault = _reset


def hangs(admin: Front) -> None:
    """Accept every connection, and answer nothing until the test ends."""
    admin.fault = lambda *_: Reply(500 if admin.ended.wait() else 0)


def breaks(admin: Front) -> None:
    """Answer 500 to everything."""
    admin.fault = lambda *_: Reply(500, b"out of order")


def mend(admin: Front) -> None:
    """Let everything through again."""
    admin.fault = passes
    admin.listen()


@pytest.mark.parametrize(
    ("go_away", "how"),
    [
        pytest.param(
            Front.refuse,
            "accepts no connections",
            id="refused",
            marks=case("worker", "connection refused"),
        ),
        pytest.param(
            resets, "breaks connections off", id="reset", marks=case("worker", "connection resets")
        ),
        pytest.param(
            hangs,
            "accepts connections and does not answer",
            id="hangs",
            marks=case("worker", "connection hangs"),
        ),
        pytest.param(
            breaks,
            "does not answer GET /model as a worker does",
            id="500",
            marks=case("worker", "500 on GET /model"),
        ),
    ],
)
def test_a_worker_that_does_not_answer(
    go_away: Callable[[Front], None], how: str, pod: Pod
) -> None:
    """The old release stays, the new one waits, staged and checked, and any answer ends it."""
    with front() as admin, serving(pod, via=admin.to) as running:
        running.settle("v1")
        go_away(admin)
        running.mark("v2\n")
        until(lambda: waits_for(running, "v2"))
        running.assert_kept("v1")
        waiting = running.sidecar.status()["waiting"]
        assert waiting["what"] == f"the worker at {admin.url}, which {how}"
        told = running.sidecar.wait_for("worker.silent")
        assert (told["reason"], told["since"]) == (how, waiting["since"])
        assert running.sidecar.metric("model_agent_reload_attempts_total") == 0
        mend(admin)
        running.sidecar.look_now()
        running.settle("v2")
        assert admin.asked == ["v2"]
        running.sidecar.wait_for("worker.answers")
        assert running.sidecar.status()["waiting"] is None


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(resets, "does not answer", id="reset", marks=case("worker", "reload resets")),
        pytest.param(hangs, "does not answer", id="hangs", marks=case("worker", "reload hangs")),
        pytest.param(
            breaks,
            "answered /reload with 500: out of order",
            id="500",
            marks=case("worker", "500 on POST /reload"),
        ),
    ],
)
def test_a_worker_that_does_not_take_a_reload(
    spoil: Callable[[Front], None], said: str, pod: Pod
) -> None:
    """The old release stays, `/status` says why, and the new one is tried again, not given up."""
    with front() as admin, serving(pod, via=admin.to) as running:
        running.settle("v1")
        of_reloads_only(admin, spoil)
        running.mark("v2\n")
        failed = running.sidecar.wait_for("sync.failed", version="v2")
        assert said in failed["reason"]
        assert said in running.sidecar.status()["last_error"]
        running.assert_active("v1")
        assert running.sidecar.metric("model_agent_last_reload_successful") == 0
        mend(admin)
        running.sidecar.look_now()
        running.settle("v2")
        status = running.sidecar.status()
        assert (status["quarantined"], status["attempts"], status["last_error"]) == ({}, {}, None)


@case("worker", "reload arrives, its answer is lost")
def test_an_answer_that_is_lost(pod: Pod) -> None:
    """A worker that could not say that it took a reload is told again; it and the store agree."""
    with front() as admin, serving(pod, via=admin.to) as running:

        def loses(call: Call, pass_on: Callable[[], Reply]) -> Reply:
            reply = pass_on()
            return _reset() if call.asks_for == "v2" else reply

        admin.fault = loses
        running.mark("v2\n")
        running.sidecar.wait_for("sync.failed", version="v2")
        assert admin.asked[0] == "v2"
        running.sidecar.wait_for("reload.confirmed", version="v1")
        running.settle("v1")
        mend(admin)
        running.sidecar.look_now()
        running.settle("v2")


def waits_for(running: Serving, version: str) -> bool:
    """Whether a checked release waits for the worker, of which nothing is known."""
    status = running.sidecar.status()
    unknown = status["worker"] == {"version": None, "state": "unknown", "reason": None}
    doing = f"the worker does not answer, so {version} waits for it"
    return bool(unknown and status["doing"] == doing)


def of_reloads_only(admin: Front, spoil: Callable[[Front], None]) -> None:
    """Spoil what asks for a reload, and let all else through."""
    spoil(admin)
    fault = admin.fault
    admin.fault = lambda call, pass_on: (fault if call.asks_for else passes)(call, pass_on)


def _reset(*_: object) -> Reply:
    raise ConnectionResetError
