"""Starts the agent's child processes, which import nothing from the current directory."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Child: TypeAlias = subprocess.Popen[bytes]
# What a child's stream is: an open file, or a constant of `subprocess`.
Stream: TypeAlias = IO[bytes] | int

PARENT: Final = "_MODEL_AGENT_PARENT"

_PR_SET_PDEATHSIG: Final = 1
_KILL_SECONDS: Final = 5.0
# Where an interpreter looks for code. Python takes an entry that is empty or relative to be in the
# current directory.
_PATHS: Final = ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX")
# onnxruntime (1.32) sends telemetry from wherever it is imported; a pod has nothing to tell.
_ALWAYS: Final = {"PYTHONSAFEPATH": "1", "ORT_DISABLE_TELEMETRY": "1"}


@contextmanager
def started(
    module: str,
    *,
    stdin: Stream,
    stdout: Stream,
    stderr: Stream,
    env: Mapping[str, str] | None = None,
) -> Iterator[Child]:
    """Run a module of this agent in a child process, which is killed when the block ends.

    Args:
        module: The module's name.
        stdin: As for `subprocess`, like the next two.
        stdout: For its answer.
        stderr: For what its libraries say.
        env: Variables to set besides those of `environment`.

    Raises:
        OSError: The system starts no process.
    """
    child = subprocess.Popen(  # noqa: S603 - the command is ours
        command(module),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=environment() | dict(env or {}),
    )
    try:
        yield child
    finally:
        child.kill()
        # One that hangs in a driver does not even die: it is left behind rather than waited for.
        with suppress(subprocess.TimeoutExpired):
            child.wait(_KILL_SECONDS)
            _close(child)


def command(module: str) -> list[str]:
    """Return the command of a child: `-m` alone would import from the current directory first."""
    return [sys.executable, "-P", "-m", module]


def environment() -> dict[str, str]:
    """Return the environment of a child, in which this very agent is importable.

    Nothing is imported from the current directory, which may be somebody's tree of models: neither
    by the child nor by what it starts itself.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _PATHS}
    paths = {name: found for name in _PATHS if (found := _absolute(os.environ.get(name, "")))}
    ours = [str(Path(__file__).resolve().parents[2]), *paths.get("PYTHONPATH", ())]
    joined = {name: os.pathsep.join(each) for name, each in {**paths, "PYTHONPATH": ours}.items()}
    return kept | joined | _ALWAYS | {PARENT: str(os.getpid())}


def die_with_parent() -> None:
    """End this process when its parent ends.

    A killed agent leaves no child behind that holds memory or writes where the next one does.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # If the agent died before this call, no signal comes any more.
    if os.environ.get(PARENT) != str(os.getppid()):
        os.kill(os.getpid(), signal.SIGKILL)


def _absolute(paths: str) -> list[str]:
    return [path for path in paths.split(os.pathsep) if Path(path).is_absolute()]


def _close(child: Child) -> None:
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe:
            pipe.close()
