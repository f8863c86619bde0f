"""Operations of the JSON API: model info and trees."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from tests.doubles.hub.huberror import HubError
from tests.doubles.hub.trees import describe, expanded, folder

if TYPE_CHECKING:
    from tests.doubles.hub.call import Call
    from tests.doubles.hub.repositories import File

_PAGE: Final = 1000
_EXPANDED_PAGE: Final = 50


def model_info(call: Call) -> web.Response:
    """Model info; `blobs` adds what files are known by, `expand` asks for some fields only."""
    snapshot, blobs = call.snapshot, call.flag("blobs")
    moment = call.moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    found: dict[str, Any] = {
        "id": snapshot.repo,
        "modelId": snapshot.repo,
        "author": snapshot.repo.partition("/")[0],
        "sha": snapshot.commit,
        "lastModified": moment,
        "createdAt": moment,
        "private": call.private,
        "gated": "manual" if call.gated else False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [_sibling(file, blobs=blobs) for file in snapshot.files()],
        "spaces": [],
    }
    if wanted := {"id", *call.request.query.getall("expand", [])} - {"id"}:
        found = {name: value for name, value in found.items() if name in wanted | {"id"}}
    return web.json_response(found)


def tree(call: Call) -> web.Response:
    """A directory's entries, a page of them; the Link header says where the next page is."""
    recursive, expand = call.flag("recursive"), call.flag("expand")
    entries = [
        describe(entry)
        for entry in folder(call.snapshot, call.asked.path).walk(recursive=recursive)
    ]
    start = _after(entries, call.request.query.get("cursor"))
    limit = _limit(call, _EXPANDED_PAGE if expand else _PAGE)
    page = entries[start : start + limit]
    more = start + limit < len(entries)
    link = {"Link": f'<{_next(call, page[-1]["path"], limit)}>; rel="next"'} if more else None
    if expand:
        page = [expanded(entry, call.snapshot.commit, call.moment) for entry in page]
    return web.json_response(page, headers=link)


def _sibling(file: File, *, blobs: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"rfilename": file.path}
    if not blobs:
        return found
    blob = file.blob
    found |= {"blobId": blob.git_id, "size": blob.size}
    if blob.sha256:
        lfs = {"sha256": blob.sha256, "size": blob.size, "pointerSize": blob.pointer_size}
        found["lfs"] = lfs
    return found


def _limit(call: Call, most: int) -> int:
    text = call.request.query.get("limit", str(most))
    if not text.isdecimal() or not int(text):
        raise HubError(400, "limit must be a number above zero")
    return min(int(text), most)


def _after(entries: list[dict[str, Any]], cursor: str | None) -> int:
    """Where a page begins: behind the path that the cursor holds."""
    if cursor is None:
        return 0
    try:
        path = json.loads(base64.b64decode(cursor, validate=True))["file_name"]
        return [entry["path"] for entry in entries].index(path) + 1
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise HubError(400, "Invalid cursor") from error


def _next(call: Call, last: str, limit: int) -> str:
    cursor = base64.b64encode(json.dumps({"file_name": last}).encode()).decode()
    here = call.request.url
    return str(here.update_query({"limit": str(limit), "cursor": cursor}))
