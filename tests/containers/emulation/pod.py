"""A pod's life: pause, initContainers, sidecars, containers, and the end of it."""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from docker.errors import NotFound

from tests.containers.emulation.engine import Sandbox, pause, refuse_missing
from tests.containers.emulation.events import EVICTED, Events
from tests.containers.emulation.files import Volumes
from tests.containers.emulation.slot import Slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    import docker

    from tests.containers.emulation.spec import PodSpec
    from tests.k8s.rendering import Manifest

# A sidecar gets as much however long the containers took to end.
_LEAST_SECONDS: Final = 2.0
_HOUSEKEEPING_SECONDS: Final = 1.0
_START_SECONDS: Final = 300.0


class Pod:
    """A pod that lives while it is entered.

    Args:
        client: The engine.
        spec: What it consists of.
        manifests: Those that it refers to.
        directory: An empty one, for its volumes and messages.
        network: The engine's network that it is on.
        places: Directories by what leads to them; see `Volumes`.

    Raises:
        KeyError: a claim or a Secret that is not there, for which a pod would hang.
        ValueError: it asks for what no engine here has.
    """

    def __init__(
        self,
        client: docker.DockerClient,
        spec: PodSpec,
        manifests: list[Manifest],
        directory: Path,
        *,
        network: str,
        places: Mapping[str, Path],
    ) -> None:
        refuse_missing(spec)
        self.events = Events()
        self.spec = spec
        self.volumes = Volumes(spec, _new(directory / "volumes"), manifests, places)
        self._messages = _new(directory / "messages")
        name = f"pod-{secrets.token_hex(4)}"
        self._sandbox = Sandbox(
            client, pause(client, spec, name, network), spec, manifests, self.volumes
        )
        self.address = self._sandbox.address
        self._init = [self._slot(each) for each in spec.init_containers]
        self._main = [self._slot(each) for each in spec.containers]
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._run)
        self._start(self._keep_house)
        return self

    def __exit__(self, *_: object) -> None:
        self.delete(grace=0)
        self._sandbox.pause.remove(force=True)

    def __getitem__(self, name: str) -> Slot:
        """The container of this name."""
        return next(slot for slot in [*self._init, *self._main] if slot.name == name)

    def wait_ready(self, *, seconds: float = _START_SECONDS) -> None:
        """Wait until every container is ready."""
        sidecars = [slot for slot in self._init if slot.container.restart_policy]
        slots = [*sidecars, *self._main]
        self.events.wait(lambda: all(slot.ready for slot in slots), seconds=seconds)

    def message(self, container: str) -> str:
        """What `kubectl describe pod` shows of a container's last end, once there was one."""
        return self[container].message

    def wait(self, container: str, what: str, *, times: int = 1, seconds: float = 300) -> None:
        """Wait until this happened to a container so often."""
        self.events.wait(lambda: self.events.of(container).count(what) >= times, seconds=seconds)

    def exec(self, container: str, *command: str) -> tuple[int, str]:
        """Run a command in a container: its exit status, and what it printed to either stream."""
        running = self[container].running
        assert running, f"{container} does not run"
        done = running.exec_run(list(command))
        return done.exit_code, done.output.decode()

    def log(self, container: str) -> str:
        """All that a container printed, in all of its runs."""
        slot = self[container]
        earlier, running, now = slot.log, slot.running, ""
        # It may end meanwhile.
        with suppress(NotFound):
            now = running.logs().decode(errors="replace") if running else ""
        return earlier + now

    def delete(self, *, grace: float | None = None) -> None:
        """End it as a deletion does: the containers, and when they have gone, the sidecars."""
        self._stopping.set()
        seconds = self.spec.termination_grace_period_seconds if grace is None else grace
        deadline = time.monotonic() + seconds
        _all_at_once(lambda slot: slot.stop(deadline), self._main)
        for slot in reversed(self._init):
            slot.stop(max(deadline, time.monotonic() + (_LEAST_SECONDS if seconds else 0)))
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _slot(self, container: Any) -> Slot:
        return Slot(container, self._sandbox, self.events, self._messages)

    def _run(self) -> None:
        for slot in self._init:
            if slot.container.restart_policy:
                self._start(slot.run, restart="Always")
                while not (slot.started or self._stopping.wait(0.1)):
                    pass
            else:
                slot.run(restart="OnFailure")
        if not self._stopping.is_set():
            for slot in self._main:
                self._start(slot.run, restart=self.spec.restart_policy)

    def _keep_house(self) -> None:
        """As a kubelet does, evict the pod if a volume is over its limit."""
        while not self._stopping.wait(_HOUSEKEEPING_SECONDS):
            if over := self.volumes.over():
                self.events.note("pod", f"{EVICTED}: {', '.join(over)}")
                self.delete(grace=0)

    def _start(self, target: Callable[..., None], **options: Any) -> None:
        thread = threading.Thread(target=target, kwargs=options, daemon=True)
        self._threads.append(thread)
        thread.start()


def _new(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _all_at_once(act: Callable[[Slot], None], slots: Iterable[Slot]) -> None:
    threads = [threading.Thread(target=act, args=(slot,)) for slot in slots]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
