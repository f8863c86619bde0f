"""Operations on files: resolve, and the CDN's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from aiohttp import web

from tests.doubles.hub.huberror import HubError, entry_not_found
from tests.doubles.hub.routes import cdn_path
from tests.doubles.loopback.bodies import BodyResponse, FileSource

if TYPE_CHECKING:
    from tests.doubles.hub.call import Call
    from tests.doubles.hub.repositories import File

_TEXT: Final = "text/plain; charset=utf-8"
_OCTETS: Final = "application/octet-stream"


def resolve(call: Call) -> web.StreamResponse:
    """A file: itself, or where the CDN has it."""
    file = call.snapshot.file(call.asked.path)
    headers = {"X-Repo-Commit": call.snapshot.commit, "Accept-Ranges": "bytes"}
    if file.blob.sha256 is None:
        headers |= {"ETag": file.blob.etag, "Content-Type": _TEXT}
        return _body(call.request, file, headers)
    location = _location(call, file.path, file.blob.sha256)
    headers |= _linked(file) | {"Location": location, "Content-Type": _TEXT}
    return web.Response(status=302, text=f"Found. Redirecting to {location}", headers=headers)


def content(call: Call) -> web.StreamResponse:
    """A large file. Whoever knows its address was let in: no token is asked for."""
    file = call.snapshot.file(call.asked.path)
    if file.blob.sha256 != call.asked.digest:
        raise entry_not_found(call.snapshot.commit)
    headers = {"ETag": file.blob.etag, "Accept-Ranges": "bytes", "Content-Type": _OCTETS}
    if call.request.method == "HEAD":
        # The real client asks for no HEAD from another host than the Hub's: here the two are one.
        headers |= _linked(file) | {"X-Repo-Commit": call.snapshot.commit}
    return _body(call.request, file, headers)


def _linked(file: File) -> dict[str, str]:
    return {"X-Linked-Size": str(file.blob.size), "X-Linked-ETag": file.blob.etag}


def _location(call: Call, path: str, digest: str) -> str:
    url = call.request.url.with_host(call.cdn_host)
    snapshot = call.snapshot
    return f"{url.origin()}{cdn_path(snapshot.repo, snapshot.commit, digest, path)}"


def _body(request: web.Request, file: File, headers: dict[str, str]) -> BodyResponse:
    """The file, or the range of it that is asked for."""
    size, name = file.blob.size, file.path.rpartition("/")[2]
    start, end, partial = _span(request, size)
    encoded = quote(name)
    headers["Content-Disposition"] = f"inline; filename*=UTF-8''{encoded}; filename=\"{encoded}\";"
    if partial:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    source = FileSource(os.open(file.at, os.O_RDONLY), start, end - start)
    return BodyResponse(source, status=206 if partial else 200, headers=headers)


def _span(request: web.Request, size: int) -> tuple[int, int, bool]:
    """Where the answer begins and ends, and whether that was asked for."""
    if "Range" not in request.headers:
        return 0, size, False
    unsatisfied = HubError(
        416, "The range is not satisfiable", headers={"Content-Range": f"bytes */{size}"}
    )
    try:
        start, end, _ = request.http_range.indices(size)
    except ValueError as error:
        raise unsatisfied from error
    if start >= end:
        raise unsatisfied
    return start, end, True
