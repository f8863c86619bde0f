"""Files that are read at offsets: `open`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.errors import ReleaseMissingError, VerificationError
from agent.machine import threads
from tests.unit.shares.conformance.places import LARGE

if TYPE_CHECKING:
    from agent.files.source import Reader
    from agent.shares.base import Share
    from tests.unit.shares.conformance.places import Place

MIB = 1024 * 1024
SIZE = len(LARGE)
END = 0xEE


def read(share: Share, path: str, size: int, offset: int = 0) -> tuple[int, bytearray]:
    """Read into a buffer of `size` that is full of `END`; return the count and the buffer."""
    buffer = bytearray([END]) * size
    reader = share.open(path)
    try:
        return reader.read_into(memoryview(buffer), offset), buffer
    finally:
        reader.close()


@pytest.mark.parametrize(
    ("offset", "size"),
    [
        (0, 0),
        (1, 2),
        (0, SIZE + 1),
        (8 * MIB - 1, 2),
        (MIB, 8 * MIB),
        (8 * MIB, 8 * MIB + 3),
        (SIZE - 1, 2),
        (SIZE - 4, 9 * MIB),
        (SIZE, 1),
        (SIZE + MIB, 1),
    ],
)
def test_a_read_fills_the_buffer(offset: int, size: int, filled: Share) -> None:
    """A read gives fewer bytes only at the end of the file, and leaves the rest of the buffer."""
    there = LARGE[offset : offset + size]
    count, buffer = read(filled, "large", size, offset)
    assert count == len(there)
    assert buffer == there + bytes([END]) * (size - count)


def test_an_empty_file(place: Place) -> None:
    """An empty file is there, and gives no bytes."""
    place.put("releases/v1/empty", b"")
    for offset in (0, 10):
        assert read(place.share, "releases/v1/empty", 3, offset) == (0, bytearray([END]) * 3)


@pytest.mark.parametrize("path", ["model", "releases/v1/model", "releases/v2/model", "file/below"])
def test_a_file_that_is_not_there(path: str, place: Place) -> None:
    """A missing file, or one in a missing directory, is a missing part of a release."""
    place.make_directory("releases/v1")
    place.put("file", b"data")
    with pytest.raises(ReleaseMissingError, match=f"{path} is missing on the share"):
        read(place.share, path, 1)


def test_a_directory_in_the_place_of_a_file(place: Place) -> None:
    """A directory is no missing file and no failure of the share: it is refused as what it is."""
    place.make_directory("releases/v1/model")
    with pytest.raises(VerificationError, match="v1/model on the share is not a regular file"):
        read(place.share, "releases/v1/model", 1)


def test_several_threads_read_one_file(filled: Share) -> None:
    """An open file may be read at several offsets at the same time."""
    piece = 3 * MIB
    got = bytearray(SIZE)
    reader = filled.open("large")
    try:
        reading = [
            threads.start(fill, reader, got, offset, piece) for offset in range(0, SIZE, piece)
        ]
        counts = [each.result(30) for each in reading]
    finally:
        reader.close()
    assert counts == [piece] * 5 + [SIZE - 5 * piece]
    assert got == LARGE


def fill(reader: Reader, target: bytearray, offset: int, size: int) -> int:
    """Read a piece into its place."""
    return reader.read_into(memoryview(target)[offset : offset + size], offset)


def test_files_are_open_side_by_side(place: Place) -> None:
    """Several files are open at once, and closing one does nothing to the others."""
    buffer = bytearray(1)
    for name in ("a", "b"):
        place.put(name, name.encode())
    first, second, again = (place.share.open(name) for name in ("a", "b", "a"))
    first.close()
    assert second.read_into(memoryview(buffer), 0) == 1
    assert buffer == b"b"
    second.close()
    assert again.read_into(memoryview(buffer), 0) == 1
    assert buffer == b"a"
    again.close()
