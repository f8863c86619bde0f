"""Starts the real embeddings worker as a process, and talks to it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpx

from tests.support.secrecy import checked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from agent.release.manifest import Manifest

T = TypeVar("T")

ROOT: Final = Path(__file__).parents[2]
APP: Final = ROOT / "images" / "embeddings-worker" / "app.py"


@dataclass(frozen=True)
class Worker:
    """A worker that listens.

    Attributes:
        process: Its process.
        serving: URL of the serving port.
        admin: URL of the admin listener, as `--reload-url` takes it.
        log: The file that its stderr goes to.
        http: A client of the serving port; threads may share it.
        admin_http: A client of the admin listener.
    """

    process: subprocess.Popen[str]
    serving: str
    admin: str
    log: Path
    http: httpx.Client
    admin_http: httpx.Client

    def model(self) -> dict[str, Any]:
        """What `GET /model` says."""
        answer: dict[str, Any] = self.admin_http.get("/model").raise_for_status().json()
        return answer

    def reload(self, release: Manifest, **changes: Any) -> httpx.Response:
        """Ask for a release; `changes` replace fields of the request."""
        version = release.version
        body = {"version": version, "path": f"releases/{version}", "digest": release.digest}
        return self.admin_http.post("/reload", json=body | changes)

    def embed(self, *texts: str, **fields: Any) -> httpx.Response:
        """Ask for the vectors of `texts`."""
        body = {"input": list(texts)} | fields
        return self.http.post("/v1/embeddings", json=body)

    def wait(
        self, state: str, version: str | None = None, *, seconds: float = 300
    ) -> dict[str, Any]:
        """Wait until the latest target (of that version, if it is given) is in `state`."""

        def reached() -> dict[str, Any] | None:
            model = self.model()
            target = (model["target"] or {}).get("version")
            hit = model["state"] == state and version in {None, target}
            return model if hit else None

        try:
            return until(reached, seconds=seconds)
        except TimeoutError:
            raise TimeoutError(f"no {state} {version or ''}: {self.model()}") from None


@contextmanager
def worker(
    store: Path,
    *flags: str,
    model: str,
    log: Path,
    admin: str = "127.0.0.1:0",
    prefix: Sequence[str] = (),
    python: str | Path = sys.executable,
    app: str | Path = APP,
    **env: str,
) -> Iterator[Worker]:
    """Run a worker on `store` while the block runs; it is killed at the end if it still runs.

    Args:
        store: The store, with or without `current`.
        flags: Further flags; `--device cpu` and free ports are given already.
        model: The name of the model.
        log: Where its stderr goes.
        admin: Its `--admin`.
        prefix: What the command is started with.
        python: The interpreter that has what the worker needs.
        app: Its program, or a copy under another name, with what stands beside it.
        env: Further environment variables.
    """
    command = [
        *prefix,
        *(str(python), str(app), "--host", "127.0.0.1", "--port", "0", "--admin", admin),
        *("--store", str(store), "--model", model, "--device", "cpu", *flags),
    ]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | env,
        )
    try:
        serving, admin = _listening(process, log)
        with client(serving) as http, client(admin) as admin_http:
            yield Worker(process, serving, admin, log, http, admin_http)
    finally:
        process.kill()
        process.communicate()
        checked(log.read_text(errors="replace"))


def copied_worker(directory: Path) -> Path:
    """The worker's program under a name that nothing else on this machine has."""
    home = directory / "worker"
    shutil.copytree(APP.parent, home, ignore=shutil.ignore_patterns("__pycache__"))
    return (home / APP.name).rename(home / f"worker-{secrets.token_hex(4)}.py")


def _listening(process: subprocess.Popen[str], log: Path) -> tuple[str, str]:
    assert process.stdout is not None
    line = process.stdout.readline()  # or nothing, once it has died
    if not line:
        raise RuntimeError(f"the worker ended with {process.wait()}: {log.read_text()}")
    said = json.loads(line)
    return said["serving"], said["admin"]


def client(url: str) -> httpx.Client:
    """A client of one server on this machine, cheap enough to be asked a hundred times a second."""
    uds = url.removeprefix("unix://") if url.startswith("unix://") else None
    # Neither a proxy of this machine nor its certificates have a part in this.
    transport = httpx.HTTPTransport(uds=uds, verify=False, limits=httpx.Limits(max_connections=50))
    base = "http://worker" if uds else url
    return httpx.Client(transport=transport, base_url=base, timeout=120, trust_env=False)


def until(probe: Callable[[], T | None], *, seconds: float = 300) -> T:
    """Call `probe` until it gives something true, and give that."""
    deadline = time.monotonic() + seconds
    while True:
        if found := probe():
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"{probe} gave nothing within {seconds} s")
        time.sleep(0.03)
