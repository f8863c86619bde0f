"""Pages of directory listings, and range lists, in the service's XML. No I/O.

Source: "List Directories and Files" and "List Ranges" (Microsoft REST reference).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from tests.doubles.azure_files.moments import http_date
from tests.doubles.azure_files.names import fold
from tests.doubles.azure_files.nodes import Directory, File
from tests.doubles.azure_files.resterror import BOM, PROLOGUE, RestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.doubles.azure_files.nodes import Node
    from tests.doubles.azure_files.ranges import ByteRange

_MOST: Final = 5000
_DIGITS: Final = 20  # of any offset, so that markers sort as numbers
# What XML 1.0 cannot hold, not even as a reference.
_UNSPEAKABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_INCLUDES: Final = {"timestamps", "etag", "attributes", "permissionkey"}


@dataclass(frozen=True)
class Page:
    """What of a directory is asked for.

    Attributes:
        prefix: What names must begin with; None: all.
        start: The first name; empty: from the beginning.
        marker: The marker as it was given.
        most: How many entries at most; None: as many as the service gives.
        include: Further properties, in lower case.
    """

    prefix: str | None
    start: str
    marker: str | None
    most: int | None
    include: frozenset[str]


def parse_page(query: Mapping[str, str]) -> Page:
    """The page that query parameters ask for.

    Raises:
        RestError: One of them has a value that it cannot have.
    """
    most = None
    if "maxresults" in query:
        try:
            most = int(query["maxresults"])
        except ValueError as error:
            raise RestError("InvalidQueryParameterValue") from error
        if most < 1:
            raise RestError("OutOfRangeQueryParameterValue")
    include = {part.strip().lower() for part in query.get("include", "").split(",")} - {""}
    if include - _INCLUDES:
        raise RestError("InvalidQueryParameterValue")
    marker = query.get("marker") or None
    start = _name_in(marker) if marker else ""
    return Page(query.get("prefix") or None, start, marker, most, frozenset(include))


def render_listing(directory: Directory, page: Page, *, endpoint: str, ids: bool) -> bytes:
    """The entries of a directory that a page holds, and the marker of the next one."""
    prefix = fold(page.prefix or "")
    keys = [k for k in sorted(directory.entries) if k.startswith(prefix) and k >= fold(page.start)]
    count = min(page.most or _MOST, _MOST)
    entries = "".join(_entry(directory.entries[key], page.include, ids=ids) for key in keys[:count])
    following = directory.entries[keys[count]].name if len(keys) > count else ""
    share, *below = directory.path()
    head = (
        f'<EnumerationResults ServiceEndpoint="{escape(endpoint)}" '
        f'ShareName="{escape(share)}"{_path_attribute("/".join(below))}>'
    )
    asked = "".join(
        [
            _element("Marker", page.marker) if page.marker else "",
            _named("Prefix", page.prefix) if page.prefix else "",
            _element("MaxResults", str(page.most)) if page.most else "",
            _element("DirectoryId", directory.id) if ids else "",
        ]
    )
    body = f"{_element('Entries', entries, raw=True)}{_element('NextMarker', _marker(following))}"
    return f"{BOM}{PROLOGUE}{head}{asked}{body}</EnumerationResults>".encode()


def render_ranges(ranges: Iterable[ByteRange], page: Page) -> bytes:
    """The ranges of a file that have data: those that a page holds, and the next one's marker."""
    left = [span for span in ranges if str(span.start).zfill(_DIGITS) >= page.start]
    count = page.most or len(left)
    items = "".join(
        f"<Range><Start>{span.start}</Start><End>{span.end - 1}</End></Range>"
        for span in left[:count]
    )
    if len(left) > count:
        items += _element("NextMarker", _marker(str(left[count].start).zfill(_DIGITS)))
    return f"{BOM}{PROLOGUE}{_element('Ranges', items, raw=True)}".encode()


def _entry(node: Node, include: frozenset[str], *, ids: bool) -> str:
    smb, wanted = node.smb, []
    if isinstance(node, File):
        wanted.append(_element("Content-Length", str(node.size)))
    if "timestamps" in include:
        wanted += [
            _element("CreationTime", smb.created),
            _element("LastAccessTime", smb.written),
            _element("LastWriteTime", smb.written),
            _element("ChangeTime", smb.changed),
            _element("Last-Modified", http_date(node.modified)),
        ]
    if "etag" in include:
        wanted.append(_element("Etag", node.etag))
    parts = [
        _element("FileId", node.id) if ids else "",
        _named("Name", node.name),
        _element("Properties", "".join(wanted), raw=True),
        _element("Attributes", smb.attributes) if "attributes" in include else "",
        _element("PermissionKey", smb.permission_key) if "permissionkey" in include else "",
    ]
    return _element(
        "Directory" if isinstance(node, Directory) else "File", "".join(parts), raw=True
    )


def _element(name: str, text: str, *, raw: bool = False) -> str:
    if not text:
        return f"<{name} />"
    return f"<{name}>{text if raw else escape(text, quote=False)}</{name}>"


def _named(element: str, name: str) -> str:
    if _UNSPEAKABLE.search(name):
        return f'<{element} Encoded="true">{quote(name)}</{element}>'
    return _element(element, name)


def _path_attribute(path: str) -> str:
    if _UNSPEAKABLE.search(path):
        return f' DirectoryPath="{quote(path)}" Encoded="true"'
    return f' DirectoryPath="{escape(path)}"'


def _marker(name: str) -> str:
    if not name:
        return ""
    encoded = base64.b64encode(name.encode()).decode()
    return f"1!{len(encoded)}!{encoded}"


def _name_in(marker: str) -> str:
    try:
        encoded = marker.split("!", 2)[2]
        return base64.b64decode(encoded, validate=True).decode()
    except (IndexError, binascii.Error, UnicodeDecodeError) as error:
        raise RestError("InvalidQueryParameterValue") from error
