"""Sends SIGHUP to the worker's process, and to no other one.

The default action of SIGHUP ends a process, and a number may be another process' by the time that
it is used: so the process is held by a descriptor, looked at again, and must catch the signal.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from agent.errors import ReloadError

_PROC: Final = Path("/proc")
# The kernel keeps this much of a name.
_COMM: Final = 15
# `python app.py` and `python -m app` are known by what they run, too.
_ARGUMENTS: Final = 3
_SIGHUP_BIT: Final = 1 << (signal.SIGHUP - 1)


class Process(NamedTuple):
    """A process as it was seen."""

    pid: int
    parent: int
    names: frozenset[str]
    catches: bool


def send(name: str) -> int:
    """Send SIGHUP to the process called `name`; give its number.

    Args:
        name: What it is called, or the base name of its program or script. Of a process and its
            children that are all called so, it is the parent, as of a server that forks.

    Raises:
        ReloadError: There is none or there are several, it does not handle the signal, or is
            another user's.
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
            f"Process {process.pid} ({name}) is another user's.",
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
    """See that what is held now is what was found, and that the signal does not end it."""
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
        # A name that the kernel cut is the longer one's, if the program's own says so.
        names |= {comm} if len(comm) < _COMM else set()
        catches = int(status["SigCgt"], 16) & _SIGHUP_BIT
        return Process(pid, int(status["PPid"]), frozenset(names - {""}), bool(catches))
    return None


def _gone(name: str) -> ReloadError:
    return ReloadError(
        f"No process is called {name}.",
        remedy="Set shareProcessNamespace: true and --reload-process; it is tried again.",
    )
