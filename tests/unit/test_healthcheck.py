"""The probe for engines that run a command: it asks where the sidecar listens."""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from agent import healthcheck
from tests.support.listening import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Healthy(Silent, BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server on an address of this machine that is not 127.0.0.1."""
    with ThreadingHTTPServer(("127.0.0.2", 0), _Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(
    ("host", "status"), [("127.0.0.2", 0), ("127.0.0.1", 1), ("0.0.0.0", 1)], ids=str
)
def test_it_asks_where_the_sidecar_listens(
    host: str, status: int, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address counts as much as the port; every address means loopback."""
    monkeypatch.setattr(sys, "argv", ["healthcheck"])
    monkeypatch.setenv("MODEL_AGENT_LISTEN", f"{host}:{port}")
    assert healthcheck.main() == status
