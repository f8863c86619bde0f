"""The client of the worker's admin listener, against servers that misbehave."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from agent import settings
from agent.errors import ReloadError, ReloadFailedError, WorkerRestartedError
from agent.release.target import Target
from agent.sidecar.worker_client import WorkerClient, worker_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

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
    [
        *[(500, b"{}"), (200, b"<html>"), (200, b"{}"), (200, b'{"state": 1, "instance": 2}')],
        *[(200, b'{"state": "\xff"}'), (200, b'{"a": ' + b"[" * 100_000)],
    ],
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


async def test_ok_is_as_good_as_accepted(serve: Serve) -> None:
    """A worker of one's own may answer /reload with 200: what counts is what it serves then."""
    asked = {"version": TARGET.version, "digest": TARGET.digest}
    answers = [GOOD, {}, GOOD | asked | {"target": asked}]

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(answers.pop(0))

    await client(await serve(answer)).reload(TARGET)
    assert answers == []


async def test_worker_that_misses_an_answer_is_not_gone(serve: Serve) -> None:
    """It may be busy with the load: that is a slow worker, and nothing that counts as a death."""
    asked = {"version": TARGET.version, "digest": TARGET.digest}
    began = time.monotonic()

    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            return web.Response(status=202)
        if time.monotonic() - began > 3.4:
            return web.Response(status=500)
        return web.json_response(GOOD | {"state": "loading", "target": asked})

    with pytest.raises(ReloadError, match="it serves v1") as raised:
        await WorkerClient(await serve(answer), timeout=4).reload(TARGET)
    assert raised.value.ends_attempt


async def test_worker_that_is_gone_after_it_took_a_reload(serve: Serve) -> None:
    """It may have died of the release: that is no slow worker, and no end of the attempt."""
    answers = [web.json_response(GOOD), web.Response(status=202)]

    async def answer(_: web.Request) -> web.Response:
        return answers.pop(0) if answers else web.Response(status=500)

    with pytest.raises(WorkerRestartedError, match="took v2, and does not answer any more"):
        await client(await serve(answer)).reload(TARGET)


async def test_a_worker_that_gets_there(serve: Serve) -> None:
    """It is believed once it serves the very target and is ready, not before."""
    asked = {"version": TARGET.version, "digest": TARGET.digest}
    steps = [
        GOOD | {"state": "loading", "target": asked},
        GOOD | {"state": "ready", "target": asked},
        GOOD | asked | {"state": "loading", "target": asked},
        GOOD | asked | {"state": "ready", "target": asked},
    ]
    seen: list[dict[str, object]] = []

    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            seen.append(await request.json())
            return web.json_response({}, status=202)
        return web.json_response(steps.pop(0) if seen else GOOD)

    confirmed = await WorkerClient(await serve(answer), timeout=10).reload(TARGET)
    assert steps == []
    assert seen == [asked | {"path": "releases/v2"}]
    assert 0 < confirmed.seconds < 10


async def test_a_worker_that_fails_to_load_it(serve: Serve) -> None:
    """Its own reason is told, and the release is to blame."""
    asked = {"version": TARGET.version, "digest": TARGET.digest}

    async def answer(request: web.Request) -> web.Response:
        body = GOOD | {"state": "failed", "reason": "out of tune.", "target": asked}
        return web.json_response(body, status=200 if request.method == "GET" else 202)

    with pytest.raises(ReloadFailedError, match=r"failed to load v2: out of tune\. ") as raised:
        await client(await serve(answer)).reload(TARGET)
    assert raised.value.blames_release


async def test_a_worker_that_restarts(serve: Serve) -> None:
    """Another instance has forgotten what it was asked: it may have died of the release."""
    asked = {"version": TARGET.version, "digest": TARGET.digest}
    instances = ["i", "i", "j"]

    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            return web.Response(status=202)
        instance = instances.pop(0) if instances else "j"
        return web.json_response(GOOD | {"instance": instance, "target": asked})

    with pytest.raises(WorkerRestartedError, match="restarted while it loaded v2"):
        await client(await serve(answer)).reload(TARGET)


async def test_an_answer_without_end(serve: Serve) -> None:
    """What is longer than any worker's answer is not read to its end."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(GOOD | {"more": "x" * 300_000})

    assert await client(await serve(answer)).view() is None


async def test_a_worker_behind_a_socket(tmp_path: Path) -> None:
    """Both containers may mount a directory with its socket."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(GOOD)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "s")).start()
    try:
        view = await client(f"unix://{tmp_path}/s").view()
    finally:
        await runner.cleanup()
    assert view
    assert view.serving == Target("v1", "a" * 64)


def signalled(url: str, process: str) -> WorkerClient:
    """Return what talks to a worker that is told by a signal, as the settings say."""
    flags = {"reload_url": url, "reload_method": "signal", "reload_process": process}
    return worker_client(settings.parse(flags, {}))


async def test_a_worker_that_is_signalled(serve: Serve, tmp_path: Path) -> None:
    """It is told by a signal alone, and may not have looked yet when it is asked."""
    asked = {"version": TARGET.version, "digest": TARGET.digest}
    answers = [GOOD, GOOD, GOOD | asked | {"target": asked}]

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(answers.pop(0)) if request.method == "GET" else web.Response()

    script, told = tmp_path / f"worker-{tmp_path.name}.sh", tmp_path / "told"
    script.write_text(f"trap 'touch {told}; exit' HUP; echo; while :; do sleep 0.1; done")
    # A shell cannot trap what is ignored when it starts, as under nohup.
    process = await asyncio.create_subprocess_exec(
        *("env", "--default-signal=HUP", "sh", script), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        await process.stdout.readline()
        await signalled(await serve(answer), script.name).reload(TARGET)
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    assert (told.exists(), answers) == (True, [])


async def test_a_worker_that_is_not_there_to_be_signalled(serve: Serve) -> None:
    """It is the set-up's fault, and said as such."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(GOOD)

    with pytest.raises(ReloadError, match="No process is called nobody-is"):
        await signalled(await serve(answer), "nobody-is").reload(TARGET)
