"""The command line of the double."""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING

from tests.doubles.azure_files.access import Gate
from tests.doubles.azure_files.application import Service
from tests.doubles.azure_files.contents import DiskDepot, MemoryDepot, allow_many_files
from tests.doubles.azure_files.moments import Clock
from tests.doubles.azure_files.tree import Tree
from tests.doubles.loopback.serving import add_flags, serve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 0 then."""
    settings = _parser().parse_args(arguments)
    allow_many_files()
    asyncio.run(serve(_application(settings), settings))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    add_flags(parser)
    parser.add_argument("--account", required=True)
    parser.add_argument("--key", type=_key, required=True, help="the account key, base64")
    parser.add_argument("--root", type=Path, help="keep shares as plain trees under this directory")
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


def _application(settings: argparse.Namespace) -> web.Application:
    clock = Clock(settings.clock_offset)
    depot = DiskDepot(settings.root) if settings.root else MemoryDepot()
    tree = Tree(clock, depot)
    for name in settings.share:
        tree.ensure_share(name)
    gate = Gate(settings.account, settings.key, token=settings.token, closed=not settings.no_auth)
    return Service(gate, tree, clock).application()
