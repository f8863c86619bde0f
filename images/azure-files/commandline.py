"""The command line of the double, and its life from start to SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import signal
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from access import Gate
from aiohttp import web
from application import Service
from contents import DiskDepot, MemoryDepot, allow_many_files
from moments import Clock
from tree import Tree

if TYPE_CHECKING:
    from collections.abc import Sequence

_GRACE_SECONDS: Final = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 0 then."""
    settings = _parser().parse_args(arguments)
    allow_many_files()
    asyncio.run(_serve(settings))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--account", required=True)
    parser.add_argument("--key", type=_key, required=True, help="the account key, base64")
    parser.add_argument("--root", type=Path, help="keep shares as plain trees under this directory")
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--no-auth", action="store_true", help="let everyone in")
    parser.add_argument("--token", help="the one bearer token that is good (default: any)")
    parser.add_argument(
        "--clock-offset", type=float, default=0, help="seconds that the service's clock is ahead"
    )
    parser.add_argument(
        "--share", action="append", default=[], help="a share to create at the start; repeatable"
    )
    return parser


def _key(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise argparse.ArgumentTypeError("the key is not base64") from error


async def _serve(settings: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(_application(settings), access_log=None, shutdown_timeout=_GRACE_SECONDS)
    await runner.setup()
    try:
        tls = _tls(settings)
        site = web.TCPSite(runner, settings.host, settings.port, ssl_context=tls)
        await site.start()
        port = runner.addresses[0][1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        sys.stdout.write(f"{'https' if tls else 'http'}://{host}:{port}\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        await runner.cleanup()


def _application(settings: argparse.Namespace) -> web.Application:
    clock = Clock(settings.clock_offset)
    depot = DiskDepot(settings.root) if settings.root else MemoryDepot()
    tree = Tree(clock, depot)
    for name in settings.share:
        tree.ensure_share(name)
    gate = Gate(settings.account, settings.key, token=settings.token, closed=not settings.no_auth)
    return Service(gate, tree, clock).application()


def _tls(settings: argparse.Namespace) -> ssl.SSLContext | None:
    if settings.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return context
