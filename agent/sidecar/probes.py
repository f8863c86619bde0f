"""The sidecar's HTTP endpoints: probes, status, metrics, and a request to read the share now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from agent.errors import ConfigError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class Probed(Protocol):
    """The part of the sidecar that the endpoints use."""

    def alive(self) -> bool:
        """Return true if the loop completed a cycle within its deadline."""
        ...

    def ready(self) -> bool:
        """Return true if a verified release is active."""
        ...

    def status(self) -> dict[str, object]:
        """Return the state and the current activity, as JSON may hold it."""
        ...

    def look_now(self) -> None:
        """Read the share as soon as possible."""
        ...


def application(probed: Probed, registry: CollectorRegistry) -> web.Application:
    """Return the application with the endpoints of `probed`."""

    async def healthz(_: web.Request) -> web.Response:
        """Return 200 while the loop runs, whatever the share does; else 503."""
        return _verdict(probed.alive(), "the loop does not turn")

    async def readyz(_: web.Request) -> web.Response:
        """Return 200 if a verified release is active and its signature allowed; else 503."""
        return _verdict(probed.ready(), "no verified release is active that may be served")

    async def status(_: web.Request) -> web.Response:
        """Return the state and the current activity as JSON."""
        body = msgspec.json.format(msgspec.json.encode(probed.status()), indent=2) + b"\n"
        return web.Response(body=body, content_type="application/json")

    async def metrics(_: web.Request) -> web.Response:
        """Return the metrics for Prometheus."""
        body = generate_latest(registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def check(_: web.Request) -> web.Response:
        """Read the share now, also during a back-off, as after SIGHUP; return 202 at once."""
        probed.look_now()
        return web.Response(status=202, text="looking\n")

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/status", status)
    app.router.add_get("/metrics", metrics)
    app.router.add_post("/check", check)
    return app


async def listen(app: web.Application, address: tuple[str, int]) -> tuple[web.AppRunner, int]:
    """Serve `app` and return the runner, which stops it, and the port.

    Raises:
        ConfigError: The address is taken, or not one of this machine.
    """
    host, port = address
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise ConfigError(
            f"The sidecar cannot listen on {host}:{port}: {error.strerror}.",
            remedy="Give a free address with --listen.",
        ) from None
    return runner, runner.addresses[0][1]


def _verdict(good: bool, otherwise: str) -> web.Response:
    return web.Response(text="ok\n") if good else web.Response(status=503, text=f"{otherwise}\n")
