"""Sends SIGHUP to the worker's process, and to no other one.

The default action of SIGHUP ends a process, and a process' number may belong to another one by the
time that it is used. So the process is held by a descriptor and checked again, and it must catch
the signal.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from agent.errors import ReloadError

_PROC: Final = Path("/proc")
# The kernel cuts a process' name to this many bytes.
_COMM: Final = 15
# Arguments that count as names, so that `python app.py` and `python -m app` are found as the app.
_ARGUMENTS: Final = 3
_SIGHUP_BIT: Final = 1 << (signal.SIGHUP - 1)


class Process(NamedTuple):
    """A process: its number, its parent, its names, and if it catches SIGHUP."""

    pid: int
    parent: int
    names: frozenset[str]
    catches: bool


def send(name: str) -> int:
    """Send SIGHUP to the process called `name` and return its number.

    Args:
        name: The process' name, or the base name of its program or script. If a process and its
            children have that name, as for a server that forks, it is the parent.

    Raises:
        ReloadError: There is no such process, or several, or it does not handle the signal, or it
            belongs to another user.
    """
    process = _find(name)
    try:
        held = os.pidfd_open(process.pid)
    except OSError:
        raise _gone(name) from None
    try:
        _require_same(process, name)
        signal.pidfd_send_signal(held, signal.SIGHUP)
    except PermissionError:
        raise ReloadError(
            f"Process {process.pid} ({name}) belongs to another user.",
            remedy="Run both containers as the same user (runAsUser).",
        ) from None
    except ProcessLookupError:
        raise _gone(name) from None
    finally:
        os.close(held)
    return process.pid


def _find(name: str) -> Process:
    named = [found for found in _processes() if name in found.names]
    pids = {found.pid for found in named}
    heads = [found for found in named if found.parent not in pids]
    if not heads:
        raise _gone(name)
    if len(heads) > 1:
        listed = ", ".join(str(found.pid) for found in heads)
        raise ReloadError(
            f"Several processes are called {name}: {listed}.",
            remedy="Give --reload-process a name that only the worker has.",
        )
    return heads[0]


def _require_same(process: Process, name: str) -> None:
    """Raise unless the process still has the name and catches the signal, which else ends it."""
    now = _look(process.pid)
    if now is None or name not in now.names:
        raise _gone(name)
    if not now.catches:
        raise ReloadError(
            f"Process {process.pid} ({name}) does not handle SIGHUP, which would end it.",
            remedy="Use a worker that reloads on SIGHUP, or --reload-method http or none.",
        )


def _processes() -> list[Process]:
    own = os.getpid()
    numbers = (int(path.name) for path in _PROC.iterdir() if path.name.isdigit())
    seen = (_look(number) for number in numbers if number != own)
    return [process for process in seen if process]


def _look(pid: int) -> Process | None:
    with suppress(OSError, KeyError, ValueError, IndexError):
        directory = _PROC / str(pid)
        arguments = (directory / "cmdline").read_bytes().decode(errors="replace").split("\0")
        status = dict(
            line.split(":", 1) for line in (directory / "status").read_text().splitlines() if line
        )
        names = {Path(argument).name for argument in arguments[:_ARGUMENTS]}
        comm = status["Name"].strip()
        # A name that the kernel may have cut does not count: the arguments have all of it.
        names |= {comm} if len(comm) < _COMM else set()
        catches = int(status["SigCgt"], 16) & _SIGHUP_BIT
        return Process(pid, int(status["PPid"]), frozenset(names - {""}), bool(catches))
    return None


def _gone(name: str) -> ReloadError:
    return ReloadError(
        f"No process is called {name}.",
        remedy="Set shareProcessNamespace: true, and check --reload-process; it is tried again.",
    )
