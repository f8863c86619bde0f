"""A mounted share that answers every call with an error, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.containers.remote import EIO, ESTALE, HANG, Fault
from tests.faults.matrix import case
from tests.faults.mounts import mounted_share, pod_on
from tests.support.workers import until

if TYPE_CHECKING:
    from tests.support.pods import Pod

_ONLY_THE_MARKER: Final = Fault("EIO", paths="VERSION")


def sick(name: str, fault: Fault, said: str) -> Any:
    """A fault, and what `/status` says of it."""
    return pytest.param(fault, said, id=name, marks=case("share", name))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        sick("hung: reads never return", HANG, "did not answer within 10 s"),
        sick("EIO", EIO, "Input/output error"),
        sick("EIO on the marker alone", _ONLY_THE_MARKER, "Input/output error"),
        sick("ESTALE", ESTALE, "Stale file handle"),
        sick("permission lost and back, on a mount", Fault("EACCES"), "Permission denied"),
    ],
)
def test_a_share_that_is_sick(fault: Fault, said: str, pod: Pod) -> None:
    """The old release stays and `/status` has the error; a bump meanwhile is served after."""
    with mounted_share(pod) as mount, pod_on(mount, pod) as running:
        with mount.fault(fault):
            (pod.share.root / "VERSION").write_text("v2\n")
            until(lambda: said in (running.sidecar.status()["share"]["error"] or ""))
            assert running.sidecar.status()["share"]["reachable"] is False
            until(lambda: running.sidecar.metric("model_agent_share_reachable") == 0)
            assert running.sidecar.status()["desired"] == "v1"
            running.assert_active("v1")
        running.settle("v2")
        assert running.sidecar.status()["share"]["reachable"] is True
        assert running.sidecar.metric("model_agent_share_reachable") == 1
