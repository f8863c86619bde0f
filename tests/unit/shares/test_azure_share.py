"""A share over REST alone: its requests, and what may come between two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from agent.machine import threads
from agent.shares.azurefiles.share import AzureFilesShare
from tests.support.azure_double import Double, running_double
from tests.support.services import service
from tests.support.workers import until
from tests.unit.shares.conformance.releases import publication

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARE: Final = "models"
RECORD: Final = b"v1".ljust(512, b"\n")


@pytest.fixture(scope="module")
def double() -> Iterator[Double]:
    """A double with one share."""
    with running_double(f"--share={SHARE}") as double:
        yield double


@pytest.fixture
def share(double: Double) -> Iterator[AzureFilesShare]:
    """The share, without the faults of the test before."""
    yield AzureFilesShare(service(double.url, SHARE))
    double.heal()


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


def test_a_removal_that_another_tidies_up(double: Double, share: AzureFilesShare) -> None:
    """A release is removed though another deletes the empty `.staging` before it is moved there."""
    share.publish(publication())
    double.fault("delay", operation="RenameDirectory", seconds=0.3)
    removing = threads.start(share.remove, "releases/v1")
    until(lambda: double.faults()[0]["hits"])
    AzureFilesShare(service(double.url, SHARE)).tidy()
    removing.result(30)
    assert share.names("releases") == ()
    assert ".staging" not in share.names("")
