"""Virtual environments of their own: kserve-storage pins other versions than we do; and the agent.

An environment for development has `rich`, which structlog imports where it finds it, and which no
image has: what an idle sidecar takes is measured without it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

KSERVE: Final = "0.21.0"
_ROOT: Final = Path(__file__).parents[2]
_HOME: Final = _ROOT / ".venv-bench"


class NotInstalledError(Exception):
    """It cannot be installed; the text is pip's last line."""


def kserve() -> Path:
    """The interpreter that has kserve-storage.

    Raises:
        NotInstalledError: There is no such package here, or it cannot be installed.
    """
    return _interpreter(f"kserve-storage-{KSERVE}", f"kserve-storage=={KSERVE}")


def agent() -> Path:
    """The `model-agent` of this checkout, beside nothing but what it needs.

    Raises:
        NotInstalledError: What it needs cannot be installed.
    """
    return _interpreter("agent", "--editable", str(_ROOT)).with_name("model-agent")


def _interpreter(name: str, *what: str) -> Path:
    """An environment with `what`, installed at the first call and kept for the next runs."""
    home = _HOME / name
    interpreter, done = home / "bin" / "python", home / ".installed"
    if not done.exists():
        _run(sys.executable, "-m", "venv", "--clear", str(home))
        pip = (str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        _run(*pip, *what)
        done.touch()
    return interpreter


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise NotInstalledError(lines[-1] if lines else f"{command[0]} gave {done.returncode}")
