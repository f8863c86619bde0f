"""Runs agents in forks of one process, which saves their imports, and kills them at any step."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support import agents
from tests.support.agents import Result
from tests.support.secrecy import checked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self


@dataclass(frozen=True)
class Run(Result):
    """How a run in a fork ended, with its steps in order and how many seconds it took."""

    steps: tuple[str, ...]
    seconds: float


class Forks:
    """Runs agents, to their end or to the step or moment at which they are killed; a context.

    What they are forked of is started for the first of them.
    """

    def __init__(self) -> None:
        self._started: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if self._started:
            self._started.communicate()

    def run(
        self,
        *args: str | Path,
        env: Mapping[str, str] | None = None,
        step: int = 0,
        after: float | None = None,
        timeout: float = 300.0,
    ) -> Run:
        """Run `model-agent` with `args`.

        Args:
            args: Of the command line.
            env: Variables of its environment.
            step: Kill it by SIGKILL instead of this step, counted from 1; of a data write, half is
                done. 0 never kills.
            after: Kill it this many seconds after its start.
            timeout: Kill it after so many seconds, if it has not ended by then.
        """
        server = self._server()
        assert server.stdin
        assert server.stdout
        request = {"args": [str(arg) for arg in args], "env": dict(env or {})}
        server.stdin.write(
            json.dumps(request | {"step": step, "after": after, "timeout": timeout}) + "\n"
        )
        server.stdin.flush()
        answer = json.loads(server.stdout.readline())
        return Run(
            answer["code"],
            checked(answer["stdout"]),
            tuple(checked(answer["stderr"]).splitlines()),
            tuple(answer["steps"]),
            answer["seconds"],
        )

    def _server(self) -> subprocess.Popen[str]:
        """Return the process that the agents are forked of."""
        if not self._started:
            self._started = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_server"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=agents.environment(),
                cwd=agents.REPO,
            )
        return self._started
