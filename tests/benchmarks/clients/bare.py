"""A bare aiohttp server: what anything that listens and answers takes. A program, not a module."""

from __future__ import annotations

import sys

from aiohttp import web


async def _health(_: web.Request) -> web.Response:
    return web.Response()


def main() -> None:
    """Serve /healthz at the port that is given."""
    app = web.Application()
    app.router.add_get("/readyz", _health)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)


if __name__ == "__main__":
    main()
