"""A sidecar that runs, seen from outside: its log, and what it answers."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.support.secrecy import checked
from tests.support.workers import client, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx


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

    def wait_for(self, event: str, *, seconds: float = 300, **fields: Any) -> dict[str, Any]:
        """Wait until it logged `event` with these fields; give the latest, whole."""
        wanted = {"event": event, **fields}

        def logged() -> dict[str, Any] | None:
            return next((e for e in reversed(self.events) if wanted.items() <= e.items()), None)

        try:
            return until(logged, seconds=seconds)
        except TimeoutError:
            raise TimeoutError(f"no {wanted} in {self.events[-10:]}") from None

    def get(self, path: str) -> httpx.Response:
        """Return its answer to a GET."""
        return self.http.get(self.url + path)

    def status(self) -> dict[str, Any]:
        """Return what `/status` says."""
        answer: dict[str, Any] = self.get("/status").raise_for_status().json()
        return answer

    def metric(self, name: str) -> float:
        """Return one sample of `/metrics`, e.g. `model_agent_syncs_total{status="success"}`."""
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


@contextmanager
def followed(process: subprocess.Popen[str]) -> Iterator[Sidecar]:
    """Follow a sidecar while the block runs, then end it by SIGTERM."""
    running = Sidecar(process)
    try:
        running.start()
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        running.end()
