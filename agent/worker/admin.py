"""The HTTP interface for the agent: `GET /model` and `POST /reload`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from agent.errors import AgentError
from agent.release.layout import RELEASES
from agent.worker.release import from_request

if TYPE_CHECKING:
    from pathlib import Path

    from agent.worker.holder import Holder

_SHAPE: Final = f'{{"version": "v2", "path": "{RELEASES}/v2", "digest": "<sha256>"}}'


class _Request(msgspec.Struct):
    version: str
    path: str
    digest: str


def admin_app(holder: Holder[Any], store: Path) -> web.Application:
    """Return the application of the admin listener.

    Args:
        holder: The holder of the model to reload.
        store: The store as this process sees it; paths in requests are relative to it.
    """
    routes = _Routes(holder, store)
    app = web.Application()
    app.router.add_get("/model", routes.model)
    app.router.add_post("/reload", routes.reload)
    return app


class _Routes:
    def __init__(self, holder: Holder[Any], store: Path) -> None:
        self._holder = holder
        self._store = store
        self._order = asyncio.Lock()

    async def model(self, _: web.Request) -> web.Response:
        """Return the release that serves and the outcome of the latest request, as JSON."""
        return self._status(200)

    async def reload(self, request: web.Request) -> web.Response:
        """Start to load a release; return 202 at once.

        Return 400 if the request cannot be parsed, 409 if it does not name a release of this store.
        """
        try:
            asked = msgspec.json.decode(await request.read(), type=_Request)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return _error(400, f"The request is not understood: {error}. Send {_SHAPE}.")
        try:
            await self._request(asked)
        except AgentError as error:
            return _error(409, str(error))
        return self._status(202)

    async def _request(self, asked: _Request) -> None:
        # One after the other: if the older of two requests read its release later from a slow disk,
        # it would count as the newer one.
        async with self._order:
            release = await asyncio.to_thread(
                from_request,
                self._store,
                version=asked.version,
                path=asked.path,
                digest=asked.digest,
            )
            self._holder.reload(release)

    def _status(self, code: int) -> web.Response:
        return _json(code, self._holder.status())


def _error(code: int, sentence: str) -> web.Response:
    return _json(code, {"error": sentence})


def _json(code: int, value: object) -> web.Response:
    return web.Response(
        status=code, body=msgspec.json.encode(value), content_type="application/json"
    )
