"""The serving listener, which answers the requests in flight before it closes."""

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

_DRAIN_SECONDS: Final = 20.0  # With the waits that follow, less than Kubernetes' grace of 30 s.
_LAST_BYTES_SECONDS: Final = 2.0
_LINGER_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.05
_BACKLOG: Final = 1024


@asynccontextmanager
async def serving_listener(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve `app` while the block runs; then accept nothing new and answer requests in flight.

    Yields:
        The listener's URL.

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
        # Drain before the clean-up: after it, aiohttp ignores the rest of a body that is arriving.
        # One deadline for both drains: a request whose body never arrives completely must not take
        # another 20 s of the grace period.
        until = asyncio.get_running_loop().time() + _DRAIN_SECONDS
        await in_flight.drain(until)
        await _linger(runner)
        await in_flight.drain(until)
    finally:
        await runner.cleanup()
        listener.close()


async def _linger(runner: web.AppRunner) -> None:
    """Wait, for at most 1 s, until clients have closed their connections.

    A client's next request may be on its way: if the connection was closed, it would be lost. If it
    arrives, it is answered, and the answer closes the connection.
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
            response.force_close()  # The client's next request must go to another worker.
        return response

    async def drain(self, until: float) -> None:
        """Wait for the last answer, at most until the time `until` on the loop's clock."""
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
