"""Bodies that are sent from files without being held in memory, and can be spoilt on the way."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import web

from tests.doubles.loopback.spoiling import PIECE, Spoiler

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

    from tests.doubles.loopback.faults import Plan

PLAN: Final = "loopback.plan"


class BodyTooLargeError(Exception):
    """A request's body is longer than the operation takes."""


class Source(Protocol):
    """Where a body comes from."""

    @property
    def length(self) -> int:
        """Bytes there are."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`; fewer where it ends."""
        ...

    def close(self) -> None:
        """Give back what it holds; it is not read again."""
        ...


@dataclass(frozen=True)
class BytesSource:
    """A body in memory."""

    data: bytes

    @property
    def length(self) -> int:
        """Bytes there are."""
        return len(self.data)

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`; fewer where it ends."""
        return self.data[offset : offset + size]

    def close(self) -> None:
        """Holds nothing."""


@dataclass(frozen=True)
class FileSource:
    """`length` bytes of an open file from `start`; `fd` is closed with it."""

    fd: int
    start: int
    length: int

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`; fewer where it ends."""
        return os.pread(self.fd, min(size, self.length - offset), self.start + offset)

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)


async def read_body(request: web.Request, *, limit: int) -> bytes:
    """The request's whole body, as faults let it through.

    Raises:
        BodyTooLargeError: It is longer than `limit`; what follows is not read.
    """
    length = request.content_length or 0
    if length > limit:
        raise BodyTooLargeError
    spoiler = Spoiler(request[PLAN], length, upload=True) if PLAN in request else None
    body = bytearray()
    async for chunk in request.content.iter_chunked(PIECE):
        piece: bytes = chunk
        if spoiler and spoiler.plan.rules:
            piece = await spoiler.pass_through(len(body), piece)
        body += piece
        if len(body) > limit:
            raise BodyTooLargeError
    return bytes(body)


class BodyResponse(web.StreamResponse):
    """An answer whose body comes from a source: by sendfile over plain HTTP, else piece by piece.

    Args:
        source: The body; closed once sent, or dropped.
        status: The HTTP status.
        headers: Its headers; `Content-Length` is added.

    Attributes:
        plan: What faults do to the body; set before it is sent.
        sent: Bytes of the body handed to the network.
    """

    def __init__(
        self, source: Source, *, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status=status, headers=headers)
        self.content_length = source.length
        self.plan: Plan | None = None
        self.sent = 0
        self._source = source
        self._request: web.BaseRequest | None = None
        self._over = False

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the head."""
        self._request = request
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the body, and what ends it."""
        if self._over:
            return
        self._over = True
        try:
            whole = await self._send()
        finally:
            self._source.close()
        if whole:
            await super().write_eof(data)

    def drop(self) -> None:
        """Give the body back unsent: another answer goes out, or none."""
        if not self._over:
            self.take().close()

    def take(self) -> Source:
        """The body, unsent: another answer goes out. Whoever takes it closes it."""
        self._over = True
        return self._source

    async def _send(self) -> bool:
        request = self._request
        if request is None or request.transport is None:
            raise ConnectionResetError("the client has left")
        if request.method == "HEAD" or not self._source.length:
            return True
        plain = request.transport.get_extra_info("ssl_object") is None
        if plain and isinstance(self._source, FileSource) and not (self.plan and self.plan.rules):
            return await self._send_file(request.transport, self._source)
        return await self._send_pieces(request.transport)

    async def _send_file(self, transport: asyncio.Transport, source: FileSource) -> bool:
        loop = asyncio.get_running_loop()
        if transport.is_closing():
            raise ConnectionResetError("the client has left")
        with os.fdopen(os.dup(source.fd), "rb", buffering=0) as file:
            self.sent = await loop.sendfile(transport, file, source.start, source.length)
        return self.sent == source.length

    async def _send_pieces(self, transport: asyncio.Transport) -> bool:
        length = self._source.length
        spoiler = Spoiler(self.plan, length) if self.plan and self.plan.rules else None
        while True:
            if spoiler and not await spoiler.pause(self.sent):
                transport.close()  # sends what was written, then ends: a body cut short
                return False
            if self.sent >= length:
                return True
            end = spoiler.until(self.sent) if spoiler else self.sent + PIECE
            piece = self._source.read(self.sent, end - self.sent)
            if not piece:
                transport.close()
                return False
            if spoiler:
                piece = await spoiler.pass_through(self.sent, piece)
            await self.write(piece)
            self.sent += len(piece)


class NoAnswer(web.StreamResponse):
    """Takes an answer's place where none is to go out; ends the connection.

    Args:
        request: The request whose connection ends.
        reset: By RST, as a crashed peer or a middlebox does it; else by a plain end of file.
    """

    def __init__(self, request: web.BaseRequest, *, reset: bool = False) -> None:
        super().__init__()
        self.force_close()
        transport = request.transport
        if transport is None:
            return
        if reset:
            sock: socket.socket = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:  # noqa: ARG002
        """Send nothing."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Send nothing."""
