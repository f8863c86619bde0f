"""What stands in for a cluster: a directory as the share, one as the store, and processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from tests.support import models
from tests.support.workers import Worker, until, worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.models import Weights

AGENT: Final = Path(sys.executable).with_name("model-agent")
REVISION: Final = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
CATALOG: Final = f"""
version = "v1"
[[model]]
name = "{models.MINILM}"
loader = "fastembed"
"""


class Cluster:
    """The share, the store, and the processes of one pod.

    Args:
        root: An empty directory for all of it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.share = root / "share"
        self.store = root / "store"
        self.catalog = root / "catalog.toml"
        for directory in (self.share, self.store):
            directory.mkdir()
        self.catalog.write_text(CATALOG)

    def agent(self, *arguments: str) -> str:
        """Run `model-agent` to its end and give what it printed; fail as it fails."""
        done = subprocess.run(
            [AGENT, *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"model-agent {' '.join(arguments)}: {done.stderr}")
        return done.stdout.strip()

    def publish(self, version: str, weights: Weights) -> str:
        """Build the real MiniLM with these weights, and publish it."""
        tree = self.root / f"tree-{version}"
        models.write_minilm_onnx(tree / "model", weights=weights)
        cache = tree / "fastembed"
        models.as_hub_cache(cache, models.MINILM_REPO, REVISION, tree / "model")
        return self.agent("publish", "--from", str(tree), "--version", version)

    @contextmanager
    def worker(self) -> Iterator[Worker]:
        """Run the embeddings worker while the block runs."""
        log = self.root / "worker.log"
        with worker(self.store, model=models.MINILM, log=log) as running:
            yield running

    @contextmanager
    def sidecar(self, reload_url: str) -> Iterator[Sidecar]:
        """Run the sidecar while the block runs, then end it by SIGTERM."""
        process = subprocess.Popen(
            [
                *(AGENT, "sidecar", "--reload-url", reload_url, "--poll-interval", "1s"),
                *("--listen", "127.0.0.1:0", "--log-format", "json"),
            ],
            env=self._environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        with ExitStack() as stack:
            stack.callback(process.wait)
            stack.callback(process.send_signal, signal.SIGTERM)
            yield Sidecar(process)

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "MODEL_AGENT_SHARE": str(self.share),
            "MODEL_AGENT_STORE": str(self.store),
            "MODEL_AGENT_CATALOG": str(self.catalog),
            "MODEL_AGENT_DEVICE": "cpu",
        }


class Sidecar:
    """A running sidecar, seen through its log and its endpoints."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.events: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()
        port = self.wait_for("sidecar.listening")["port"]
        self.url = f"http://127.0.0.1:{port}"

    def wait_for(self, event: str, **fields: Any) -> dict[str, Any]:
        """Wait until the sidecar logged `event` with these fields; give it whole."""

        def logged() -> dict[str, Any] | None:
            wanted = {"event": event, **fields}
            return next((e for e in self.events if wanted.items() <= e.items()), None)

        return until(logged, seconds=60)

    def status(self) -> dict[str, Any]:
        """What `/status` says."""
        answer: dict[str, Any] = httpx.get(f"{self.url}/status", trust_env=False).json()
        return answer

    def look_now(self) -> None:
        """Have it look at the share now."""
        httpx.post(f"{self.url}/check", trust_env=False).raise_for_status()

    def _read(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            if line.startswith("{"):
                self.events.append(json.loads(line))
