"""The sidecar's endpoints, over a real socket."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from agent.errors import ConfigError
from agent.sidecar import probes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Shown:
    """What the endpoints show here."""

    def __init__(self) -> None:
        self.good = True
        self.looked = 0

    def alive(self) -> bool:
        """As a test says."""
        return self.good

    def ready(self) -> bool:
        """As a test says."""
        return self.good

    def status(self) -> dict[str, object]:
        """Two fields."""
        return {"active": "v1", "share": {"reachable": True}}

    def look_now(self) -> None:
        """Count it."""
        self.looked += 1


@asynccontextmanager
async def serving(shown: Shown) -> AsyncIterator[aiohttp.ClientSession]:
    """Serve the endpoints while the block runs, to a client of them."""
    registry = CollectorRegistry()
    Counter("model_agent_looks", "Looks.", registry=registry).inc()
    runner, port = await probes.listen(probes.application(shown, registry), ("127.0.0.1", 0))
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            yield session
    finally:
        await runner.cleanup()


async def answer(session: aiohttp.ClientSession, path: str, method: str = "GET") -> Any:
    """Return the status and the text of an answer."""
    async with session.request(method, path) as response:
        return response.status, await response.text()


async def test_probes() -> None:
    """200 while it is well; else 503 with a sentence that says which of the two is not."""
    shown = Shown()
    async with serving(shown) as session:
        for path in ("/healthz", "/readyz"):
            assert await answer(session, path) == (200, "ok\n")
        shown.good = False
        assert await answer(session, "/healthz") == (503, "the loop does not turn\n")
        status, text = await answer(session, "/readyz")
    assert (status, "no verified release is active" in text) == (503, True)


async def test_status_and_metrics() -> None:
    """One is JSON for programs and people, the other is for Prometheus."""
    async with serving(Shown()) as session:
        async with session.get("/status") as response:
            assert response.content_type == "application/json"
            assert await response.json() == {"active": "v1", "share": {"reachable": True}}
            assert (await response.text()).count("\n") > 3
        async with session.get("/metrics") as response:
            assert response.headers["Content-Type"].startswith("text/plain; version=")
            assert "model_agent_looks_total 1.0\n" in await response.text()


async def test_look_now() -> None:
    """202: it is asked for, and not waited for; a GET changes nothing."""
    shown = Shown()
    async with serving(shown) as session:
        assert await answer(session, "/check", "POST") == (202, "looking\n")
        assert (await answer(session, "/check"))[0] == 405
    assert shown.looked == 1


async def test_an_address_that_is_taken() -> None:
    """It is a mistake of the set-up, which the sentence names."""
    async with serving(Shown()) as session:
        port = session._base_url and session._base_url.port
        app = probes.application(Shown(), CollectorRegistry())
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}"):
            await probes.listen(app, ("127.0.0.1", int(port or 0)))
