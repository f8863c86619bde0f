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
    from collections.abc import Mapping, Sequence
    from typing import Self

REPO: Final = Path(__file__).resolve().parents[2]
PROGRAM: Final = Path(sys.executable).with_name("model-agent")
_KEPT: Final = ("PATH", "HOME", "LANG", "TMPDIR", "COVERAGE_", "COV_CORE_")


class AgentFailedError(Exception):
    """`model-agent` ended with another code than 0."""


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

    def ok(self) -> Self:
        """Return this result.

        Raises:
            AgentFailedError: The run ended with another code than 0.
        """
        if self.code:
            raise AgentFailedError(f"exit {self.code}: " + "\n".join(self.lines))
        return self


def assert_failed(done: Result, code: int, *words: str) -> None:
    """It ended with `code`, and its last line is a sentence with these words; never a traceback."""
    assert done.code == code, done.lines
    assert done.sentence.startswith("model-agent: ")
    assert done.sentence.endswith(".")
    assert [word for word in words if word not in done.sentence] == [], done.sentence
    assert "Traceback" not in "\n".join(done.lines)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of an agent: no setting, no GPU, no Hub, and this checkout's code."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    ours = {"PYTHONPATH": str(REPO), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    return kept | ours | dict(extra or {})


def run(
    *args: str | Path,
    env: Mapping[str, str] | None = None,
    timeout: float = 300.0,
    **more: Any,
) -> Result:
    """Run `model-agent` with `args` to its end; `more` is as `start` takes it."""
    with start(*args, env=env, **more) as process:
        return finish(process, timeout=timeout)


def start(
    *args: str | Path,
    env: Mapping[str, str] | None = None,
    program: Path = PROGRAM,
    prefix: Sequence[str] = (),
    **more: Any,
) -> subprocess.Popen[str]:
    """Start `model-agent` with `args`; give it to `finish`.

    Args:
        args: Of the command line.
        env: Variables of its environment; see `environment`.
        program: Another `model-agent`, or another program.
        prefix: What it is started with.
        more: As `subprocess.Popen` takes it.
    """
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [*prefix, program, *args], text=True, env=environment(env), **(streams | more)
    )


def finish(process: subprocess.Popen[str], *, timeout: float = 300.0) -> Result:
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
