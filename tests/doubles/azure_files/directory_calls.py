"""Operations on directories, each named after its page in the Microsoft REST reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from tests.doubles.azure_files.call import changed, metadata_headers, stamp
from tests.doubles.azure_files.listing import parse_page, render_listing
from tests.doubles.azure_files.smb import new_properties

if TYPE_CHECKING:
    from tests.doubles.azure_files.call import Call

_IDS_VERSION: Final = "2020-10-02"


async def create_directory(call: Call) -> web.Response:
    """Create Directory."""
    call.empty_body()
    metadata, share = call.metadata(), call.tree.share(call.share)
    smb = new_properties(call.headers, share.permissions, call.clock.now(), directory=True)
    directory = call.tree.add_directory(call.share, call.path, smb)
    directory.metadata = metadata
    return changed(directory, call.smb_headers(directory), status=201)


async def get_directory_properties(call: Call) -> web.Response:
    """Get Directory Properties."""
    directory = call.tree.directory(call.share, call.path)
    encrypted = {"x-ms-server-encrypted": "true"}
    own = metadata_headers(directory.metadata) | call.smb_headers(directory)
    return web.Response(headers=stamp(directory) | encrypted | own)


async def get_directory_metadata(call: Call) -> web.Response:
    """Get Directory Metadata."""
    directory = call.tree.directory(call.share, call.path)
    return web.Response(headers=stamp(directory) | metadata_headers(directory.metadata))


async def set_directory_metadata(call: Call) -> web.Response:
    """Set Directory Metadata."""
    directory = call.tree.directory(call.share, call.path)
    directory.metadata = call.metadata()
    call.tree.touch(directory)
    return changed(directory)


async def set_directory_properties(call: Call) -> web.Response:
    """Set Directory Properties."""
    directory = call.tree.directory(call.share, call.path)
    permissions = call.tree.share(call.share).permissions
    directory.smb = directory.smb.updated(call.headers, permissions, call.clock.now())
    call.tree.touch(directory)
    return changed(directory, call.smb_headers(directory))


async def delete_directory(call: Call) -> web.Response:
    """Delete Directory: an empty one only."""
    call.tree.delete(call.tree.directory(call.share, call.path))
    return web.Response(status=202)


async def list_directory(call: Call) -> web.Response:
    """List Directories and Files."""
    directory = call.tree.directory(call.share, call.path)
    page = parse_page(call.query)
    endpoint = f"{call.request.scheme}://{call.request.host}/"
    body = render_listing(directory, page, endpoint=endpoint, ids=call.version >= _IDS_VERSION)
    response = web.Response(body=body, headers={"Content-Type": "application/xml"})
    response.enable_chunked_encoding()
    return response
