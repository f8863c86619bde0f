"""What stands in for a cluster: a directory as the share, one as the store, and real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.support import models
from tests.support.secrecy import checked
from tests.support.workers import Worker, client, until, worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import httpx

AGENT: Final = Path(sys.executable).with_name("model-agent")
REVISION: Final = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
CATALOG: Final = f"""
version = "v1"
[[model]]
name = "{models.MINILM}"
loader = "fastembed"
"""


class AgentFailedError(Exception):
    """`model-agent` ended with `code`; `stderr` is what it said."""

    def __init__(self, arguments: tuple[str, ...], code: int, stderr: str) -> None:
        super().__init__(f"model-agent {' '.join(arguments)} ended with {code}: {stderr}")
        self.code = code
        self.stderr = stderr


class Cluster:
    """The share, the store, and the processes of one pod.

    Args:
        root: An empty directory for all of it.
    """

    # What the agent's commands are started with.
    prefix: tuple[str, ...] = ()

    def __init__(self, root: Path) -> None:
        self.root = root
        self.share = root / "share"
        self.store = root / "store"
        for directory in (self.share, self.store):
            directory.mkdir()
        (root / "catalog.toml").write_text(CATALOG)

    def agent(self, *arguments: str) -> str:
        """Run `model-agent` to its end and give what it printed.

        Raises:
            AgentFailedError: It ended with another code than 0.
        """
        done = subprocess.run(
            [*self.prefix, AGENT, *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        checked(done.stdout + done.stderr)
        if done.returncode:
            raise AgentFailedError(arguments, done.returncode, done.stderr)
        return done.stdout.strip()

    def publish(self, version: str, write: Callable[[Path], None]) -> str:
        """Publish what `write` puts into an empty directory as FastEmbed's MiniLM."""
        tree = self.root / f"tree-{version}"
        write(tree / "model")
        models.as_hub_cache(tree / "fastembed", models.MINILM_REPO, REVISION, tree / "model")
        return self.agent("publish", "--from", str(tree), "--version", version)

    def digest(self, version: str) -> str:
        """The digest of a release in the store."""
        status = json.loads(self.agent("status", "--json"))
        digest: str = status["store"]["releases"][version]
        return digest

    def active(self) -> str:
        """What `current` leads to."""
        return (self.store / "current").readlink().name

    def state(self) -> dict[str, Any]:
        """What `state.json` says."""
        state: dict[str, Any] = json.loads((self.store / ".agent" / "state.json").read_bytes())
        return state

    @contextmanager
    def worker(self, **flags: Any) -> Iterator[Worker]:
        """Run the embeddings worker while the block runs."""
        log = self.root / "worker.log"
        # More than one would spin after each request, and take the cores from the other tests.
        one = ("--threads", "1")
        with worker(self.store, *one, model=models.MINILM, log=log, **flags) as running:
            yield running

    def sidecar(
        self, reload_url: str, *flags: str, poll: str = "1s"
    ) -> AbstractContextManager[Sidecar]:
        """Run the sidecar while the block runs; see `running_sidecar`."""
        env, prefix = self.environment(), self.prefix
        return running_sidecar(env, reload_url, *flags, poll=poll, prefix=prefix)

    def environment(self) -> dict[str, str]:
        """The environment of the agent's processes."""
        return os.environ | {
            "MODEL_AGENT_SHARE": str(self.share),
            "MODEL_AGENT_STORE": str(self.store),
            "MODEL_AGENT_CATALOG": str(self.root / "catalog.toml"),
            "MODEL_AGENT_DEVICE": "cpu",
        }


def publish_tiny(root: Path) -> Path:
    """A share whose marker names v1, with v2 beside it: the same vectors from other files."""
    made = Cluster(root)
    made.publish("v1", models.write_tiny)
    made.publish("v2", partial(models.write_tiny, weights="external"))
    made.agent("promote", "v1")
    return made.share


def on_v1(releases: Path, root: Path) -> Cluster:
    """A cluster with a copy of such a share, and v1 active."""
    made = Cluster(root)
    shutil.copytree(releases, made.share, dirs_exist_ok=True)
    made.agent("init", "--no-warm")
    return made


@contextmanager
def running_sidecar(
    env: Mapping[str, str],
    reload_url: str,
    *flags: str,
    poll: str = "1s",
    prefix: Sequence[str] = (),
    program: Path = AGENT,
) -> Iterator[Sidecar]:
    """Run a sidecar with this environment while the block runs, then end it by SIGTERM."""
    process = subprocess.Popen(
        [
            *prefix,
            *(program, "sidecar", "--reload-url", reload_url, "--poll-interval", poll),
            *("--listen", "127.0.0.1:0", "--log-format", "json", *flags),
        ],
        env=env,
        stderr=subprocess.PIPE,
        text=True,
    )
    running = Sidecar(process)
    try:
        running.start()
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        running.end()


@dataclass
class Sidecar:
    """A running sidecar, seen through its log and its endpoints."""

    process: subprocess.Popen[str]
    events: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""
    lines: list[str] = field(default_factory=list)
    http: httpx.Client = field(default_factory=partial(client, ""))

    def start(self) -> None:
        """Follow its log, and wait until it listens."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = f"http://127.0.0.1:{self.wait_for('sidecar.listening')['port']}"

    def end(self) -> None:
        """Wait until the process ended and its log is read."""
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self._reader.join()
            self.http.close()
            checked("".join(self.lines))

    def wait_for(self, event: str, *, seconds: float = 60, **fields: Any) -> dict[str, Any]:
        """Wait until it logged `event` with these fields; give the latest, whole."""
        wanted = {"event": event, **fields}

        def logged() -> dict[str, Any] | None:
            return next((e for e in reversed(self.events) if wanted.items() <= e.items()), None)

        try:
            return until(logged, seconds=seconds)
        except TimeoutError:
            raise TimeoutError(f"no {wanted} in {self.events[-10:]}") from None

    def get(self, path: str) -> httpx.Response:
        """What it answers."""
        return self.http.get(self.url + path)

    def status(self) -> dict[str, Any]:
        """What `/status` says."""
        answer: dict[str, Any] = self.get("/status").raise_for_status().json()
        return answer

    def metric(self, name: str) -> float:
        """One sample of `/metrics`, e.g. `model_agent_syncs_total{status="success"}`."""
        lines = self.get("/metrics").raise_for_status().text.splitlines()
        return float(next(line for line in lines if line.startswith(name + " ")).split()[-1])

    def look_now(self) -> None:
        """Have it look at the share now."""
        self.http.post(f"{self.url}/check").raise_for_status()

    def _read(self) -> None:
        assert self.process.stderr
        with self.process.stderr as lines:
            for line in lines:
                self.lines.append(line)
                if line.startswith("{"):
                    self.events.append(json.loads(line))
