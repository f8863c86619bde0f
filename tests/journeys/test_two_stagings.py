"""Two agents that stage the same release into one store."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tests.support.pods import Pod
from tests.support.steps import steps_of

if TYPE_CHECKING:
    from pathlib import Path


class Watched(threading.Event):
    """A stop that tells when somebody who waits looks at it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()

    def is_set(self) -> bool:
        """As of any event."""
        self.asked.set()
        return super().is_set()


def test_who_waited_takes_what_the_other_staged(tmp_path: Path) -> None:
    """Staged once more, it would go from under whoever checks or serves it by now."""
    pod = Pod(tmp_path)
    pod.share.add("v1")
    one, other = pod.context(), pod.context()
    one.store.prepare()
    staged: list[str] = []

    def wait_and_stage() -> None:
        staged.append(steps_of(other).stage("v1", desired="v1").digest)

    waiting, stop = threading.Thread(target=wait_and_stage), Watched()
    vars(other)["stop"] = stop
    with one.store.lock(one.stop):
        waiting.start()
        assert stop.asked.wait(30)
        digest = steps_of(one).stage("v1", desired="v1").digest
        inode = one.store.path("v1").stat().st_ino
    waiting.join(30)
    assert staged == [digest]
    assert one.store.path("v1").stat().st_ino == inode
