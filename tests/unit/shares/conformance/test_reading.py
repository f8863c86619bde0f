"""Small files of a share: `read`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.errors import VerificationError
from agent.machine import threads

if TYPE_CHECKING:
    from agent.shares.base import Share
    from tests.unit.shares.conformance.places import Place

LIMIT = 10


@pytest.mark.parametrize("size", [0, 1, LIMIT, LIMIT + 1, LIMIT + 2, 100 * LIMIT])
def test_a_file_is_read_to_its_limit(size: int, place: Place) -> None:
    """A file is given whole, or, where it is too long, one byte more than the limit."""
    data = bytes(range(256)) * 4
    place.put("VERSION", data[:size])
    assert place.share.read("VERSION", LIMIT) == data[:size][: LIMIT + 1]


@pytest.mark.parametrize(
    "path", ["VERSION", "releases/v1/manifest.json", "releases/v2/manifest.json", "file/below"]
)
def test_there_is_no_file(path: str, place: Place) -> None:
    """Nothing is given for a file that is not there, nor for one whose directory is not."""
    place.make_directory("releases/v1")
    place.put("file", b"data")
    assert place.share.read(path, LIMIT) is None


def test_a_directory_in_the_place_of_a_file(place: Place) -> None:
    """A directory is no missing file and no failure of the share: it is refused as what it is."""
    place.make_directory("VERSION")
    with pytest.raises(VerificationError, match="VERSION on the share is not a regular file"):
        place.share.read("VERSION", LIMIT)


def test_a_read_is_fresh(place: Place) -> None:
    """Each read gives what the file holds now, whoever wrote or deleted it."""
    for data in (b"one", b"two", b"a third"):
        place.put("VERSION", data)
        assert place.share.read("VERSION", LIMIT) == data
    place.delete("VERSION")
    assert place.share.read("VERSION", LIMIT) is None


def test_several_threads_read(share: Share, place: Place) -> None:
    """One share serves several threads at the same time."""
    expected = [f"file {number}".encode() for number in range(6)]
    for number, data in enumerate(expected):
        place.put(f"file-{number}", data)
    reading = [threads.start(share.read, f"file-{number}", LIMIT) for number in range(6)]
    assert [each.result(30) for each in reading] == expected
