"""Operations on whole files, each named after its page in the Microsoft REST reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from tests.doubles.azure_files.call import (
    SMB_VERSION,
    changed,
    check_md5,
    md5_of,
    metadata_headers,
    stamp,
)
from tests.doubles.azure_files.ranges import MAX_RANGE, ByteRange
from tests.doubles.azure_files.resterror import RestError, bad_header
from tests.doubles.azure_files.smb import new_properties

if TYPE_CHECKING:
    from tests.doubles.azure_files.call import Call
    from tests.doubles.azure_files.nodes import File

_MAX_SIZE: Final = 4 << 40
_BODY_VERSION: Final = "2025-11-05"
_OCTETS: Final = "application/octet-stream"
# By the header that sets it: the header that answers carry.
_SETTINGS: Final = {
    "x-ms-content-type": "Content-Type",
    "x-ms-content-encoding": "Content-Encoding",
    "x-ms-content-language": "Content-Language",
    "x-ms-cache-control": "Cache-Control",
    "x-ms-content-disposition": "Content-Disposition",
    "x-ms-content-md5": "Content-MD5",
}


async def create_file(call: Call) -> web.Response:
    """Create File: full length at once, all zeros but for the body that may come with it."""
    if call.needed("x-ms-type").lower() != "file":
        raise bad_header("x-ms-type", call.headers["x-ms-type"])
    size, data = _size(call), await _first_bytes(call)
    if len(data) > size:
        raise bad_header("Content-Length", str(len(data)))
    old, now = call.tree.find(call.share, call.path), call.clock.now()
    if old is not None:
        file = call.tree.file(call.share, call.path)
        check_writable(call, file)
    permissions = call.tree.share(call.share).permissions
    smb = new_properties(call.headers, permissions, now, directory=False)
    metadata, settings = call.metadata(), {"Content-Type": _OCTETS} | _settings(call)
    file = call.tree.add_file(call.share, call.path, size, smb)
    file.metadata, file.settings = metadata, settings
    if not data:
        return changed(file, call.smb_headers(file), status=201)
    file.content.write(0, data)
    file.ranges.add(ByteRange(0, len(data)))
    return changed(file, call.smb_headers(file) | {"Content-MD5": md5_of(data)}, status=201)


async def get_file_properties(call: Call) -> web.Response:
    """Get File Properties."""
    file = call.tree.file(call.share, call.path)
    file.lease.check_read(call.headers.get("x-ms-lease-id"), call.clock.now())
    headers = {"Content-Length": str(file.size)} | file.settings | file_headers(call, file)
    return web.Response(headers=headers)


async def get_file_metadata(call: Call) -> web.Response:
    """Get File Metadata."""
    file = call.tree.file(call.share, call.path)
    file.lease.check_read(call.headers.get("x-ms-lease-id"), call.clock.now())
    return web.Response(headers=stamp(file) | metadata_headers(file.metadata))


async def set_file_metadata(call: Call) -> web.Response:
    """Set File Metadata."""
    file = call.tree.file(call.share, call.path)
    check_writable(call, file)
    file.metadata = call.metadata()
    call.tree.touch(file)
    return changed(file)


async def set_file_properties(call: Call) -> web.Response:
    """Set File Properties: headers that are not given are cleared; may change the length."""
    file, now = call.tree.file(call.share, call.path), call.clock.now()
    file.lease.check_write(call.headers.get("x-ms-lease-id"), now)
    resized = "x-ms-content-length" in call.headers
    size = _size(call) if resized else file.size
    settings = _settings(call)
    permissions = call.tree.share(call.share).permissions
    file.smb = file.smb.updated(call.headers, permissions, now)
    file.settings = settings
    if resized:
        file.content.resize(size)
        file.ranges.clip(size)
        file.size = size
    call.tree.touch(file)
    return changed(file, call.smb_headers(file))


async def delete_file(call: Call) -> web.Response:
    """Delete File."""
    file = call.tree.file(call.share, call.path)
    check_writable(call, file)
    call.tree.delete(file)
    return web.Response(status=202)


def check_writable(call: Call, file: File) -> None:
    """Refuse to change a file that is read-only, or leased by another."""
    file.lease.check_write(call.headers.get("x-ms-lease-id"), call.clock.now())
    if file.smb.read_only:
        raise RestError("ReadOnlyAttribute")


def file_headers(call: Call, file: File) -> dict[str, str]:
    """What answers to both Get File and Get File Properties carry, stored headers aside."""
    own = {"x-ms-server-encrypted": "true", "x-ms-type": "File"}
    if call.version >= SMB_VERSION:
        own |= file.lease.headers(call.clock.now())
    return stamp(file) | own | metadata_headers(file.metadata) | call.smb_headers(file)


def _size(call: Call) -> int:
    size = call.integer("x-ms-content-length")
    if not 0 <= size <= _MAX_SIZE:
        raise bad_header("x-ms-content-length", str(size))
    return size


async def _first_bytes(call: Call) -> bytes:
    if "x-ms-structured-body" in call.headers or "x-ms-copy-source" in call.headers:
        raise RestError("UnsupportedHeader")
    if call.version < _BODY_VERSION or not call.request.content_length:
        call.empty_body()
        return b""
    return await call.body(MAX_RANGE)


def _settings(call: Call) -> dict[str, str]:
    found = {
        kept: call.headers[given] for given, kept in _SETTINGS.items() if given in call.headers
    }
    if "Content-MD5" in found:
        _check_form(found["Content-MD5"])
    return found


def _check_form(md5: str) -> None:
    """A stored MD5 is the client's word: only its form is looked at."""
    try:
        check_md5(md5, b"")
    except RestError as error:
        if error.code == "InvalidMd5":
            raise
