"""Lets a child process warm models, and says at which step it hangs if it does."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from typing import IO, TYPE_CHECKING, Final

import msgspec

from agent.errors import KilledError, NoSpaceError, StoppedError, WarmupError
from agent.files import durable
from agent.machine import children
from agent.warmup.protocol import Line, Outcome, Step

if TYPE_CHECKING:
    import threading

    from structlog.typing import FilteringBoundLogger

    from agent.machine.children import Child
    from agent.warmup.protocol import Request

# How often a step that takes long is logged.
_BEAT_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.02
# Signals that a runtime ends itself by; others come from outside, as when a terminal stops all at
# once.
_CRASHES: Final = {
    *(signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT),
    *(signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS),
}
# glibc raises the size from which it gives memory back at once, up to 32 MiB, and then keeps what
# each layer of a long text took: measured 492 MiB for bge-large without this, 61 MiB with it.
_FRUGAL: Final = {"MALLOC_MMAP_THRESHOLD_": "131072"}

_CHILD: Final = "agent.warmup.child"


def ask(
    request: Request, *, stop: threading.Event, timeout: float, log: FilteringBoundLogger
) -> Outcome:
    """Let a child process answer `request`, and return its answer.

    Raises:
        WarmupError: It took longer than `timeout` seconds, was killed, or could not start.
        NoSpaceError: There is no room for what it is asked.
        StoppedError: `stop` was set.
    """
    try:
        return _ask(request, stop, timeout, log)
    except OSError as error:
        raise _not_started(error) from error


def _ask(
    request: Request, stop: threading.Event, timeout: float, log: FilteringBoundLogger
) -> Outcome:
    with tempfile.TemporaryFile() as question, tempfile.TemporaryFile() as answer:
        question.write(msgspec.json.encode(request))
        question.seek(0)
        with (
            tempfile.TemporaryFile() as said,
            children.started(
                _CHILD, stdin=question, stdout=answer, stderr=said, env=_FRUGAL
            ) as child,
        ):
            status = _Watch(child, answer, log).wait(stop, timeout)
            said.seek(0)
            return _read(status, _lines(answer), said.read())


def _not_started(error: OSError) -> NoSpaceError | WarmupError:
    """Return the error for a child that the system did not start: the release is not to blame."""
    if error.errno in durable.FULL:
        return NoSpaceError(
            f"The warm-up could not start: {tempfile.gettempdir()} is full.",
            remedy="Give that volume, or the node's disk, more room.",
        )
    return WarmupError(
        f"The warm-up could not start: {error.strerror or error}.",
        remedy="Look at the container's limits of processes and memory, and whether "
        "/tmp can be written.",
    )


class _Watch:
    """Waits for a child, and remembers the step that it is at."""

    def __init__(self, child: Child, answer: IO[bytes], log: FilteringBoundLogger) -> None:
        self._child = child
        self._answer = answer
        self._log = log
        self._doing = "starting"
        self._since = self._logged = time.monotonic()

    def wait(self, stop: threading.Event, timeout: float) -> int:
        until = time.monotonic() + timeout
        while (status := self._child.poll()) is None:
            if stop.wait(_POLL_SECONDS):
                raise StoppedError
            self._look()
            if time.monotonic() > until:
                seconds = time.monotonic() - self._since
                raise WarmupError(
                    f"The warm-up did not end within {timeout:g} s: it is {self._doing}, for "
                    f"{seconds:.1f} s now.",
                    remedy="Look for a hung driver or a starved CPU limit, or raise "
                    "--warm-timeout.",
                )
        return status

    def _look(self) -> None:
        """Note the step that the child is at; log it now and then if it takes long."""
        now = time.monotonic()
        steps = [line.doing for line in _lines(self._answer) if isinstance(line, Step)]
        if steps and steps[-1] != self._doing:
            self._doing, self._since = steps[-1], now
        if now - max(self._since, self._logged) > _BEAT_SECONDS:
            self._logged = now
            self._log.info("model.warming", doing=self._doing, seconds=round(now - self._since, 1))


def _lines(answer: IO[bytes]) -> list[Line]:
    """Return the complete lines that the child has written until now."""
    # The child writes where the file's own offset is, which is shared: it must not be moved.
    written = os.pread(answer.fileno(), os.fstat(answer.fileno()).st_size, 0)
    whole = written.rpartition(b"\n")[0].splitlines()
    return [msgspec.json.decode(line, type=Line) for line in whole]


def _read(status: int, lines: list[Line], said: bytes) -> Outcome:
    if status == 0 and lines and isinstance(lines[-1], Outcome):
        return lines[-1]
    if status == -signal.SIGKILL:
        raise KilledError(
            "The warm-up was killed, most likely for want of memory.",
            remedy="Raise the container's memory limit, or publish load-optimised weights.",
        )
    if -status in _CRASHES:
        raise KilledError(
            f"The warm-up crashed ({signal.Signals(-status).name}).",
            remedy="Publish another release if it does so again; a file of this one, or a driver, "
            "breaks the runtime.",
        )
    last = said.decode(errors="replace").strip().rpartition("\n")[2][:300]
    raise WarmupError(
        f"The warm-up ended with status {status}: {last or 'it said nothing'}.",
        remedy="Install model-agent with the extra cpu or gpu.",
    )
