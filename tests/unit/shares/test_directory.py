"""What a mounted share answers for what is no file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from agent.errors import VerificationError
from agent.shares.directory import DirectoryShare


def test_a_directory_in_the_place_of_a_file(tmp_path: Path) -> None:
    """It is refused as that, and no descriptor is lost over it, however often it is looked at."""
    (tmp_path / "VERSION").mkdir()
    share, before = DirectoryShare(tmp_path), descriptors()
    for _ in range(5):
        with pytest.raises(VerificationError, match="VERSION on the share is not a regular file"):
            share.read("VERSION", 100)
    assert descriptors() == before


def test_a_socket_in_the_place_of_a_file(tmp_path: Path) -> None:
    """It is refused as that."""
    os.mknod(tmp_path / "VERSION", stat.S_IFSOCK | 0o644)
    with pytest.raises(VerificationError, match="not a regular file"):
        DirectoryShare(tmp_path).read("VERSION", 100)


def test_a_fifo_in_the_place_of_a_file(tmp_path: Path) -> None:
    """It is as good as empty; nobody is waited for."""
    os.mkfifo(tmp_path / "VERSION")
    assert DirectoryShare(tmp_path).read("VERSION", 100) == b""


def descriptors() -> int:
    """How many this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))
