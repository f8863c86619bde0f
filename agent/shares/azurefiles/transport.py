"""How requests go out: as the SDK sends them, and with nothing made of the bytes that come."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from azure.core.pipeline.transport import RequestsTransport
from requests.exceptions import ConnectionError as BrokenConnectionError

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from requests import Response


class Into:
    """A buffer that the bytes of one answer go to.

    Args:
        buffer: At least as large as the answer; its first `done` bytes are filled.
    """

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer
        self.done = 0

    def write(self, data: bytes) -> int:
        """Take what the SDK read."""
        self._buffer[self.done : self.done + len(data)] = data
        self.done += len(data)
        return len(data)

    def fill(self, source: HTTPResponse, count: int) -> None:
        """Take `count` bytes where they come in.

        Raises:
            EOFError: There were fewer.
        """
        got = source.readinto(self._buffer[self.done : self.done + count])
        self.done += got
        if got < count:
            raise EOFError


class AsStored(RequestsTransport):  # type: ignore[misc]  # it has no types
    """Gives the bytes of a file as they are stored, also of one that is marked as compressed.

    A mount shows the same. And the SDK decompresses all of an answer whose MD5 it checks at once:
    eight megabytes may become eight thousand.
    """

    def open(self) -> None:
        """Open the session, and have each answer of it forget how it is encoded."""
        super().open()
        self.session.hooks["response"] = [_forget_encoding]

    def send(self, request: Any, *, into: Into | None = None, **options: Any) -> Any:
        """Send `request`; what it asks for a part of a file goes straight to `into`, if given."""
        response = super().send(request, **options)
        if into and response.status_code == HTTPStatus.PARTIAL_CONTENT:
            _fill(into, response.internal_response)
        return response


def _fill(into: Into, answer: Response) -> None:
    """Read a body below urllib3, which would make a string of it; the SDK finds nothing left.

    Staging over TLS takes 5 % less time, and 8 MiB less memory for each request.

    Raises:
        BrokenConnectionError: The body stalled, or ended early.
    """
    raw: Any = answer.raw
    if raw.length_remaining is None:  # a proxy may send pieces, and not say how many bytes
        return
    try:
        into.fill(raw._fp, raw.length_remaining)  # noqa: SLF001 - urllib3's `readinto` copies
    except (OSError, EOFError) as error:
        answer.close()
        raise BrokenConnectionError(error) from error


def _forget_encoding(response: Response, **_: Any) -> Response:
    response.raw.headers.pop("Content-Encoding", None)
    return response
