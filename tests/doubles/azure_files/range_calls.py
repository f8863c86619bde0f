"""Operations on ranges of files, each named after its page in the Microsoft REST reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from tests.doubles.azure_files.call import changed, md5_of, stamp
from tests.doubles.azure_files.file_calls import check_writable, file_headers
from tests.doubles.azure_files.listing import parse_page, render_ranges
from tests.doubles.azure_files.ranges import MAX_RANGE, ByteRange, parse_range, within
from tests.doubles.azure_files.resterror import RestError, bad_header, missing_header
from tests.doubles.azure_files.sas import OVERRIDDEN
from tests.doubles.loopback.bodies import BodyResponse

if TYPE_CHECKING:
    from tests.doubles.azure_files.call import Call
    from tests.doubles.azure_files.nodes import File

_WRITE_TIME_VERSION: Final = "2021-06-08"
_MD5_WANTED: Final = "x-ms-range-get-content-md5"


async def get_file(call: Call) -> web.StreamResponse:
    """Get File: whole, or a range of it."""
    file = call.tree.file(call.share, call.path)
    file.lease.check_read(call.headers.get("x-ms-lease-id"), call.clock.now())
    if "x-ms-structured-body" in call.headers:
        raise RestError("UnsupportedHeader")
    asked = _asked_range(call)
    span = within(asked, file.size) if asked else ByteRange(0, file.size)
    headers = file.settings | {"Accept-Ranges": "bytes"} | file_headers(call, file)
    headers |= {kept: call.query[name] for name, kept in OVERRIDDEN.items() if name in call.query}
    if asked:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{file.size}"
        if whole_md5 := headers.pop("Content-MD5", None):
            headers["x-ms-content-md5"] = whole_md5
    if call.flag(_MD5_WANTED):
        if not asked or span.length > MAX_RANGE:
            raise bad_header(_MD5_WANTED, "true")
        headers["Content-MD5"] = md5_of(file.content.read(span))
    return BodyResponse(file.content.source(span), status=206 if asked else 200, headers=headers)


async def put_range(call: Call) -> web.Response:
    """Put Range: `update` writes up to 4 MiB, `clear` makes any range zeros."""
    if "x-ms-copy-source" in call.headers or "x-ms-structured-body" in call.headers:
        raise RestError("UnsupportedHeader")
    action, span = call.needed("x-ms-write").lower(), _target(call)
    if action == "update":
        data = await _payload(call, span)
    elif action == "clear":
        call.empty_body()
        data = None
    else:
        raise bad_header("x-ms-write", action)
    # From here on nothing waits: what is checked is still so when the bytes are written.
    file = call.tree.file(call.share, call.path)
    check_writable(call, file)
    if span.end > file.size:
        raise RestError("InvalidRange", headers={"Content-Range": f"bytes */{file.size}"})
    if data is None:
        file.content.clear(span)
        file.ranges.remove(span)
    else:
        file.content.write(span.start, data)
        file.ranges.add(span)
    return changed(file, _written(call, file, data), status=201)


async def list_ranges(call: Call) -> web.Response:
    """List Ranges: where the file has data, in grains of 512 bytes."""
    file = call.tree.file(call.share, call.path)
    file.lease.check_read(call.headers.get("x-ms-lease-id"), call.clock.now())
    asked = _asked_range(call)
    span = within(asked, file.size) if asked else ByteRange(0, file.size)
    headers = {"Content-Type": "application/xml", "x-ms-content-length": str(file.size)}
    body = render_ranges(file.ranges.inside(span), parse_page(call.query))
    response = web.Response(body=body, headers=headers | stamp(file))
    response.enable_chunked_encoding()
    return response


def _asked_range(call: Call) -> str | None:
    return call.headers.get("x-ms-range") or call.headers.get("range")


def _target(call: Call) -> ByteRange:
    text = _asked_range(call)
    if text is None:
        raise missing_header("x-ms-range")
    start, end = parse_range(text)
    if end is None:
        raise bad_header("x-ms-range", text)
    return ByteRange(start, end)


async def _payload(call: Call, span: ByteRange) -> bytes:
    if span.length > MAX_RANGE:
        raise RestError("RequestBodyTooLarge")
    length = call.request.content_length
    if length is not None and length != span.length:
        raise bad_header("Content-Length", str(length))
    data = await call.body(MAX_RANGE)
    if len(data) != span.length:
        raise bad_header("Content-Length", str(len(data)))
    return data


def _written(call: Call, file: File, data: bytes | None) -> dict[str, str]:
    """Note the change, and what of it the answer says; old versions left the SMB times alone."""
    call.tree.touch(file)
    headers = {"Content-MD5": md5_of(data)} if data is not None else {}
    if call.version >= _WRITE_TIME_VERSION:
        kept = call.headers.get("x-ms-file-last-write-time", "now").lower() == "preserve"
        file.smb = file.smb.touched(call.clock.now(), written=not kept)
        headers["x-ms-file-last-write-time"] = file.smb.written
    return headers
