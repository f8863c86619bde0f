"""A share that is far away: a FUSE file system over a directory, with faults on demand.

    python -m tests.containers.remote SOURCE MOUNTPOINT CONTROL

It keeps what a mount with `actimeo=30,cache=strict` keeps. Attributes and names may be 30 s old, a
name that was missing stays missing for a while, and no event tells of a change; but every open goes
to the server, as does every read after it. Whoever waits can be killed. The file CONTROL holds the
present `Fault` as JSON.
"""

from __future__ import annotations

import errno
import json
import math
import os
import sys
import time
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT_SECONDS: Final = 30
# Less, so that no test has to wait that long for a new name.
MISSING_SECONDS: Final = 3
_LOOK_SECONDS: Final = 0.01
_ATTRIBUTES: Final = ("st_mode", "st_nlink", "st_size", "st_uid", "st_gid")


@dataclass(frozen=True)
class Fault:
    """What an operation meets: so many seconds, then an error by its name, such as EIO.

    Attributes:
        error: Empty if it succeeds in the end.
        seconds: Infinity is a hang. Whoever waits goes on once the fault is lifted.
        paths: Which paths on the share, as a glob, meet it.
    """

    error: str = ""
    seconds: float = 0.0
    paths: str = "*"


EIO: Final = Fault("EIO")
ESTALE: Final = Fault("ESTALE")
HANG: Final = Fault(seconds=math.inf)


class Remote:
    """The file system's operations, as `mfusepy` calls them: reads alone.

    Args:
        source: The directory that it shows.
        control: The file that the present fault is in.
        interrupted: Whether the caller of the present operation was killed.
    """

    use_ns = True

    def __init__(self, source: Path, control: Path, interrupted: Callable[[], int]) -> None:
        self._source = source
        self._control = control
        self._interrupted = interrupted

    def getattr(self, path: str, _fh: int | None = None) -> dict[str, int]:
        """What `stat` shows; the kernel keeps it for `KEPT_SECONDS`."""
        status = self._reach(path).lstat()
        times = {f"st_{each}time": getattr(status, f"st_{each}time_ns") for each in "amc"}
        return {name: getattr(status, name) for name in _ATTRIBUTES} | times

    def readdir(self, path: str, _fh: int) -> list[str]:
        """The names in a directory."""
        return [".", "..", *(entry.name for entry in self._reach(path).iterdir())]

    def readlink(self, path: str) -> str:
        """Where a link leads."""
        return str(self._reach(path).readlink())

    def open(self, path: str, _flags: int) -> int:
        """Open the file that has this name now."""
        return os.open(self._reach(path), os.O_RDONLY | os.O_CLOEXEC)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Read an open file."""
        self._reach(path)
        return os.pread(fh, size, offset)

    def release(self, _path: str, fh: int) -> int:
        """Close a file; no fault keeps it from that."""
        os.close(fh)
        return 0

    def _reach(self, path: str) -> Path:
        """Where `path` is in the source, once the present fault lets anybody get there."""
        began = time.monotonic()
        while time.monotonic() - began < (fault := self._fault(path)).seconds:
            if self._interrupted():
                raise OSError(errno.EINTR, path)
            time.sleep(_LOOK_SECONDS)
        if fault.error:
            raise OSError(getattr(errno, fault.error), path)
        return self._source / path.lstrip("/")

    def _fault(self, path: str) -> Fault:
        fault = Fault(**json.loads(self._control.read_bytes()))
        return fault if fnmatch(path.lstrip("/"), fault.paths) else Fault()


def main(source: str, mountpoint: str, control: str) -> None:
    """Mount, and serve until it is killed."""
    import mfusepy

    interrupted = mfusepy._libfuse.fuse_interrupted
    mfusepy.FUSE(
        Remote(Path(source), Path(control), interrupted),
        mountpoint,
        foreground=True,
        allow_other=True,
        # Without it, each read makes the kernel ask for a new time of access, and so the size.
        ro=True,
        direct_io=True,
        attr_timeout=KEPT_SECONDS,
        entry_timeout=KEPT_SECONDS,
        negative_timeout=MISSING_SECONDS,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
