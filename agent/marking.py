"""Reads and writes the marker on a share, so that no half-written one ever counts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from agent import marker
from agent.errors import ReleaseMissingError

if TYPE_CHECKING:
    from agent.marker import Marker
    from agent.shares.base import Share

# Between the two reads that must agree; they count only if they are at most 0.5 s apart.
_PAUSE_SECONDS: Final = 0.1
_APART_SECONDS: Final = 0.5


class UnsettledMarkerError(marker.UnknownMarkerError):
    """Two reads in a row differed: somebody is writing."""


def read(share: Share, path: str, *, known: bytes | None = None) -> bytes | None:
    """The marker's bytes, or None where there is no marker.

    New bytes count only once they were read twice: a writer may be half way. Bytes that were
    `known` before count at once.

    Raises:
        UnsettledMarkerError: They changed between the two reads, or the reads took too long.
        UnreachableError: The share does not answer.
    """
    first = share.read(path, marker.MAX_BYTES)
    if first is None or first == known:
        return first
    began = time.monotonic()
    time.sleep(_PAUSE_SECONDS)
    if share.read(path, marker.MAX_BYTES) != first:
        raise UnsettledMarkerError("it is being written")
    if time.monotonic() - began > _APART_SECONDS:
        raise UnsettledMarkerError("reading it twice took too long to be sure")
    return first


def current(share: Share, path: str) -> Marker | None:
    """What the marker says; None where there is none.

    Raises:
        UnknownMarkerError: It says nothing sound.
        UnreachableError: The share does not answer.
    """
    data = read(share, path)
    return None if data is None else marker.parse(data)


def required(share: Share, path: str) -> Marker:
    """What the marker says.

    Raises:
        ReleaseMissingError: There is none, or it says nothing sound.
        UnreachableError: The share does not answer.
    """
    try:
        found = current(share, path)
        reason = "there is none"
    except marker.UnknownMarkerError as error:
        found, reason = None, str(error)
    if found is None:
        raise ReleaseMissingError(
            f"The marker {path} on {share.address} names no release: {reason}.",
            remedy="Write one: model-agent promote VERSION.",
        )
    return found
