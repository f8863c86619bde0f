"""How requests go out: as the SDK sends them, and with nothing made of the bytes that come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure.core.pipeline.transport import RequestsTransport

if TYPE_CHECKING:
    from requests import Response


class AsStored(RequestsTransport):  # type: ignore[misc]  # it has no types
    """Gives the bytes of a file as they are stored, also of one that is marked as compressed.

    A mount shows the same. And the SDK decompresses all of an answer whose MD5 it checks at once:
    eight megabytes may become eight thousand.
    """

    def open(self) -> None:
        """Open the session, and have each answer of it forget how it is encoded."""
        super().open()
        self.session.hooks["response"] = [_forget_encoding]


def _forget_encoding(response: Response, **_: Any) -> Response:
    response.raw.headers.pop("Content-Encoding", None)
    return response
