"""The admin listener: its allowed addresses, and the code that opens it.

Anyone who reaches it can make the worker load another release. So it is for the same pod only: on
loopback, or on a socket file that owner and group may use.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import stat
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from agent.errors import ConfigError
from agent.quantities import UNIX
from agent.worker.admin import admin_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent.worker.holder import Holder

_NOT_OTHERS: Final = 0o117  # leaves 0660
_REMEDY: Final = f"Give --admin as 127.0.0.1:PORT or {UNIX}/path/to.sock."
_PORT: Final = re.compile(r"[0-9]{1,5}")
_HIGHEST_PORT: Final = 65535


@asynccontextmanager
async def admin_listener(holder: Holder[Any], *, store: Path, address: str) -> AsyncIterator[str]:
    """Listen for the agent at `address` (see `open_listener`) while the block runs.

    Yields:
        The listener's URL, for `--reload-url`.

    Raises:
        ConfigError: The address is malformed, not local, or taken.
    """
    runner = web.AppRunner(admin_app(holder, store), access_log=None, shutdown_timeout=1.0)
    listener, url = open_listener(address)
    try:
        await runner.setup()
        await web.SockSite(runner, listener).start()
        yield url
    finally:
        await runner.cleanup()
        listener.close()


def open_listener(address: str) -> tuple[socket.socket, str]:
    """Return a bound socket and its URL.

    Args:
        address: `HOST:PORT` with a loopback host (port 0 picks a free one), or
            `unix:///path/to.sock`, created with mode 0660 in place of a stale socket.

    Raises:
        ConfigError: The address is malformed, not local, or taken.
    """
    try:
        if address.startswith(UNIX):
            return _unix(Path(address.removeprefix(UNIX))), address
        return _tcp(*parse_loopback(address))
    except OSError as error:
        raise ConfigError(
            f"The admin listener cannot be opened at {address}: {error.strerror or error}.",
            remedy=_REMEDY,
        ) from None


def parse_loopback(address: str) -> tuple[str, int]:
    """Return the host and port of `HOST:PORT`.

    Raises:
        ConfigError: The address has another form, or the host is not loopback.
    """
    host, _, port = address.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        if not ipaddress.ip_address(host).is_loopback:
            raise ConfigError(
                f"The admin listener may not be at {address}, which other machines can reach.",
                remedy=_REMEDY,
            )
    except ValueError:
        raise _malformed(address) from None
    if not _PORT.fullmatch(port) or int(port) > _HIGHEST_PORT:
        raise _malformed(address)
    return host, int(port)


def _malformed(address: str) -> ConfigError:
    return ConfigError(
        f"The admin address {address!r} is not HOST:PORT with a loopback address.", remedy=_REMEDY
    )


def _tcp(host: str, port: int) -> tuple[socket.socket, str]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family)
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    return listener, f"http://{shown}:{listener.getsockname()[1]}"


def _unix(path: Path) -> socket.socket:
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX)
    # With a chmod after bind there would be a moment in which anyone may connect.
    mask = os.umask(_NOT_OTHERS)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener


def _remove_stale(path: Path) -> None:
    """Delete the socket of a worker that is gone.

    Raises:
        ConfigError: The path is relative, is not a socket, or another process listens at it.
    """
    if not path.is_absolute():
        raise ConfigError(f"The admin socket {path} is not absolute.", remedy=_REMEDY)
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigError(f"{path} exists and is not a socket.", remedy="Remove it.")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        if probe.connect_ex(str(path)) == 0:
            raise ConfigError(
                f"Another process listens at {path}.", remedy="Stop it, or take another path."
            )
    path.unlink()
