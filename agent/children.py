"""What every child process of the agent is started with."""

from __future__ import annotations

import os
from pathlib import Path


def environment() -> dict[str, str]:
    """The environment of a child: this very agent is importable, however it was started."""
    ours = str(Path(__file__).resolve().parent.parent)
    paths = [ours, os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
