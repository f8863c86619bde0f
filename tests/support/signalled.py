"""A worker that reads `current` on SIGHUP and answers `GET /model`; a program, not a module.

python signalled.py STORE [--listen HOST PORT] [--fails VERSION] [--deaf]; its first line of output
is its URL.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from agent.release import manifest


class SignalledWorker:
    """What it serves, and what it was asked for last."""

    def __init__(self, store: Path, *, fails: str | None) -> None:
        self._store = store
        self._fails = fails
        self.model: dict[str, Any] = {"version": None, "digest": None, "instance": "one"}
        self.follow()

    def follow(self) -> None:
        """Load what `current` names now, or fail to."""
        directory = (self._store / "current").resolve()
        found = manifest.parse((directory / manifest.FILE_NAME).read_bytes())
        target = {"version": found.version, "digest": found.digest}
        if found.version == self._fails:
            self.model |= {"target": target, "state": "failed", "reason": "out of tune"}
        else:
            self.model |= {**target, "target": target, "state": "ready", "reason": None}


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=Path)
    parser.add_argument("--listen", nargs=2, default=["127.0.0.1", "0"])
    parser.add_argument("--fails")
    parser.add_argument("--deaf", action="store_true", help="handle the signal, and do nothing")
    told = parser.parse_args()
    worker = SignalledWorker(told.store, fails=told.fails)
    signal.signal(signal.SIGHUP, lambda *_: None if told.deaf else worker.follow())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(worker.model).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    host, port = told.listen
    server = ThreadingHTTPServer((host, int(port)), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"http://{host}:{server.server_port}\n")
    sys.stdout.flush()
    while True:  # not pause(): a signal that another thread takes would not wake it
        time.sleep(0.02)


if __name__ == "__main__":
    main()
