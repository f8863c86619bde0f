"""The Hub as an aiohttp application."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from tests.doubles.hub.api_calls import model_info, tree
from tests.doubles.hub.call import Call
from tests.doubles.hub.file_calls import content, resolve
from tests.doubles.hub.huberror import HubError, injected, repo_not_found
from tests.doubles.hub.lfs import POINTER
from tests.doubles.hub.routes import UNKNOWN, moved_path, parse
from tests.doubles.loopback.control import PREFIX, Control

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.doubles.hub.access import Door
    from tests.doubles.hub.repositories import Repositories
    from tests.doubles.hub.routes import Asked

_FILES: Final = {"Resolve", "ResolveHead"}
_CDN: Final = "Content"
_HANDLERS: Final[dict[str, Callable[[Call], web.StreamResponse]]] = {
    "ModelInfo": model_info,
    "Tree": tree,
    "Resolve": resolve,
    "ResolveHead": resolve,
    _CDN: content,
}
_PAGE: Final = (
    "<!DOCTYPE html>\n<html><head><title>Sign in</title></head>"
    "<body><h1>This network asks you to sign in</h1></body></html>\n"
)
PRESETS: Final[dict[str, dict[str, Any]]] = {
    "throttled": {"kind": "status", "status": 429},
    "busy": {"kind": "status", "status": 503},
    "forbidden": {"kind": "status", "status": 403},
    "unauthorized": {"kind": "status", "status": 401},
    "not_found": {"kind": "status", "status": 404, "code": "RepoNotFound"},
    "html_page": {
        "kind": "replace",
        "body": _PAGE,
        "headers": {"Content-Type": "text/html; charset=utf-8"},
    },
    "lfs_pointer": {
        "kind": "replace",
        "body": POINTER,
        "headers": {"Content-Type": "text/plain; charset=utf-8"},
    },
}


class Service:
    """Answers requests to one Hub, and to its CDN.

    Args:
        repositories: What there is.
        door: Who may have it.
        renamed: New names of repositories, by their former ones.
        cdn_host: The host name under which large files are had.
    """

    def __init__(
        self, repositories: Repositories, door: Door, *, renamed: Mapping[str, str], cdn_host: str
    ) -> None:
        self._repositories = repositories
        self._door = door
        self._renamed = renamed
        self._cdn_host = cdn_host

    def application(self) -> web.Application:
        """The application, with the control endpoint."""
        control = Control(
            operation=lambda request: _asked(request).operation,
            render=lambda request, rule: _render(request, injected(rule)),
            presets=PRESETS,
        )
        app = web.Application(middlewares=[control.middleware()])
        control.install(app)
        app.router.add_route("*", "/{path:.*}", self._answer)
        app.on_response_prepare.append(_dress)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = _asked(request)
        if asked.operation == UNKNOWN:
            return _render(request, HubError(404, "Not Found"))
        if asked.repo in self._renamed:
            return _moved(request, self._renamed[asked.repo])
        try:
            # In a thread: the digests of a large file take a second.
            return await asyncio.to_thread(self._work, request, asked)
        except HubError as error:
            return _render(request, error)

    def _work(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        self._admit(request, asked)
        call = Call(
            request,
            asked,
            self._repositories.snapshot(asked.repo, asked.revision),
            private=self._door.is_private(asked.repo),
            gated=asked.repo in self._door.gated,
            cdn_host=self._cdn_host,
        )
        return _HANDLERS[asked.operation](call)

    def _admit(self, request: web.Request, asked: Asked) -> None:
        """Let in who may ask this; the CDN's addresses are secrets, and need no token."""
        if asked.operation == _CDN:
            return
        caller = self._door.caller(request.headers.get("Authorization"))
        self._door.check_repo(caller, asked.repo)
        if not self._repositories.has(asked.repo):
            raise repo_not_found(anonymous=caller.anonymous)
        if asked.operation in _FILES:
            self._door.check_files(caller, asked.repo)


def _asked(request: web.Request) -> Asked:
    return parse(request.method, request.raw_path.partition("?")[0])


def _moved(request: web.Request, new: str) -> web.Response:
    raw_path, mark, query = request.raw_path.partition("?")
    path = moved_path(raw_path, new) + mark + query
    text = f"Temporary Redirect. Redirecting to {path}"
    return web.Response(status=307, text=text, headers={"Location": path})


def _render(request: web.Request, error: HubError) -> web.Response:
    if request.path.startswith("/api/"):
        body = {"error": error.message}
        return web.json_response(body, status=error.status, headers=error.headers)
    return web.Response(status=error.status, text=error.message, headers=error.headers)


async def _dress(request: web.Request, response: web.StreamResponse) -> None:
    """The header by which the Hub's support finds a request, on every answer."""
    if not request.path.startswith(PREFIX):
        response.headers["X-Request-Id"] = f"Root=1-{uuid.uuid4()}"
