"""Memory that is held between runs and free during them, so that each run finds the same.

A hypervisor takes back what a machine has had free for two seconds (the kernel's free page
reporting), and the run that touches it again pays for that: up to 2 s of system time in a run of
1 s, by chance, was measured in a Firecracker machine. It is held in huge pages: given back in small
ones it is in pieces, and a file that is written to those took up to four times as long.
"""

from __future__ import annotations

import mmap
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST: Final = 4 * 1024**3
_FLAGS: Final = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_POPULATE_WRITE: Final = 23  # MADV_POPULATE_WRITE of Linux 5.14
_held: list[mmap.mmap] = []


@contextmanager
def free() -> Iterator[None]:
    """Let go of what is held while the block runs; the first time, take it beforehand."""
    if not _held:
        _hold()
    _held.pop().close()
    yield
    _hold()


@contextmanager
def held() -> Iterator[None]:
    """Hold it again, within `free`, while the block runs: until what is measured really begins."""
    _hold()
    yield
    _held.pop().close()


def _hold() -> None:
    half = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    held = mmap.mmap(-1, min(_MOST, half), flags=_FLAGS)
    with suppress(OSError):  # a kernel that has no huge pages
        held.madvise(mmap.MADV_HUGEPAGE)
    held.madvise(_POPULATE_WRITE)
    _held.append(held)
