"""One request, taken apart, and the parts that many answers have."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web

from tests.doubles.azure_files.moments import http_date
from tests.doubles.azure_files.resterror import RestError, bad_header, missing_header
from tests.doubles.loopback.bodies import BodyTooLargeError, read_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.doubles.azure_files.moments import Clock
    from tests.doubles.azure_files.nodes import Node, Share
    from tests.doubles.azure_files.tree import Tree

SMB_VERSION: Final = "2019-02-02"
_METADATA: Final = "x-ms-meta-"
_METADATA_LIMIT: Final = 8192
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Call:
    """A request to the service.

    Attributes:
        request: As aiohttp has it.
        operation: What it asks for.
        version: The service version it speaks.
        query: Its query parameters, names in lower case.
        headers: Its headers, names in lower case.
        share: The share's name.
        path: The names below the share.
        tree: All shares.
        clock: The service's clock.
    """

    request: web.Request
    operation: str
    version: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    share: str
    path: tuple[str, ...]
    tree: Tree
    clock: Clock

    def needed(self, name: str) -> str:
        """A header that must be there."""
        if name not in self.headers:
            raise missing_header(name)
        return self.headers[name]

    def integer(self, name: str, default: int | None = None) -> int:
        """A header that is a whole number; without a default it must be there."""
        if default is not None and name not in self.headers:
            return default
        text = self.needed(name)
        try:
            return int(text)
        except ValueError as error:
            raise bad_header(name, text) from error

    def flag(self, name: str) -> bool:
        """A header that is true or, by default, false."""
        return self.headers.get(name, "false").lower() == "true"

    def metadata(self) -> dict[str, str]:
        """The `x-ms-meta-` headers, names as they were written.

        Raises:
            RestError: A name is no identifier, or all are too long together.
        """
        found = {}
        for raw_name, raw_value in self.request.raw_headers:
            name = raw_name.decode("latin-1")
            if name.lower().startswith(_METADATA):
                found[name[len(_METADATA) :]] = raw_value.decode("latin-1")
        if "" in found:
            raise RestError("EmptyMetadataKey")
        if not all(_IDENTIFIER.fullmatch(name) for name in found):
            raise RestError("InvalidMetadata")
        if sum(len(name) + len(value) for name, value in found.items()) > _METADATA_LIMIT:
            raise RestError("MetadataTooLarge")
        return found

    async def body(self, limit: int) -> bytes:
        """The request's body, checked against its `Content-MD5`.

        Raises:
            RestError: It has no length, is too long, or is not what its MD5 says.
        """
        if self.request.content_length is None:
            raise RestError("MissingContentLengthHeader")
        try:
            data = await read_body(self.request, limit=limit)
        except BodyTooLargeError as error:
            raise RestError("RequestBodyTooLarge") from error
        check_md5(self.headers.get("content-md5"), data)
        return data

    def empty_body(self) -> None:
        """Refuse a body."""
        if self.request.content_length:
            raise bad_header("Content-Length", str(self.request.content_length))

    def smb_headers(self, node: Node) -> dict[str, str]:
        """SMB properties and ids; not for versions that had none."""
        if self.version < SMB_VERSION:
            return {}
        ids = {"x-ms-file-id": node.id, "x-ms-file-parent-id": node.parent_id}
        return node.smb.headers() | ids


def stamp(thing: Node | Share) -> dict[str, str]:
    """`ETag` and `Last-Modified`."""
    return {"ETag": thing.etag, "Last-Modified": http_date(thing.modified)}


def metadata_headers(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata as answers carry it."""
    return {f"{_METADATA}{name}": value for name, value in metadata.items()}


def changed(
    thing: Node | Share, headers: Mapping[str, str] | None = None, *, status: int = 200
) -> web.Response:
    """The answer to a change: its new stamp, and that it was stored encrypted."""
    encrypted = {"x-ms-request-server-encrypted": "true"}
    return web.Response(status=status, headers={**stamp(thing), **encrypted, **(headers or {})})


def md5_of(data: bytes) -> str:
    """The MD5 of some bytes, as headers carry it."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def check_md5(given: str | None, data: bytes) -> None:
    """Refuse bytes that are not those which their sender hashed."""
    if given is None:
        return
    try:
        length = len(base64.b64decode(given, validate=True))
    except binascii.Error:
        length = 0
    if length != hashlib.md5(usedforsecurity=False).digest_size:
        raise RestError("InvalidMd5")
    if given != md5_of(data):
        raise RestError("Md5Mismatch")
