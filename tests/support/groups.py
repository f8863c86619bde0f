"""Control groups that limit the memory of the processes in them, as a container does."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT: Final = Path("/sys/fs/cgroup")
_ENTER: Final = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


class Group:
    """A control group with a limit, of either version.

    Args:
        path: Its directory.
        limit: Bytes.
        new: Whether it is of version 2.
    """

    def __init__(self, path: Path, limit: int, *, new: bool) -> None:
        self.path = path
        self._stat = "anon" if new else "total_rss"
        self._file = path / ("memory.max" if new else "memory.limit_in_bytes")
        self.limit(limit)

    def limit(self, limit: int) -> None:
        """Have another limit from now on, in bytes."""
        self._file.write_text(str(limit))

    @property
    def prefix(self) -> list[str]:
        """What a command is started with, so that its process is in the group from its begin."""
        return ["sh", "-c", _ENTER, str(self.path)]

    def anonymous(self) -> int:
        """Bytes of its processes' own: all else are pages of files, which the kernel takes back."""
        pairs = [line.split() for line in (self.path / "memory.stat").read_text().splitlines()]
        return int(dict(pairs)[self._stat])


@contextmanager
def limited_group(limit: int) -> Iterator[Group]:
    """A control group of so many bytes; the test is skipped where none can be made."""
    new = (_ROOT / "cgroup.controllers").exists()
    path = (_ROOT if new else _ROOT / "memory") / f"model-agent-test-{os.getpid()}"
    try:
        path.mkdir()
        made = Group(path, limit, new=new)
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield made
    path.rmdir()
