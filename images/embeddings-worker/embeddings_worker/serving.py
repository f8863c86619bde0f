"""The serving listener: opened at the start, drained at the end."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from aiohttp import web

from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.typedefs import Handler

_DRAIN_SECONDS: Final = 20.0  # with what follows, under Kubernetes' grace period of 30
_LAST_BYTES_SECONDS: Final = 2.0
_LINGER_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.05
_BACKLOG: Final = 1024


@asynccontextmanager
async def serving_listener(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve `app` while the block runs; then take nothing new and answer what is in flight.

    Yields:
        Its URL.

    Raises:
        ConfigError: The address cannot be used.
    """
    in_flight = _InFlight()
    app.middlewares.insert(0, in_flight.count)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_LAST_BYTES_SECONDS)
    await runner.setup()
    listener = _listen(host, port)
    site = web.SockSite(runner, listener)
    try:
        await site.start()
        yield f"http://{_in_url(host)}:{listener.getsockname()[1]}"
        await site.stop()
        # Before the clean-up: from then on, aiohttp ignores the rest of a body that still arrives.
        # Once for both: a request that never comes whole must not take a second 20 s of the grace.
        until = asyncio.get_running_loop().time() + _DRAIN_SECONDS
        await in_flight.drain(until)
        await _linger(runner)
        await in_flight.drain(until)
    finally:
        await runner.cleanup()
        listener.close()


async def _linger(runner: web.AppRunner) -> None:
    """Wait a moment for clients that keep a connection: the next request may be on its way.

    Its answer ends the connection; one that is closed under a request loses it.
    """
    until = asyncio.get_running_loop().time() + _LINGER_SECONDS
    while runner.server and runner.server.connections:
        if asyncio.get_running_loop().time() > until:
            return
        await asyncio.sleep(_LOOK_SECONDS)


class _InFlight:
    """Counts requests from their headers to their answers."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._draining = False
        self._none.set()

    @web.middleware
    async def count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._count += 1
        self._none.clear()
        try:
            response = await handler(request)
        finally:
            self._count -= 1
            if not self._count:
                self._none.set()
        if self._draining:
            response.force_close()  # the client's next request is for another worker
        return response

    async def drain(self, until: float) -> None:
        """Wait for the last answer, up to this moment of the loop's clock."""
        self._draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._none.wait()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"The serving port cannot be opened at {host}:{port}: {error}.",
            remedy="Give another --host or --port.",
        ) from None


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
