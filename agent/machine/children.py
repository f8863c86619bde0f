"""What every child process of the agent is started with, and does first."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
PARENT: Final = "_MODEL_AGENT_PARENT"


def environment() -> dict[str, str]:
    """The environment of a child: this very agent is importable, however it was started.

    onnxruntime (1.32) sends telemetry from wherever it is imported; a pod has nothing to tell.
    """
    ours = str(Path(__file__).resolve().parents[2])
    paths = [ours, os.environ.get("PYTHONPATH", "")]
    python_path = os.pathsep.join(path for path in paths if path)
    parent = {PARENT: str(os.getpid())}
    return os.environ | parent | {"PYTHONPATH": python_path, "ORT_DISABLE_TELEMETRY": "1"}


def die_with_parent() -> None:
    """A killed agent leaves no child behind that holds memory or writes where the next one does."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # One that died while this one started sends no signal any more.
    if os.environ.get(PARENT) != str(os.getppid()):
        os.kill(os.getpid(), signal.SIGKILL)
