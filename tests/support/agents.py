"""Runs `model-agent` as a real process, and reads what it said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.support.secrecy import checked

if TYPE_CHECKING:
    from collections.abc import Mapping

REPO: Final = Path(__file__).resolve().parents[2]
PROGRAM: Final = Path(sys.executable).with_name("model-agent")
_KEPT: Final = ("PATH", "HOME", "LANG", "TMPDIR", "COVERAGE_", "COV_CORE_")


@dataclass(frozen=True)
class Result:
    """How a run ended: exit status (negative: the signal), stdout, the lines of stderr."""

    code: int
    stdout: str
    lines: tuple[str, ...]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log, an object an event."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    @property
    def sentence(self) -> str:
        """The last line on stderr: what failed and what to do."""
        return self.lines[-1] if self.lines else ""

    def named(self, event: str) -> list[dict[str, Any]]:
        """The log's events of this name, in order."""
        return [each for each in self.events if each["event"] == event]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of an agent: no setting, no GPU, no Hub, and this checkout's code."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    ours = {"PYTHONPATH": str(REPO), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    return kept | ours | dict(extra or {})


def run(
    *args: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 60.0,
    program: Path = PROGRAM,
) -> Result:
    """Run `model-agent` with `args` to its end."""
    with start(*args, env=env, cwd=cwd, program=program) as process:
        return finish(process, timeout=timeout)


def start(
    *args: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    program: Path = PROGRAM,
) -> subprocess.Popen[str]:
    """Start `model-agent` with `args`; give it to `finish`."""
    return subprocess.Popen(
        [program, *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(env),
        cwd=cwd,
    )


def finish(process: subprocess.Popen[str], *, timeout: float = 60.0) -> Result:
    """Wait for what `start` started.

    Raises:
        subprocess.TimeoutExpired: It did not end in time; it is killed.
    """
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Result(process.returncode, checked(stdout), tuple(checked(stderr).splitlines()))
