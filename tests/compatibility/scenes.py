"""States of a store that 0.1.0 leaves, each told by its own commands on a pod that starts with v1.

Each function is a scene: the share has v1, v2 and v3, the marker names v1, and the store is empty.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from tests.compatibility import old, sources
from tests.compatibility.pods import digest, status
from tests.support import agents
from tests.support.pods import NO_WORKER
from tests.support.scripted import obey, scripted
from tests.support.workers import Worker, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.compatibility.trees import Keeper
    from tests.support.pods import Pod
    from tests.support.scripted import ScriptedWorker
    from tests.support.sidecars import Sidecar

# Runs the agent, and kills it instead of the COUNTth call of a function; of a write, half is done.
KILLED: Final = """\
import os, signal, sys, threading
from agent.cli import main

name, left, lock = sys.argv[1], int(sys.argv[2]), threading.Lock()
function = getattr(os, name)

def fatal(*args, **more):
    global left
    with lock:
        left -= 1
        if left:
            return function(*args, **more)
        if name == "pwritev":
            file, (data,), offset = args
            function(file, [data[: len(data) // 2]], offset)
        os.kill(os.getpid(), signal.SIGKILL)

setattr(os, name, fatal)
sys.argv = ["model-agent", *sys.argv[3:]]
main()
"""
_OFTEN: Final = ("--reverify-interval", "1s")


def started(pod: Pod, keeper: Keeper) -> None:
    """`init` has warmed v1 and made it active."""
    pod.agent("init")


def settled(pod: Pod, keeper: Keeper) -> None:
    """v2 came after v1, the worker serves it, and all of it was read again."""
    pod.agent("init")
    with pod.worker(**old.WORKER) as worker:
        worker.wait("ready", "v1")
        with pod.sidecar(worker.admin, *_OFTEN) as sidecar:
            pod.agent("promote", "v2")
            sidecar.wait_for("sync.done", version="v2")
            sidecar.wait_for("release.reverified", version="v2")
            until(lambda: pod.state()["last_reverified"])
            keeper.say("sidecar/status.json", sidecar.get("/status").content)
            keeper.say("sidecar/metrics.txt", sidecar.get("/metrics").content)


def half_staged(pod: Pod, keeper: Keeper) -> None:
    """`init` was killed while it staged v2: of two files that are new, one is half written."""
    pod.agent("init")
    pod.agent("promote", "v2")
    _killed_at(pod, "pwritev", 2, "init")


def waiting(pod: Pod, keeper: Keeper) -> None:
    """v2 is staged and checked, and waits for a worker that does not answer."""
    pod.agent("init")
    pod.agent("promote", "v2")
    with pod.sidecar() as sidecar:
        until(lambda: "v2 waits for it" in sidecar.status()["doing"] or None)


def quarantined(pod: Pod, keeper: Keeper) -> None:
    """v2 is refused, since a worker failed to load it; on the share there is nothing wrong."""

    def fail(worker: ScriptedWorker, request: dict[str, str]) -> int:
        worker.load(request, state="failed", reason="out of tune")
        return 202

    with _serving_v1(pod) as worker, pod.sidecar(worker.url) as sidecar:
        worker.script = fail
        pod.agent("promote", "v2")
        sidecar.wait_for("release.quarantined", version="v2")
        keeper.say("agent/reload.json", json.dumps(worker.asked[0], indent=2))


def unfinished(pod: Pod, keeper: Keeper) -> None:
    """The sidecar was killed once while it checked v2."""
    pod.agent("init")
    pod.agent("promote", "v2")
    _killed_in_check(pod, attempt=1)


def worn_out(pod: Pod, keeper: Keeper) -> None:
    """The sidecar was killed twice while it checked v2."""
    unfinished(pod, keeper)
    _killed_in_check(pod, attempt=2)


def pointed(pod: Pod, keeper: Keeper) -> None:
    """A worker was signalled to load v2, and the sidecar was killed before it confirmed that."""
    pod.agent("init")
    pod.agent("promote", "v2")
    program = pod.root / "deaf-worker.py"
    program.write_bytes((old.SOURCE / "tests" / "support" / "signalled.py").read_bytes())
    method = ("--reload-method", "signal", "--reload-process", program.name)
    command = [str(old.PYTHON), str(program), str(pod.store), "--deaf"]
    env = agents.environment(old.ALONE)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as worker:
        assert worker.stdout
        with pod.sidecar(worker.stdout.readline().strip(), *method) as sidecar:
            until(lambda: pod.active() == "v2" or None)
            sidecar.process.kill()
        worker.kill()


def rotten(pod: Pod, keeper: Keeper) -> None:
    """A bit of v1 flipped, and the share is away, so that it is not repaired yet."""
    pod.agent("init")
    share = pod.share.root
    away = share.with_name("away")
    with pod.sidecar(NO_WORKER, *_OFTEN):
        share.rename(away)
        _flip(pod)
        until(lambda: (pod.state()["rot"] or {}).get("reason"))
    away.rename(share)


def outdated(pod: Pod, keeper: Keeper) -> None:
    """v1 was repaired, and the worker did not load it again yet."""
    with _serving_v1(pod) as worker, pod.sidecar(worker.url, *_OFTEN):
        worker.script = lambda *_: 503
        _flip(pod)
        until(lambda: pod.state()["outdated"])


def left_over(pod: Pod, keeper: Keeper) -> None:
    """Agents were killed: one while it removed v1, one while it wrote its state."""
    settle(pod)
    _killed_at(pod, "unlink", 1, "prune", "--keep", "1")
    pod.agent("promote", "v2", "--allow-new-space")
    _killed_at(pod, "replace", 1, "init")


def record_worker(pod: Pod, keeper: Keeper) -> None:
    """Keep what a worker answers, which starts on v2, is asked for v1, and fails to load v2."""
    settle(pod)
    digests = status(pod)["store"]["releases"]

    def ask(worker: Worker, version: str, **changes: str) -> bytes:
        body = {"version": version, "path": f"releases/{version}", "digest": digests[version]}
        return worker.admin_http.post("/reload", json=body | changes).content

    with pod.worker(**old.WORKER) as worker:
        worker.wait("ready", "v2")
        keeper.say("worker/ready.json", worker.admin_http.get("/model").content)
        keeper.say("worker/embeddings.json", worker.embed(*sources.TEXTS).content)
        keeper.say("worker/refused.json", ask(worker, "v1", digest="0" * 64))
        keeper.say("worker/loading.json", ask(worker, "v1"))
        worker.wait("ready", "v1")
        os.truncate(_weights(pod, "v2"), 100)
        ask(worker, "v2")
        worker.wait("failed", "v2")
        keeper.say("worker/failed.json", worker.admin_http.get("/model").content)
    (pod.store / "current").unlink()
    with pod.worker(**old.WORKER) as worker:
        worker.wait("failed")
        keeper.say("worker/empty.json", worker.admin_http.get("/model").content)


def settle(pod: Pod) -> None:
    """Have v1 in the store, and v2 active."""
    pod.agent("init")
    pod.agent("promote", "v2")
    pod.agent("init")


@contextmanager
def _serving_v1(pod: Pod) -> Iterator[ScriptedWorker]:
    """A worker that serves v1, after `init`."""
    pod.agent("init")
    with scripted(obey) as worker:
        worker.serve("v1", digest(pod, "v1"))
        yield worker


def _killed_at(pod: Pod, name: str, count: int, *args: str) -> None:
    command = [str(old.PYTHON), "-c", KILLED, name, str(count), *args]
    env = agents.environment(pod.env)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def _killed_in_check(pod: Pod, *, attempt: int) -> None:
    def checks(sidecar: Sidecar) -> Any:
        return sidecar.status()["doing"] == "check v2" and pod.state()["attempts"] == {
            "v2": attempt
        }

    with pod.sidecar() as sidecar:
        until(lambda: checks(sidecar) or None)
        sidecar.process.kill()


def _weights(pod: Pod, version: str) -> Path:
    return next((pod.store / "releases" / version).rglob("models--Qdrant--*/**/model.onnx"))


def _flip(pod: Pod) -> None:
    """Flip a bit of v1's weights under the file's size and times, as a disk does."""
    path = _weights(pod, "v1")
    status, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
