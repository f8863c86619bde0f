"""What this machine can do at most, measured.

A limit is the time that a work's bytes take at these rates, with all cores at work and the disk
written meanwhile; how much longer the work takes is what is left to gain.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from agent.files import durable
from tests.benchmarks import memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

T = TypeVar("T")

_BYTES: Final = 1024**3
_BLOCK: Final = 8 * 1024**2
_FAR: Final = 16  # blocks: more than a cache holds
_ROUNDS: Final = 5
_WIDE: Final = 2048
_PRODUCTS: Final = 10
CORES: Final = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Ceilings:
    """GB a second, on all cores at once but for `one`.

    Attributes:
        copy: From memory to memory.
        one: SHA-256 on one core.
        sha256: SHA-256.
        read: From the page cache.
        write: Into the page cache, to a new file.
        disk: To a new file and synced.
        multiply: Billions of operations of float32 a second, in products of matrices.
    """

    copy: float
    one: float
    sha256: float
    read: float
    write: float
    disk: float
    multiply: float

    def verify(self, size: int) -> float:
        """The fewest seconds for so many bytes to be read and hashed."""
        return size / 1e9 * (1 / self.read + 1 / self.sha256)

    def stage(self, size: int) -> float:
        """The fewest seconds for so many bytes to be read, hashed, written and synced."""
        return max(self.verify(size) + size / 1e9 / self.write, size / 1e9 / self.disk)

    def fetch(self, size: int, *, cpu: float) -> float:
        """The fewest seconds for bytes whose move takes `cpu` seconds of cores: hashed, synced."""
        return max((cpu + size / 1e9 / self.one) / CORES, size / 1e9 / self.disk)

    def load(self, size: int) -> float:
        """The fewest seconds for weights to be packed, which reads and writes each once."""
        return size / 1e9 / self.copy

    def run(self, operations: float) -> float:
        """The fewest seconds for so many operations of a model."""
        return operations / 1e9 / self.multiply

    def lines(self) -> Iterator[str]:
        """The ceilings in Markdown."""
        yield "| this machine's ceilings | GB/s |"
        yield "| --- | --- |"
        yield f"| copy in memory, {CORES} cores | {self.copy:.1f} |"
        yield f"| SHA-256, one core | {self.one:.2f} |"
        yield f"| SHA-256, {CORES} cores | {self.sha256:.2f} |"
        yield f"| read from the page cache, {CORES} cores | {self.read:.1f} |"
        yield f"| write into the page cache, a new file, {CORES} cores | {self.write:.1f} |"
        yield f"| write a new file and sync it | {self.disk:.2f} |"
        yield f"| multiply matrices of float32, {CORES} cores, GFLOP/s | {self.multiply:.0f} |"


def measure(room: Path) -> Ceilings:
    """Measure them in `room`; it takes some seconds."""
    path = room / "ceilings"
    buffers = [mmap.mmap(-1, _BLOCK) for _ in range(CORES)]
    for buffer in buffers:
        buffer.write(os.urandom(_BLOCK))
    found = Ceilings(
        copy=_rate(_copy, [np.ones((2, _FAR * _BLOCK), np.uint8) for _ in range(CORES)]),
        one=_rate(_hash, buffers[:1]),
        sha256=_rate(_hash, buffers),
        write=_rate(partial(_write, path), buffers, before=partial(_new, path)),
        read=_rate(partial(_read, path), buffers),
        disk=_rate(partial(_write, path, sync=True), buffers, before=partial(_new, path)),
        multiply=_multiply(),
    )
    path.unlink()
    return found


def _rate(
    work: Callable[[T, range], None],
    buffers: list[T],
    *,
    before: Callable[[], object] | None = None,
) -> float:
    """The median rate of `work` on `_BYTES`, shared out among as many threads as buffers."""
    rates = []
    for _ in range(_ROUNDS):
        if before:
            before()
        offsets = range(0, _BYTES, _BLOCK)
        shares = [offsets[number :: len(buffers)] for number in range(len(buffers))]
        threads = [
            threading.Thread(target=work, args=each) for each in zip(buffers, shares, strict=True)
        ]
        with memory.free() if before else nullcontext():
            began = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            rates.append(_BYTES / 1e9 / (time.perf_counter() - began))
    return median(rates)


def _copy(halves: NDArray[np.uint8], offsets: range) -> None:
    """NumPy lets other threads run meanwhile."""
    for _ in offsets[::_FAR]:
        np.copyto(halves[1], halves[0])


def _multiply() -> float:
    """NumPy's own threads use all cores."""
    matrix, rates = np.ones((_WIDE, _WIDE), np.float32), []
    product = np.empty_like(matrix)
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for _ in range(_PRODUCTS):
            np.matmul(matrix, matrix, out=product)
        rates.append(2 * _WIDE**3 * _PRODUCTS / 1e9 / (time.perf_counter() - began))
    return median(rates)


def _hash(buffer: mmap.mmap, offsets: range) -> None:
    for _ in offsets:
        hashlib.sha256(buffer).digest()


def _new(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.sync()
    path.touch()


def _write(path: Path, buffer: mmap.mmap, offsets: range, *, sync: bool = False) -> None:
    fd = os.open(path, os.O_WRONLY)
    for offset in offsets:
        os.pwrite(fd, buffer, offset)
        if sync:
            durable.start_sync(fd, offset, _BLOCK)
    if sync:
        os.fsync(fd)
    os.close(fd)


def _read(path: Path, buffer: mmap.mmap, offsets: range) -> None:
    fd = os.open(path, os.O_RDONLY)
    for offset in offsets:
        os.preadv(fd, [buffer], offset)
    os.close(fd)
