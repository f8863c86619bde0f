"""Forks agents that it kills at any step; the program that `tests.support.forks` asks.

A step is one call that changes a file system. The agent that runs is the production code as it is;
only the functions of `os`, which `pathlib` and `shutil` go through as well, are wrapped. Forking a
process that has imported everything makes a run take some 20 ms.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

# All that changes a file system, short of opening a file.
STEPS: Final = (
    *("rename", "replace", "link", "symlink", "unlink", "mkdir", "rmdir", "chmod", "fchmod"),
    *("fsync", "pwritev", "posix_fallocate", "ftruncate"),
)


def serve() -> None:
    """Answer a request a line, until stdin ends."""
    from agent import context, logs  # noqa: F401 - for forks
    from agent.operate import promote, prune, status, verify  # noqa: F401 - for forks
    from agent.publish import publisher  # noqa: F401 - for forks
    from agent.shares import reader
    from agent.shares.azurefiles import share  # noqa: F401 - for forks
    from agent.sync import init  # noqa: F401 - for forks

    # Nobody else writes the marker here, and thousands of runs would wait for a second look.
    vars(reader)["_PAUSE_SECONDS"] = 0.0
    for line in sys.stdin:
        with tempfile.TemporaryDirectory() as scratch:
            answer = _run(Path(scratch), **json.loads(line))
        print(json.dumps(answer), flush=True)


def _run(
    scratch: Path,
    *,
    args: list[str],
    env: dict[str, str],
    step: int,
    after: float | None,
    timeout: float,
) -> dict[str, Any]:
    for name in ("stdout", "stderr", "steps"):
        (scratch / name).touch()
    began = time.monotonic()
    child = os.fork()
    if not child:
        os.environ.update(env)
        tempfile.tempdir = None  # TMPDIR may be another one
        _agent(scratch, args, step)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    killer = threading.Timer(timeout, os.kill, (child, signal.SIGKILL))
    killer.start()
    _, status = os.waitpid(child, 0)
    killer.cancel()
    return {
        "code": os.waitstatus_to_exitcode(status),
        "stdout": (scratch / "stdout").read_text(),
        "stderr": (scratch / "stderr").read_text(),
        "steps": (scratch / "steps").read_text().split(),
        "seconds": time.monotonic() - began,
    }


def _agent(scratch: Path, args: list[str], step: int) -> NoReturn:
    """Be the agent, in a forked process; never returns."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for name, stream in (("stdout", 1), ("stderr", 2)):
            os.dup2(os.open(scratch / name, os.O_WRONLY), stream)
        _Counter(os.open(scratch / "steps", os.O_WRONLY), step).install()
        sys.argv = ["model-agent", *args]
        from agent.cli import main

        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
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
