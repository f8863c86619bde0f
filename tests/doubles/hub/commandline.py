"""The command line of the double."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from tests.doubles.hub.access import Door
from tests.doubles.hub.application import Service
from tests.doubles.hub.repositories import Repositories
from tests.doubles.loopback.serving import add_flags, serve

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 0 then."""
    settings = _parser().parse_args(arguments)
    door = Door(settings.token, settings.outsider, frozenset(settings.gated))
    service = Service(
        Repositories(settings.root),
        door,
        renamed=dict(settings.renamed),
        cdn_host=settings.cdn_host,
    )
    asyncio.run(serve(service.application(), settings))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="A loopback double of the Hugging Face Hub.")
    add_flags(parser)
    parser.add_argument("--root", type=Path, required=True, help="ORG/NAME/REVISION/file under it")
    parser.add_argument(
        "--token", help="makes all repositories private to its bearer (default: any token is good)"
    )
    parser.add_argument("--outsider", help="the token of one who has been granted nothing")
    parser.add_argument(
        "--gated",
        action="append",
        default=[],
        metavar="ORG/NAME",
        help="all may see what is in it, the token's bearer alone may have the files; repeatable",
    )
    parser.add_argument(
        "--renamed",
        action="append",
        default=[],
        type=_renaming,
        metavar="OLD=NEW",
        help="a repository's former name; repeatable",
    )
    parser.add_argument(
        "--cdn-host", default="localhost", help="this server's other name, as the CDN's host"
    )
    return parser


def _renaming(text: str) -> tuple[str, str]:
    old, _, new = text.partition("=")
    if not old or not new:
        raise argparse.ArgumentTypeError(f"{text} is not OLD=NEW")
    return old, new
