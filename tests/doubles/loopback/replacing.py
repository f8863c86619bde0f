"""Answers that come as if all were well, from another server: a captive portal, a proxy."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from aiohttp import web

from tests.doubles.loopback.bodies import BodyResponse, BytesSource
from tests.doubles.loopback.spoiling import PIECE

if TYPE_CHECKING:
    from tests.doubles.loopback.bodies import Source
    from tests.doubles.loopback.faults import Rule


async def replaced(response: web.StreamResponse, rule: Rule) -> web.StreamResponse:
    """A 200 with the rule's body and headers, as another server would give it."""
    source = _source(response)
    body = rule.fields["body"].replace("{size}", str(source.length))
    if "{sha256}" in body:
        body = body.replace("{sha256}", await asyncio.to_thread(_sha256, source))
    source.close()
    return BodyResponse(BytesSource(body.encode()), headers=rule.fields.get("headers"))


def _source(response: web.StreamResponse) -> Source:
    if isinstance(response, BodyResponse):
        return response.take()
    if isinstance(response, web.Response) and isinstance(response.body, bytes):
        return BytesSource(response.body)
    return BytesSource(b"")


def _sha256(source: Source) -> str:
    digest, at = hashlib.sha256(), 0
    while piece := source.read(at, PIECE):
        digest.update(piece)
        at += len(piece)
    return digest.hexdigest()
