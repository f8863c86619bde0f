"""The marker over REST: `write` changes a record in one request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from agent.shares.azurefiles.share import AzureFilesShare
from tests.support.azure_double import Double, running_double
from tests.support.services import service

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARE: Final = "models"
RECORD: Final = b"v1".ljust(512, b"\n")


@pytest.fixture(scope="module")
def double() -> Iterator[Double]:
    """A double with one share."""
    with running_double(f"--share={SHARE}") as double:
        yield double


def written(double: Double, data: bytes) -> list[tuple[str, int]]:
    """Write the marker; return the operations that changed the share, and their bytes."""
    double.reset_counters()
    AzureFilesShare(service(double.url, SHARE)).write("VERSION", data)
    changes = [r for r in double.requests() if r["method"] in {"PUT", "DELETE"}]
    return [(r["operation"], r["bytes_in"]) for r in changes if r["status"] < 400]


def test_a_record_is_written_in_place(double: Double) -> None:
    """A record over a record is one write of 512 bytes; over another size, one rename."""
    written(double, b"v1\n")
    assert written(double, RECORD) == [
        ("CreateDirectory", 0),
        ("CreateFile", 0),
        ("PutRange", 512),
        ("RenameFile", 0),
        ("DeleteDirectory", 0),
    ]
    assert written(double, RECORD.replace(b"v1", b"v2")) == [("PutRange", 512)]
