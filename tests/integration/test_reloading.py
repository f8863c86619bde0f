"""The client of the worker's admin listener, against servers that misbehave."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from agent.errors import ReloadError
from agent.reconcile import Target
from agent.reloading import WorkerClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]

TARGET = Target("v2", "d" * 64)
GOOD = {
    "version": "v1",
    "digest": "a" * 64,
    "state": "ready",
    "reason": None,
    "target": {"version": "v1", "digest": "a" * 64},
    "instance": "i",
}


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves every request by one handler on a loopback port."""
    runners: list[web.AppRunner] = []

    async def start(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


def client(url: str) -> WorkerClient:
    """A client that gives up soon."""
    return WorkerClient(url, timeout=0.3)


async def test_view_of_a_worker(serve: Serve) -> None:
    """What the worker says is read, and further fields do no harm."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(GOOD | {"more": 1})

    view = await client(await serve(answer)).view()
    assert view
    assert view.serving == view.target == Target("v1", "a" * 64)
    assert (view.state, view.instance, view.reason) == ("ready", "i", None)


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b"{}"), (200, b"<html>"), (200, b"{}"), (200, b'{"state": 1, "instance": 2}')],
)
async def test_worker_that_talks_nonsense_is_not_up(serve: Serve, status: int, body: bytes) -> None:
    """An answer that is not a worker's is like none: it is asked again later."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    assert await client(await serve(answer)).view() is None


async def test_worker_that_is_not_there_is_not_up() -> None:
    """A refused connection is normal while the worker starts."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert await client(url).view() is None
        with pytest.raises(ReloadError, match="does not answer"):
            await client(url).reload(TARGET)


async def test_worker_that_refuses_is_told_so(serve: Serve) -> None:
    """A refusal is reported with what the worker said."""

    async def answer(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response(GOOD)
        return web.Response(status=409, text="another digest")

    with pytest.raises(ReloadError, match="409: another digest"):
        await client(await serve(answer)).reload(TARGET)


async def test_accepting_proves_nothing(serve: Serve) -> None:
    """A 202 after which the worker goes on with the old release is not a reload."""

    async def answer(request: web.Request) -> web.Response:
        asked = {"version": TARGET.version, "digest": TARGET.digest}
        body = GOOD | {"target": asked, "state": "ready"}
        return web.json_response(body, status=200 if request.method == "GET" else 202)

    with pytest.raises(ReloadError, match=r"did not serve v2 within 0\.3 s"):
        await client(await serve(answer)).reload(TARGET)


@pytest.mark.parametrize("state", ["ready", "loading", "failed"])
async def test_what_became_of_another_target_is_not_mistaken(serve: Serve, state: str) -> None:
    """A state is about the target that stands beside it: another's failure blames no release."""

    async def answer(request: web.Request) -> web.Response:
        body = GOOD | {"state": state, "reason": "something older"}
        return web.json_response(body, status=200 if request.method == "GET" else 202)

    with pytest.raises(ReloadError, match="asked for another release") as raised:
        await client(await serve(answer)).reload(TARGET)
    assert not raised.value.blames_release
