"""kserve-storage in a virtual environment of its own: it pins other versions than we do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

VERSION: Final = "0.21.0"
_HOME: Final = Path(__file__).parents[2] / ".venv-bench"


class NotInstalledError(Exception):
    """It cannot be installed; the text is pip's last line."""


def python() -> Path:
    """The interpreter that has it, installed at the first call and kept for the next runs.

    Raises:
        NotInstalledError: There is no such package here, or it cannot be installed.
    """
    home = _HOME / f"kserve-storage-{VERSION}"
    interpreter, done = home / "bin" / "python", home / ".installed"
    if not done.exists():
        _run(sys.executable, "-m", "venv", "--clear", str(home))
        pip = (str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        _run(*pip, f"kserve-storage=={VERSION}")
        done.touch()
    return interpreter


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise NotInstalledError(lines[-1] if lines else f"{command[0]} gave {done.returncode}")
