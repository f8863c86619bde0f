"""Lives of the real worker, and a load of it that goes on for as long as a test wants."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.faults.serving import asked
from tests.support.workers import APP, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.fronts import Call, Front, Reply
    from tests.faults.serving import Serving
    from tests.support.pods import Pod
    from tests.support.sidecars import Sidecar

HELD: Final = Path(__file__).with_name("held.py")


class HeldLoad:
    """A load of a release by the worker, which waits for as long as it is held.

    Args:
        directory: Made; tells the worker.
        version: The release.
    """

    def __init__(self, directory: Path, version: str) -> None:
        directory.mkdir()
        self._directory = directory
        self._version = version
        self.times = 0

    @property
    def worker(self) -> dict[str, Any]:
        """What `tests.support.workers.worker` runs: the worker, whose loads can be held."""
        found = os.pathsep.join([str(ROOT), str(APP.parent)])
        return {"app": HELD, "HELD": str(self._directory), "PYTHONPATH": found}

    def at_reload(self, call: Call, pass_on: Callable[[], Reply]) -> Reply:
        """Hold it as soon as the sidecar asks for it: a `Fault`."""
        if call.asks_for == self._version:
            self.hold()
        return pass_on()

    def hold(self) -> None:
        """Have every load of it wait from now on."""
        self.times += 1
        (self._directory / self._version).touch()

    def let_go(self) -> None:
        """Have the load that waits go on, and further ones not wait."""
        (self._directory / self._version).unlink(missing_ok=True)


@contextmanager
def living(pod: Pod, admin: Front, sidecar: Sidecar, **worker_flags: Any) -> Iterator[Serving]:
    """Run a worker while the block runs, then kill it: the kubelet's part is the next one."""
    with pod.worker(**worker_flags) as worker:
        worker.wait("ready")
        with asked(pod, worker, sidecar) as running:
            admin.to(worker.admin)
            yield running
        worker.process.kill()
        worker.process.wait()
        admin.refuse()
