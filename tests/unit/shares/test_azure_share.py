"""A share over REST alone: its requests, and what may come between two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from agent.errors import VerificationError
from agent.machine import threads
from agent.models.formats import whole
from agent.publish.source import TreeSource
from agent.shares.azurefiles.files import Files
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


def test_a_range_that_an_upload_left_out(double: Double, share: AzureFilesShare) -> None:
    """The service's list of ranges tells it, and no byte of the file is read."""
    files, piece = Files(service(double.url, SHARE)), 1024
    files.create("weights.bin", 4 * piece + 1)
    for offset in (0, 2 * piece, 3 * piece - 1):
        files.put("weights.bin", offset, b"x")
    double.reset_counters()
    assert share.hole("weights.bin", 4 * piece + 1, piece) == piece
    assert [request["operation"] for request in double.requests()] == ["ListRanges"]
    files.put("weights.bin", 2 * piece - 1, b"x")
    assert share.hole("weights.bin", 4 * piece + 1, piece) == 3 * piece
    files.put("weights.bin", 3 * piece, b"x")
    assert share.hole("weights.bin", 4 * piece + 1, piece) is None, "what is left is no whole piece"


def test_a_tree_with_a_hole(double: Double, share: AzureFilesShare) -> None:
    """It is refused by name before any of it is fetched."""
    files = Files(service(double.url, SHARE))
    files.create("fastembed/model.onnx", 2 * whole.RANGE_BYTES)
    files.put("fastembed/model.onnx", 0, b"x")
    source = TreeSource(share, ())
    with pytest.raises(VerificationError, match=f"model.onnx is damaged: the {whole.RANGE_BYTES} "):
        source.refuse_holes({"fastembed/model.onnx": 2 * whole.RANGE_BYTES})
    source.refuse_holes({"fastembed/small": 1})
