"""Operations on shares, each named after its page in the Microsoft REST reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from tests.doubles.azure_files.call import metadata_headers, stamp
from tests.doubles.azure_files.resterror import bad_header
from tests.doubles.azure_files.tree import DEFAULT_QUOTA

if TYPE_CHECKING:
    from tests.doubles.azure_files.call import Call

_LEASE_VERSION: Final = "2020-02-10"
_QUOTAS: Final = range(1, 102401)


async def create_share(call: Call) -> web.Response:
    """Create Share."""
    quota = call.integer("x-ms-share-quota", DEFAULT_QUOTA)
    if quota not in _QUOTAS:
        raise bad_header("x-ms-share-quota", str(quota))
    metadata = call.metadata()
    share = call.tree.create_share(call.share, quota=quota)
    share.metadata = metadata
    return web.Response(status=201, headers=stamp(share))


async def get_share_properties(call: Call) -> web.Response:
    """Get Share Properties."""
    share, now = call.tree.share(call.share), call.clock.now()
    share.lease.check_read(call.headers.get("x-ms-lease-id"), now)
    headers = {
        "x-ms-has-immutability-policy": "false",
        "x-ms-has-legal-hold": "false",
        "x-ms-share-quota": str(share.quota),
    }
    if call.version >= _LEASE_VERSION:
        headers |= share.lease.headers(now)
        headers |= {"x-ms-access-tier": "TransactionOptimized", "x-ms-enabled-protocols": "SMB"}
    return web.Response(headers=stamp(share) | metadata_headers(share.metadata) | headers)


async def get_share_metadata(call: Call) -> web.Response:
    """Get Share Metadata."""
    share = call.tree.share(call.share)
    return web.Response(headers=stamp(share) | metadata_headers(share.metadata))


async def set_share_metadata(call: Call) -> web.Response:
    """Set Share Metadata."""
    share = call.tree.share(call.share)
    share.lease.check_write(call.headers.get("x-ms-lease-id"), call.clock.now())
    share.metadata = call.metadata()
    call.tree.touch(share)
    return web.Response(headers=stamp(share))


async def delete_share(call: Call) -> web.Response:
    """Delete Share: at once, where the real service takes its time."""
    share = call.tree.share(call.share)
    share.lease.check_write(call.headers.get("x-ms-lease-id"), call.clock.now())
    call.tree.delete_share(call.share)
    return web.Response(status=202)
