"""Processes that are told from each other by their names: workers, and strangers."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.serving import Serving

_LAST_PID: Final = Path("/proc/sys/kernel/ns_last_pid")
_WAITS: Final = "print(flush=True)\nwhile True: time.sleep(60)\n"


def by_signal(name: str) -> tuple[str, ...]:
    """The flags of a sidecar that signals the process of that name."""
    return ("--reload-method", "signal", "--reload-process", name, "--reload-timeout", "5s")


@contextmanager
def stranger(script: Path, *, told: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process that is called after its script and is no worker.

    Args:
        script: What to call it after; made.
        told: What it makes when it gets SIGHUP; without it, that would end it.
    """
    handles = f"signal.signal(signal.SIGHUP, lambda *_: open({str(told)!r}, 'w').close())\n"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f"import signal, time\n{handles if told else ''}{_WAITS}")
    with _running([sys.executable, str(script)]) as process:
        assert process.stdout
        process.stdout.readline()
        yield process


@contextmanager
def heir(pid: int) -> Iterator[subprocess.Popen[str]]:
    """A process with the number of one that has ended; the test is skipped where none can be."""

    def born() -> subprocess.Popen[str] | None:
        try:
            _LAST_PID.write_text(str(pid - 1))
        except OSError as error:
            pytest.skip(f"no process can be given a number here: {error}")
        process = subprocess.Popen(["sleep", "300"], text=True)
        if process.pid == pid:
            return process
        process.kill()  # another one of this machine was quicker
        process.wait()
        return None

    process = until(born)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def replaced(running: Serving, *flags: str) -> Iterator[None]:
    """End the sidecar, and run one with other flags in its place."""
    running.sidecar.process.terminate()
    running.sidecar.end()
    with running.pod.sidecar(running.worker.admin, *flags) as sidecar:
        running.sidecar = sidecar
        yield


@contextmanager
def _running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
