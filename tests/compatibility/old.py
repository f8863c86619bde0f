"""0.1.0 itself, in the environment that the Makefile installs it into."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Final

from tests.support import agents

HOME: Final = agents.REPO / ".venv-0.1.0"
PYTHON: Final = HOME / "bin" / "python"
AGENT: Final = HOME / "bin" / "model-agent"
# Its source: what the images had besides, and what its own tests ran.
SOURCE: Final = HOME / "src"

# Nothing of this checkout is imported, also where a process starts another one in this directory.
ALONE: Final = {"PYTHONPATH": "", "PYTHONSAFEPATH": "1"}

# Its embeddings worker, as `Pod.worker` takes it; what it imports stands beside its program.
WORKER: Final[dict[str, Any]] = {
    "python": PYTHON,
    "app": SOURCE / "images" / "embeddings-worker" / "app.py",
    "PYTHONPATH": "",
}


def why_not() -> str | None:
    """Return why 0.1.0 cannot be run here, if it cannot."""
    if (HOME / ".installed").exists():
        return None
    return f"{HOME} is not there: `make {HOME.name}/.installed` makes it."


def imported() -> Path:
    """Return the file that its interpreter imports as `agent`."""
    command = [str(PYTHON), "-c", "import agent; print(agent.__file__)"]
    said = subprocess.run(
        command, env=agents.environment(ALONE), capture_output=True, text=True, check=True
    )
    return Path(said.stdout.strip())
