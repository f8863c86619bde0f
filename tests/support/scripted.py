"""A worker that keeps the contract on its wire, and for the rest does what a test's script says."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from tests.support.listening import Silent, listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Script = Callable[["ScriptedWorker", dict[str, str]], int]


class ScriptedWorker:
    """What `GET /model` shows is `model`; a `POST /reload` is handed to `script`.

    `looks` counts the former, `asked` holds the latter.

    Args:
        script: Changes `model` as it likes, and gives the status to answer with.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[dict[str, str]] = []
        self.looks = 0
        self.changed = threading.Condition()
        self.url = ""
        self.model: dict[str, Any] = {
            "version": None,
            "digest": None,
            "state": "failed",
            "reason": "nothing was loaded yet",
            "target": None,
            "instance": "one",
        }

    def wait_asked(self, count: int, *, seconds: float = 300) -> dict[str, str]:
        """Wait for the `count`-th reload request and give it."""
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.asked) >= count, seconds):
                raise TimeoutError(f"{len(self.asked)} reload requests instead of {count}")
            return self.asked[count - 1]

    def reload(self, request: dict[str, str]) -> int:
        """Record a request, and answer as the script says."""
        with self.changed:
            status = self.script(self, request)
            self.asked.append(request)
            self.changed.notify_all()
            return status

    def serve(self, version: str, digest: str) -> None:
        """Serve this release, ready."""
        target = {"version": version, "digest": digest}
        self.model |= {**target, "target": target, "state": "ready", "reason": None}

    def load(self, request: dict[str, str], *, state: str = "loading", reason: str = "") -> None:
        """Be loading, or have failed to load, what was asked for; what serves goes on."""
        target = {"version": request["version"], "digest": request["digest"]}
        self.model |= {"target": target, "state": state, "reason": reason or None}


def obey(worker: ScriptedWorker, request: dict[str, str]) -> int:
    """The script of a good worker: it serves what it is asked for, at once."""
    worker.serve(request["version"], request["digest"])
    return 202


def stuck(worker: ScriptedWorker, request: dict[str, str]) -> int:
    """The script of a worker that never gets v2 loaded."""
    if request["version"] == "v2":
        worker.load(request)
        return 202
    return obey(worker, request)


@contextmanager
def scripted(script: Script) -> Iterator[ScriptedWorker]:
    """Run a scripted worker on a loopback port while the block runs."""
    worker = ScriptedWorker(script)

    class Handler(Silent, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            worker.looks += 1
            self._answer(200)

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self._answer(worker.reload(json.loads(self.rfile.read(length))))

        def _answer(self, status: int) -> None:
            body = json.dumps(worker.model).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with listening(Handler) as worker.url:
        yield worker
