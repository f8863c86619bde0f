"""What a sidecar takes that has nothing to do, beside a bare aiohttp server."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Final

import httpx

from tests.benchmarks import environments, table
from tests.benchmarks.measuring import ROUNDS, cpu_of
from tests.support import agents, proc
from tests.support.loopback import ROOT
from tests.support.pods import Pod
from tests.support.rest import rest_share
from tests.support.scripted import obey, scripted
from tests.support.workers import client, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.benchmarks.release import Subject

_POLL: Final = "5s"
_IDLE_SECONDS: Final = 30.0
_SETTLE_SECONDS: Final = 3.0
_MIB: Final = 1024**2


@dataclass(frozen=True)
class _Seen:
    """Seconds from the start to ready, MiB resident, part of a core in percent, threads."""

    start: float
    resident: float
    cpu: float
    threads: int


def found(subject: Subject) -> Iterator[str]:
    """A line of Markdown for each; all of them idle at the same time."""
    with ExitStack() as stack:
        commands = _commands(subject.room / "idle", stack)
        rounds = [_round(commands) for _ in range(ROUNDS)]
    titles = (f"idle, polls {_POLL}", "s to ready", "MiB resident", "CPU, % of a core", "threads")
    yield from table.head(titles)
    for name in commands:
        seen = [each[name] for each in rounds]
        start, cpu = median(s.start for s in seen), median(s.cpu for s in seen)
        resident, threads = median(s.resident for s in seen), median(s.threads for s in seen)
        yield f"| {name} | {start:.2f} | {resident:.0f} | {cpu:.2f} | {threads:.0f} |"
    yield ""


Command = tuple["Sequence[str | Path]", "Mapping[str, str]"]


def _commands(room: Path, stack: ExitStack) -> dict[str, Command]:
    """What is started, with a release active and a worker that serves it."""
    pod = Pod(room)
    digest = pod.share.add("v1").digest
    pod.agent("promote", "v1")
    pod.agent("init")
    worker = stack.enter_context(scripted(obey))
    worker.serve("v1", digest)
    rest = stack.enter_context(rest_share(room / "double"))
    rest.put("VERSION", b"v1\n")
    flags = ("--reload-url", worker.url, "--poll-interval", _POLL)
    sidecar = (_agent(), "sidecar", *flags)
    bare = (sys.executable, ROOT / "tests" / "benchmarks" / "clients" / "bare.py")
    return {
        "sidecar, directory share": (sidecar, pod.env),
        "sidecar, share over REST": (sidecar, pod.env | rest.env()),
        "a bare aiohttp server": (bare, {}),
    }


def _agent() -> Path:
    try:
        return environments.agent()
    except environments.NotInstalledError as error:
        print(f"The sidecar is this environment's, which has more than it needs ({error}).")
        return agents.PROGRAM


def _round(commands: Mapping[str, Command]) -> dict[str, _Seen]:
    with ExitStack() as stack:
        started = {name: _start(*each, stack) for name, each in commands.items()}
        time.sleep(_SETTLE_SECONDS)
        pids = {name: process.pid for name, (process, _) in started.items()}
        before = {name: cpu_of(pid) for name, pid in pids.items()}
        time.sleep(_IDLE_SECONDS)
        return {
            name: _look(pid, started[name][1], cpu_of(pid) - before[name])
            for name, pid in pids.items()
        }


def _start(
    command: Sequence[str | Path], env: Mapping[str, str], stack: ExitStack
) -> tuple[subprocess.Popen[bytes], float]:
    """Start one, and wait until it is ready; gives how long that took."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    listen = ("--listen", f"127.0.0.1:{port}") if "sidecar" in command else (str(port),)
    began = time.perf_counter()
    process = subprocess.Popen(
        [*command, *listen], env=agents.environment(env), stderr=subprocess.DEVNULL
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    asking = stack.enter_context(client(f"http://127.0.0.1:{port}"))
    until(partial(_is_ready, asking))
    return process, time.perf_counter() - began


def _is_ready(asking: httpx.Client) -> bool:
    try:
        return asking.get("/readyz").is_success
    except httpx.ConnectError:
        return False


def _look(pid: int, start: float, cpu: float) -> _Seen:
    resident, threads = proc.memory("VmRSS", pid) / _MIB, int(proc.status(pid)["Threads"])
    return _Seen(start, resident, 100 * cpu / _IDLE_SECONDS, threads)
