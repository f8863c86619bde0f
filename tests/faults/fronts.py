"""Stands before the admin listener of the real worker, which serves on whatever happens here."""

from __future__ import annotations

import json
import socket
import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

import httpx

from tests.support.listening import Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # Gives the answer to a call; the second argument gives the worker's own.
    Fault = Callable[["Call", Callable[[], "Reply"]], "Reply"]

_RESET: Final = struct.pack("ii", 1, 0)  # lingering for no time: closing it resets it


@dataclass(frozen=True)
class Call:
    """A request."""

    method: str
    path: str
    body: bytes

    @property
    def asks_for(self) -> str | None:
        """The version that a `POST /reload` asks for."""
        return json.loads(self.body)["version"] if self.method == "POST" else None


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    body: bytes = b""

    def changed(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Reply:
        """The same with another JSON body."""
        return Reply(self.status, json.dumps(change(json.loads(self.body))).encode())


class Front:
    """What the sidecar talks to instead of the worker's admin listener.

    Attributes:
        fault: What becomes of each call; `passes` at first.
        asked: The versions that were asked for, in order, whatever became of that.
    """

    def __init__(self) -> None:
        self.fault: Fault = passes
        self.asked: list[str] = []
        self.ended = threading.Event()
        self._upstream = ""
        # Keeps the port ours while nobody listens at it.
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """For `--reload-url`."""
        return f"http://127.0.0.1:{self._reserved.getsockname()[1]}"

    def to(self, upstream: str) -> str:
        """Stand before this listener from now on; gives our own URL."""
        self._upstream = upstream
        self.listen()
        return self.url

    def listen(self) -> None:
        """Accept connections."""
        if self._server is None:
            self._server = _Server(self._reserved.getsockname(), _Handler)
            self._server.front = self
            threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def refuse(self) -> None:
        """Refuse connections."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, call: Call) -> Reply:
        """The answer to a call; an `OSError` or the client's resets the connection."""
        if call.asks_for:
            self.asked.append(call.asks_for)
        return self.fault(call, lambda: self._pass_on(call))

    def _pass_on(self, call: Call) -> Reply:
        url = self._upstream + call.path
        got = httpx.request(call.method, url, content=call.body, verify=False, trust_env=False)
        return Reply(got.status_code, got.content)


@contextmanager
def front() -> Iterator[Front]:
    """Run a front while the block runs; until it stands before something it refuses."""
    made = Front()
    try:
        yield made
    finally:
        made.ended.set()
        made.refuse()
        made._reserved.close()


def passes(_: Call, pass_on: Callable[[], Reply]) -> Reply:
    """No fault."""
    return pass_on()


class _Server(ThreadingHTTPServer):
    front: Front

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)  # without the goodbye that would come before a reset


class _Handler(Silent, BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            reply = self.server.front.answer(Call(self.command, self.path, body))
        except (OSError, httpx.HTTPError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            return
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_POST = do_GET  # noqa: N815 - as http.server calls it
