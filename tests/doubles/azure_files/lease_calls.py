"""Lease Share and Lease File, after the pages of these names in the Microsoft REST reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from tests.doubles.azure_files.call import stamp
from tests.doubles.azure_files.leases import INFINITE
from tests.doubles.azure_files.resterror import bad_header

if TYPE_CHECKING:
    from tests.doubles.azure_files.call import Call
    from tests.doubles.azure_files.nodes import File, Share


async def lease_share(call: Call) -> web.Response:
    """Lease Share."""
    return _lease(call, call.tree.share(call.share))


async def lease_file(call: Call) -> web.Response:
    """Lease File."""
    return _lease(call, call.tree.file(call.share, call.path))


def _lease(call: Call, thing: File | Share) -> web.Response:
    action = call.needed("x-ms-lease-action").lower()
    lease, now = thing.lease, call.clock.now()
    status, extra = 200, {}
    if action == "acquire":
        proposed = call.headers.get("x-ms-proposed-lease-id")
        seconds = call.integer("x-ms-lease-duration", INFINITE)
        extra["x-ms-lease-id"] = lease.acquire(proposed=proposed, seconds=seconds, now=now)
        status = 201
    elif action == "renew":
        extra["x-ms-lease-id"] = lease.renew(given=call.needed("x-ms-lease-id"), now=now)
    elif action == "change":
        given, proposed = call.needed("x-ms-lease-id"), call.needed("x-ms-proposed-lease-id")
        extra["x-ms-lease-id"] = lease.change(given=given, proposed=proposed, now=now)
    elif action == "release":
        lease.release(given=call.needed("x-ms-lease-id"))
    elif action == "break":
        has_period = "x-ms-lease-break-period" in call.headers
        after = call.integer("x-ms-lease-break-period") if has_period else None
        extra["x-ms-lease-time"] = str(lease.end(after=after, now=now))
        status = 202
    else:
        raise bad_header("x-ms-lease-action", action)
    return web.Response(status=status, headers=stamp(thing) | extra)
