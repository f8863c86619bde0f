"""Measures how fast the share is read, by several threads, as staging reads it."""

from __future__ import annotations

import threading
from time import monotonic as clock
from typing import TYPE_CHECKING, Final

from agent.doctor.judge import rates
from agent.doctor.judge.findings import Finding, skip
from agent.doctor.judge.rates import MIB, Sample
from agent.files import parallel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.doctor.case import Case
    from agent.files.source import Reader
    from agent.shares.base import Share

_MOST_BYTES: Final = 64 * MIB
_MOST_SECONDS: Final = 5.0
_STALL_SECONDS: Final = 15.0
# Blocks start small, so that a slow share gives numbers too, and grow to what staging reads.
_FIRST_BLOCK: Final = MIB // 16
_LARGEST_BLOCK: Final = 4 * MIB
_QUICK_SECONDS: Final = 0.25


def speed(case: Case) -> Iterator[Finding]:
    """Measure how many bytes a second the share gives of the release's largest file."""
    if case.largest is None:
        yield skip("No verdict: there is no release to read from.")
        return
    path, size = case.largest
    if size < rates.TELLING_BYTES:
        yield rates.too_small(path, size)
        return
    yield rates.judge(measure(case.share, path, size), release_size=case.total)


def measure(share: Share, path: str, size: int) -> Sample:
    """Read at most 64 MiB of a file, for about 5 s.

    Raises:
        UnreachableError: The share does not answer, or a read hangs for 15 s.
    """
    reader = share.open(path)
    try:
        taken = _Taken(reader, min(size, _MOST_BYTES))
        parallel.run(
            [taken.read] * share.parallel,
            buffer_size=_LARGEST_BLOCK,
            stop=threading.Event(),
            threads=share.parallel,
            stall_seconds=_STALL_SECONDS,
        )
    finally:
        reader.close()
    return Sample(taken.done, clock() - taken.began)


class _Taken:
    """One file that several threads read, from its start to its end or to a deadline."""

    def __init__(self, reader: Reader, size: int) -> None:
        self.began = clock()
        self.done = 0
        self._reader = reader
        self._size = size
        self._next = 0
        self._lock = threading.Lock()

    def read(self, buffer: memoryview) -> None:
        """Read block by block, until nothing or no time is left."""
        block = _FIRST_BLOCK
        while length := self._take(block):
            offset, asked = length
            began = clock()
            got = self._reader.read_into(buffer[:asked], offset)
            with self._lock:
                self.done += got
            if clock() - began < _QUICK_SECONDS:
                block = min(2 * block, _LARGEST_BLOCK)

    def _take(self, block: int) -> tuple[int, int] | None:
        with self._lock:
            if self._next >= self._size or clock() - self.began > _MOST_SECONDS:
                return None
            offset = self._next
            self._next = min(self._size, offset + block)
            return offset, self._next - offset
