"""The HTTP API of the serving port: `/v1/embeddings`, `/healthz` and `/readyz`."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from agent.worker import NotServingError
from embeddings_worker.batching import BusyError
from embeddings_worker.protocol import (
    RefusedError,
    answer_body,
    check_dimensions,
    error_body,
    parse,
)

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from agent.worker import Holder
    from embeddings_worker.batching import Batcher

VERSION_HEADER: Final = "X-Model-Version"
_MAX_BODY: Final = 32 * 1024 * 1024
_SOON: Final = {"Retry-After": "1"}

_log: Final = logging.getLogger("embeddings")


def serving_app(holder: Holder[Any], batcher: Batcher, *, model: str) -> web.Application:
    """Return the application of the serving port.

    Every answer names the release that it comes from; an error names the one that serves.

    Args:
        holder: The holder of the model.
        batcher: Answers requests.
        model: The only model that is served.
    """
    api = _Api(holder, batcher, model)
    app = web.Application(middlewares=[_errors_as_json], client_max_size=_MAX_BODY)
    app.on_response_prepare.append(api.name_release)
    app.router.add_post("/v1/embeddings", api.embeddings)
    app.router.add_get("/healthz", api.healthz)
    app.router.add_get("/readyz", api.readyz)
    return app


class _Api:
    def __init__(self, holder: Holder[Any], batcher: Batcher, model: str) -> None:
        self._holder = holder
        self._batcher = batcher
        self._model = model

    async def embeddings(self, request: web.Request) -> web.Response:
        """Return vectors, as OpenAI's API does; 429 while too much waits, 503 without a model."""
        asked = parse(await request.read(), model=self._model)
        answer = await asyncio.wrap_future(self._batcher.submit(asked.texts))
        check_dimensions(asked, answer.vectors)
        body = answer_body(
            answer.vectors,
            encoding=asked.encoding_format,
            model=self._model,
            tokens=answer.tokens,
        )
        return _json(200, body, {VERSION_HEADER: answer.version})

    async def healthz(self, _: web.Request) -> web.Response:
        """Return 200 while the process answers."""
        return web.Response(text="ok\n")

    async def readyz(self, _: web.Request) -> web.Response:
        """Return 200 and the release that serves; 503 and the reason while none serves."""
        status = self._holder.status()
        if status.version is None:
            reason = status.reason or "The first model is still loading."
            return web.Response(status=503, text=f"{reason}\n", headers=_SOON)
        return web.Response(text=f"{status.version}\n")

    async def name_release(self, _: web.Request, response: web.StreamResponse) -> None:
        version = self._holder.status().version
        if version and VERSION_HEADER not in response.headers:
            response.headers[VERSION_HEADER] = version


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RefusedError as error:
        return _failed(error)
    except NotServingError as error:
        return _failed(RefusedError(str(error), status=503, code="not_ready"), _SOON)
    except BusyError as error:
        return _failed(RefusedError(f"{error} Try again.", status=429, code="busy"), _SOON)
    except web.HTTPException as error:
        return _failed(RefusedError(error.reason, status=error.status))
    except Exception:  # noqa: BLE001 - whatever a model raises
        _log.exception("request.failed path=%s", request.path)
        return _failed(RefusedError("The model failed on this request.", status=500))


def _failed(error: RefusedError, headers: dict[str, str] | None = None) -> web.Response:
    return _json(error.status, error_body(error), headers)


def _json(status: int, body: bytes, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=body, headers=headers, content_type="application/json")
