"""A file of a source is read from anywhere, as a file on the disk is."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from agent.errors import ReleaseMissingError
from agent.files import stream
from agent.files.source import LocalSource

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 300_000


def test_it_reads_what_the_file_holds(tmp_path: Path) -> None:
    """Seeks from either end or from where it stands, then reads of any length."""
    data = random.Random(1).randbytes(SIZE)
    (tmp_path / "a").write_bytes(data)
    with (
        stream.opened(LocalSource(tmp_path), "a", SIZE) as file,
        (tmp_path / "a").open("rb") as same,
    ):
        for offset, whence, count in (
            *((0, os.SEEK_END, 5), (-7, os.SEEK_END, 100), (0, os.SEEK_SET, 70_000)),
            *((123_456, os.SEEK_CUR, 1), (-100_000, os.SEEK_CUR, 200_000), (9, os.SEEK_SET, -1)),
        ):
            assert file.seek(offset, whence) == same.seek(offset, whence)
            assert file.read(count) == same.read(count)


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    """It is said as the source says it."""
    with (
        pytest.raises(ReleaseMissingError, match="a is missing"),
        stream.opened(LocalSource(tmp_path), "a", SIZE),
    ):
        pass
