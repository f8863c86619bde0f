"""Small files that are replaced: `write`."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING

import pytest

from agent.errors import UnreachableError
from agent.machine import threads
from tests.support.shares import snapshot

if TYPE_CHECKING:
    from tests.unit.shares.conformance.places import Place

LIMIT = 4096
RECORD = b"v1".ljust(512, b"\n")


@pytest.mark.parametrize("data", [RECORD.replace(b"1", b"2"), b"v2\n", b""], ids=len)
@pytest.mark.parametrize(
    "old", [None, RECORD, b"v1\n", b""], ids=["new", "record", "short", "empty"]
)
def test_a_file_is_replaced(old: bytes | None, data: bytes, place: Place) -> None:
    """A file holds what was written, whatever was there, and nothing else is left on the share."""
    if old is not None:
        place.put("VERSION", old)
    place.share.write("VERSION", data)
    assert (place.root / "VERSION").read_bytes() == data
    assert place.share.read("VERSION", LIMIT) == data
    assert place.share.names("") == ("VERSION",)


def test_readers_see_the_old_bytes_or_the_new(place: Place) -> None:
    """A reader never sees a part of a file, nor that there is none, while it is replaced."""
    written = [b"a" * 512, b"b" * 512, b"c" * 300, b"d" * 700]
    place.share.write("VERSION", written[0])
    ended, seen = threading.Event(), set()

    def look() -> None:
        while not ended.is_set():
            seen.add(place.share.read("VERSION", LIMIT))

    looking = threads.start(look)
    for data in itertools.islice(itertools.cycle(written), 20):
        place.share.write("VERSION", data)
    ended.set()
    looking.result(30)
    assert seen <= set(written)
    assert place.share.names("") == ("VERSION",)


@pytest.mark.parametrize("path", ["missing/VERSION", "missing/below/VERSION", "file/VERSION"])
def test_no_directory_is_made(path: str, place: Place) -> None:
    """A file whose directory is not there is not written, and its directory is not made."""
    place.put("file", b"data")
    before = snapshot(place.root)
    with pytest.raises(UnreachableError):
        place.share.write(path, b"data")
    assert snapshot(place.root) == before


def test_a_directory_is_not_replaced(place: Place) -> None:
    """A directory in the place of the file stays as it is."""
    place.put("VERSION/file", b"data")
    before = snapshot(place.root)
    with pytest.raises(UnreachableError):
        place.share.write("VERSION", b"data")
    assert snapshot(place.root) == before
