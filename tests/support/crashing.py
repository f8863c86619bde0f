"""Kills the agent at any step: a server process forks an agent for each run and kills it there.

A step is one call that changes a file system. The agent that runs is the production code as it is;
only the functions of `os`, which `pathlib` and `shutil` go through as well, are wrapped. Forking a
process that has imported everything makes a run take some 20 ms.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from tests.support.agents import Result

# All that changes a file system, short of opening a file.
STEPS: Final = (
    *("rename", "replace", "link", "symlink", "unlink", "mkdir", "rmdir", "chmod", "fchmod"),
    *("fsync", "pwritev", "posix_fallocate", "ftruncate"),
)


@dataclass(frozen=True)
class Run:
    """How a run ended: exit status (negative: the signal), its steps in order, its stderr."""

    code: int
    steps: tuple[str, ...]
    stderr: str
    seconds: float


class Crasher:
    """Runs agents, to their end or to the step or moment at which they are killed; a context."""

    def __init__(self) -> None:
        from tests.support import agents

        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.support.crashing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=agents.environment(),
            cwd=agents.REPO,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self._server.communicate()

    def run(self, *args: str | Path, step: int = 0, after: float | None = None) -> Run:
        """Run `model-agent` with `args`.

        Args:
            args: Of the command line.
            step: Kill it by SIGKILL instead of this step, counted from 1; of a data write, half is
                done. 0 never kills.
            after: Kill it this many seconds after its start.
        """
        assert self._server.stdin
        assert self._server.stdout
        request = {"args": [str(arg) for arg in args], "step": step, "after": after}
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer = json.loads(self._server.stdout.readline())
        return Run(**answer | {"steps": tuple(answer["steps"])})

    def finish(self, *args: str | Path) -> Result:
        """Run `model-agent` with `args` to its end; its stdout stands among the lines of stderr."""
        from tests.support.agents import Result
        from tests.support.secrecy import checked

        done = self.run(*args)
        return Result(done.code, "", tuple(checked(done.stderr).splitlines()))


def serve() -> None:
    """Answer a request a line, until stdin ends."""
    from agent import context, logs  # noqa: F401 - for forks
    from agent.operate import promote, prune, status, verify  # noqa: F401 - for forks
    from agent.publish import publisher  # noqa: F401 - for forks
    from agent.shares import reader
    from agent.sync import init  # noqa: F401 - for forks

    # Nobody else writes the marker here, and thousands of runs would wait for a second look.
    vars(reader)["_PAUSE_SECONDS"] = 0.0
    for line in sys.stdin:
        with tempfile.TemporaryDirectory() as scratch:
            answer = _run(Path(scratch), **json.loads(line))
        print(json.dumps(answer), flush=True)


def _run(scratch: Path, args: list[str], step: int, after: float | None) -> dict[str, Any]:
    began = time.monotonic()
    child = os.fork()
    if not child:
        _agent(scratch, args, step)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    steps = scratch / "steps"
    return {
        "code": os.waitstatus_to_exitcode(status),
        "steps": steps.read_text().split() if steps.exists() else [],
        "stderr": (scratch / "stderr").read_text() if (scratch / "stderr").exists() else "",
        "seconds": time.monotonic() - began,
    }


def _agent(scratch: Path, args: list[str], step: int) -> NoReturn:
    """Be the agent, in a forked process; never returns."""
    code = 1
    try:
        stderr = os.open(scratch / "stderr", os.O_WRONLY | os.O_CREAT)
        os.dup2(stderr, 2)
        os.dup2(stderr, 1)
        steps = os.open(scratch / "steps", os.O_WRONLY | os.O_CREAT)
        _Counter(steps, step).install()
        sys.argv = ["model-agent", *args]
        from agent.cli import main

        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stderr.flush()
        os._exit(code)


class _Counter:
    """Writes each step down, and kills the process instead of the step `fatal`."""

    def __init__(self, log: int, fatal: int) -> None:
        self._log = log
        self._fatal = fatal
        self._count = 0
        self._lock = threading.Lock()

    def install(self) -> None:
        assert shutil.rmtree  # imported by now, since it looks at what `os` has when it is
        for name in STEPS:
            setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                self._count += 1
                os.write(self._log, f"{name}\n".encode())
                if self._count == self._fatal:
                    if name == "pwritev":
                        fd, (data,), offset = args
                        function(fd, [data[: len(data) // 2]], offset)
                    os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return step


if __name__ == "__main__":
    serve()
