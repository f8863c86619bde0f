"""A request that was let in."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiohttp import web

    from tests.doubles.hub.repositories import Snapshot
    from tests.doubles.hub.routes import Asked

_TRUE: Final = {"1", "true"}


@dataclass(frozen=True)
class Call:
    """A request, and what it is about.

    Attributes:
        request: As aiohttp has it.
        asked: What it asks for.
        snapshot: The repository at the commit asked for.
        private: Whether the repository is private.
        gated: Whether the repository is gated.
        cdn_host: The host that large files come from.
    """

    request: web.Request
    asked: Asked
    snapshot: Snapshot
    private: bool
    gated: bool
    cdn_host: str

    def flag(self, name: str) -> bool:
        """Whether a query parameter is set; huggingface_hub says `true`, others `True` or `1`."""
        return self.request.query.get(name, "").lower() in _TRUE

    @property
    def moment(self) -> dt.datetime:
        """When the commit was made: the time of its directory."""
        return dt.datetime.fromtimestamp(self.snapshot.directory.stat().st_mtime, dt.UTC)
