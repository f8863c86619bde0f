"""The environment of the agent's child processes, and the first thing that each of them does."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
PARENT: Final = "_MODEL_AGENT_PARENT"


def environment() -> dict[str, str]:
    """Return the environment of a child, in which this installation of the agent is importable.

    onnxruntime (1.32) sends telemetry whenever it is imported, so that is turned off.
    """
    ours = str(Path(__file__).resolve().parents[2])
    paths = [ours, os.environ.get("PYTHONPATH", "")]
    python_path = os.pathsep.join(path for path in paths if path)
    parent = {PARENT: str(os.getpid())}
    return os.environ | parent | {"PYTHONPATH": python_path, "ORT_DISABLE_TELEMETRY": "1"}


def die_with_parent() -> None:
    """Make the kernel kill this child when its agent dies.

    Without it a killed agent leaves a child that holds memory, or writes where the next one does.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # If the agent died before this call, no signal comes any more.
    if os.environ.get(PARENT) != str(os.getppid()):
        os.kill(os.getpid(), signal.SIGKILL)
