"""A store on a small volume of its own, which can be filled, and made read-only."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Volume:
    """A volume in memory, mounted at `path`."""

    path: Path

    def fill(self, *, leave: int = 0) -> None:
        """Take all of its bytes but so many."""
        status = os.statvfs(self.path)
        size = status.f_bavail * status.f_frsize - leave
        with (self.path / "filler").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)

    def fill_inodes(self, *, leave: int = 0) -> None:
        """Take all of its inodes but so many."""
        for number in range(os.statvfs(self.path).f_favail - leave):
            (self.path / "fillers" / str(number)).touch()

    def free_inodes(self, count: int) -> None:
        """Give back so many inodes."""
        for path in list((self.path / "fillers").iterdir())[:count]:
            path.unlink()

    def empty(self) -> None:
        """Give back all."""
        (self.path / "filler").unlink(missing_ok=True)
        self.free_inodes(1 << 20)

    def remount(self, mode: str) -> None:
        """Make it `ro` or `rw`, once nobody just writes to it."""
        command = ["mount", "-o", f"remount,{mode}", str(self.path)]
        until(lambda: subprocess.run(command, check=False, capture_output=True).returncode == 0)


@contextmanager
def volume(path: Path) -> Iterator[Volume]:
    """Mount one of 16 MiB and 300 inodes at `path`; the test is skipped where that may not be."""
    options = "size=16m,nr_inodes=300,mode=775"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs is not permitted here")
    try:
        (path / "fillers").mkdir()
        yield Volume(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
