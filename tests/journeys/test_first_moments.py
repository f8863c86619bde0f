"""SIGTERM while a process still starts; as process 1 of a container it has no default action."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.agents import PROGRAM, REPO
from tests.support.workers import until

if TYPE_CHECKING:
    from pathlib import Path

WORKER: Final = REPO / "images" / "embeddings-worker" / "app.py"
# A library that is never done with being imported.
ENDLESS: Final = """
import pathlib, time
pathlib.Path(__file__).with_name("reached").touch()
while True:
    time.sleep(1)
"""


@pytest.mark.parametrize(
    ("library", "command", "code"),
    [
        ("structlog", [PROGRAM, "init", "--share", "/nowhere"], 128 + signal.SIGTERM),
        ("onnxruntime", [sys.executable, WORKER, "--model", "Org/name"], 0),
    ],
    ids=["agent", "worker"],
)
def test_sigterm_before_all_is_imported(
    library: str, command: list[str], code: int, tmp_path: Path
) -> None:
    """Both listen to it before they import what is large, and end by themselves."""
    (tmp_path / f"{library}.py").write_text(ENDLESS)
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    try:
        until((tmp_path / "reached").exists)
        process.terminate()
        assert process.wait(20) == code
    finally:
        process.kill()
        process.wait()
