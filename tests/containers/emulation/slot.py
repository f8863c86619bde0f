"""One container of a pod, through all of its runs."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from docker.errors import APIError

from tests.containers.emulation.probing import Probing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from docker.models.containers import Container as Running

    from tests.containers.emulation.engine import Sandbox
    from tests.containers.emulation.events import Events
    from tests.containers.emulation.spec import Container, Probe, RestartPolicy

_TICK_SECONDS: Final = 0.1
_RESTART_SECONDS: Final = 1.0
# What a kubelet keeps of the log of a container that failed.
_MESSAGE_BYTES: Final = 2048
STARTED, READY, UNREADY, PRE_STOP, SIGTERM, SIGKILL = (
    "started",
    "ready",
    "not ready",
    "preStop",
    "SIGTERM",
    "SIGKILL",
)


class Slot:
    """A container that is started, watched, and started again."""

    def __init__(
        self, container: Container, sandbox: Sandbox, events: Events, directory: Path
    ) -> None:
        self.container = container
        self.name = container.name
        self.started = False
        self.ready = False
        self.log = ""
        self.message = ""
        self.running: Running | None = None
        self._sandbox = sandbox
        self._events = events
        self._left = directory / container.name
        self._stopping = threading.Event()
        self._idle = threading.Event()
        self._idle.set()

    def run(self, *, restart: RestartPolicy) -> None:
        """Run it, and again as its policy has it, until it is stopped."""
        self._idle.clear()
        while not self._stopping.is_set():
            code = self._run_once()
            if restart == "Never" or (restart == "OnFailure" and code == 0):
                break
            self._stopping.wait(_RESTART_SECONDS)
        self._idle.set()

    def stop(self, deadline: float) -> None:
        """End it: its hook, SIGTERM, and at the deadline SIGKILL."""
        self._stopping.set()
        self._pre_stop(deadline)
        self.signal(SIGTERM)
        if not self._idle.wait(max(0.0, deadline - time.monotonic())):
            self.signal(SIGKILL)
            self._idle.wait()

    def signal(self, name: str) -> None:
        """Send its first process a signal; none if it has ended by itself."""
        try:
            if self.running:
                self.running.kill(name)
                self._events.note(self.name, name)
        except APIError as error:
            if "is not running" not in str(error):
                raise

    def _run_once(self) -> int:
        self.running = self._sandbox.start(self.container, self._left)
        self._events.note(self.name, STARTED)
        if self._stopping.is_set():  # while it started: whoever stops it saw nothing to signal
            self.signal(SIGKILL)
        code = self._watch(self.running)
        self.started = self.ready = False
        output: str = self.running.logs().decode(errors="replace")
        self.log += output
        # FallbackToLogsOnError
        self.message = self._left.read_text() or (output[-_MESSAGE_BYTES:] if code else "")
        self.running.remove()
        self.running = None
        if code:
            self._events.note(self.name, f"says: {self.message.strip()}")
        self._events.note(self.name, f"ended with {code}")
        return code

    def _watch(self, running: Running) -> int:
        make = self._probing
        startup = make(self.container.startup_probe)
        others = make(self.container.liveness_probe), make(self.container.readiness_probe)
        while (state := _state(running))["Running"]:
            if not self._stopping.is_set():
                self._look(startup, *others)
            time.sleep(_TICK_SECONDS)
        if state["OOMKilled"]:
            self._events.note(self.name, "OOMKilled")
        return int(state["ExitCode"])

    def _look(
        self, startup: Probing | None, liveness: Probing | None, readiness: Probing | None
    ) -> None:
        if startup and not startup.passed:
            self._ask(startup)
            return
        self.started = True
        if liveness:
            self._ask(liveness)
        if readiness:
            readiness.look()
        self._set_ready(readiness is None or readiness.passed)

    def _ask(self, probing: Probing) -> None:
        probing.look()
        if probing.failed:
            self._events.note(self.name, "probe failed")
            self.signal(SIGKILL)

    def _set_ready(self, ready: bool) -> None:
        if ready != self.ready:
            self.ready = ready
            self._events.note(self.name, READY if ready else UNREADY)

    def _probing(self, probe: Probe | None) -> Probing | None:
        if probe is None:
            return None
        return Probing(probe, self.container, self._sandbox.address)

    def _pre_stop(self, deadline: float) -> None:
        lifecycle = self.container.lifecycle
        if lifecycle is None or self.running is None:
            return
        self._events.note(self.name, PRE_STOP)
        command = lifecycle.pre_stop.exec.command
        hook = threading.Thread(target=_execute, args=(self.running, command), daemon=True)
        hook.start()
        hook.join(max(0.0, deadline - time.monotonic()))


def _execute(running: Running, command: Sequence[str]) -> None:
    """Run a command in a container to its end.

    Unlike `exec_run`, which then asks for its status: the engine may have forgotten it by then.
    """
    engine = running.client.api
    # A container may end by itself between the two calls: then there is nothing to run it in.
    with suppress(APIError):
        engine.exec_start(engine.exec_create(running.id, command)["Id"])


def _state(running: Running) -> dict[str, bool]:
    running.reload()
    state: dict[str, bool] = running.attrs["State"]
    return state
