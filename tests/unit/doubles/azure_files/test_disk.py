"""With --root, shares are plain trees on disk, and large files need no memory."""

from __future__ import annotations

import http.client
import os
from contextlib import closing
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import pytest

from tests.support.azure_clients import key_credential, share_client
from tests.support.azure_double import running_double

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.azure_double import Double

GIB: Final = 1 << 30
MEMORY: Final = 120 << 20


def test_tree_on_disk(tmp_path: Path) -> None:
    """What is uploaded, renamed and deleted is seen on disk, and served again by the next one."""
    with (
        running_double("--share=data", root=tmp_path) as double,
        share_client(double, "data", key_credential(double)) as share,
    ):
        share.create_directory("staging")
        share.get_file_client("staging/Bytes").upload_file(b"bytes")
        share.get_file_client("gone").upload_file(b"gone")
        share.get_directory_client("staging").rename_directory("release")
        share.get_file_client("gone").delete_file()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["Bytes", "data", "release"]
    assert (tmp_path / "data/release/Bytes").read_bytes() == b"bytes"
    (tmp_path / "data/laid down").write_bytes(b"by hand")
    with (
        running_double(root=tmp_path) as double,
        share_client(double, "data", key_credential(double)) as share,
    ):
        assert share.get_file_client("RELEASE/bytes").download_file().readall() == b"bytes"
        found = share.get_file_client("laid down")
        assert found.download_file().readall() == b"by hand"
        assert [(r["start"], r["end"]) for r in found.list_ranges()] == [(0, 6)]
        found.upload_range(b"BY", offset=0, length=2)
        share.delete_share()
    assert list(tmp_path.iterdir()) == []


def test_replaced_file_is_read_to_its_end(tmp_path: Path) -> None:
    """Who reads a file that is replaced meanwhile gets the old bytes, all of them."""
    with running_double("--no-auth", "--share=data", root=tmp_path) as double:
        size = 64 << 20
        old = os.urandom(1 << 20) * 64
        with share_client(double, "data", key_credential(double)) as share:
            share.get_file_client("file").upload_file(old, max_concurrency=2)
            with closing(http.client.HTTPConnection(urlsplit(double.url).netloc)) as connection:
                connection.request("GET", "/data/file")
                response = connection.getresponse()
                first = response.read(1000)
                share.get_file_client("file").create_file(size)
                assert first + response.read() == old
            assert share.get_file_client("file").download_file(
                offset=0, length=9
            ).readall() == bytes(9)


def read_away(double: Double, target: str) -> int:
    """Read a body to its end, keeping nothing; how long it was."""
    with closing(http.client.HTTPConnection(urlsplit(double.url).netloc)) as connection:
        connection.request("GET", target)
        response, buffer, length = connection.getresponse(), bytearray(1 << 20), 0
        while count := response.readinto(buffer):
            length += count
        return length


@pytest.mark.slow
def test_memory_is_bounded(tmp_path: Path) -> None:
    """A file of 1 GiB is created and served whole, fast or slow, in memory for a few pieces."""
    with running_double("--no-auth", "--share=data", root=tmp_path) as double:
        with share_client(double, "data", key_credential(double)) as share:
            share.get_file_client("file").create_file(GIB)
        assert read_away(double, "/data/file") == GIB
        double.fault("flip", at=0)
        assert read_away(double, "/data/file") == GIB
        assert double.resident_bytes() < MEMORY
