"""The life of a loopback server: from the line that says where it listens to SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    import argparse

_GRACE_SECONDS: Final = 1.0


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that say where a server listens."""
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--tls-cert", type=Path, help="serve over TLS, with this certificate")
    parser.add_argument("--tls-key", type=Path)


async def serve(application: web.Application, settings: argparse.Namespace) -> None:
    """Print the URL as the first line of output, then serve until SIGTERM or SIGINT.

    Args:
        application: What answers.
        settings: The parsed flags of `add_flags`.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_GRACE_SECONDS)
    await runner.setup()
    try:
        tls = _tls(settings)
        await web.TCPSite(runner, settings.host, settings.port, ssl_context=tls).start()
        port = runner.addresses[0][1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        sys.stdout.write(f"{'https' if tls else 'http'}://{host}:{port}\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        await runner.cleanup()


def _tls(settings: argparse.Namespace) -> ssl.SSLContext | None:
    if settings.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return context
