"""Times what is compared, in turns, so that all see the same machine."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from tests.benchmarks import memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

ROUNDS: Final = 5
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    """What one run took, or the median run: seconds, and MiB.

    Attributes:
        seconds: By the clock on the wall.
        cpu: Of processors, in the process that did the work and in its children; None where that
            says nothing.
        server_cpu: Of processors, in the server that it asked; None where there was none.
        peak_mib: Of memory, in the process that did the work; None where that is this one.
    """

    seconds: float
    cpu: float | None
    server_cpu: float | None = None
    peak_mib: float | None = None


def timed(work: Callable[[], object]) -> Callable[[], Sample]:
    """Have `work` done in this process, or by children that it waits for, and timed."""

    def run() -> Sample:
        cpu, began = _own_cpu(), time.perf_counter()
        work()
        return Sample(time.perf_counter() - began, _own_cpu() - cpu)

    return run


def beside_server(pid: int, work: Callable[[], Sample]) -> Callable[[], Sample]:
    """Have the CPU of the server `pid` counted while `work` goes on."""

    def run() -> Sample:
        before = cpu_of(pid)
        sample = work()
        return replace(sample, server_cpu=cpu_of(pid) - before)

    return run


def medians(
    candidates: Sequence[Callable[[], Sample]], *, between: Callable[[], object]
) -> list[Sample]:
    """The medians of each candidate over `ROUNDS` rounds; `between` clears up, before and after."""
    samples: list[list[Sample]] = [[] for _ in candidates]
    for _ in range(ROUNDS):
        for index, candidate in enumerate(candidates):
            between()
            with memory.free():
                samples[index].append(candidate())
    between()
    return [_median(each) for each in samples]


def _median(samples: Sequence[Sample]) -> Sample:
    return Sample(
        median(s.seconds for s in samples),
        _median_of(s.cpu for s in samples),
        _median_of(s.server_cpu for s in samples),
        _median_of(s.peak_mib for s in samples),
    )


def _median_of(numbers: Iterable[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return median(known) if known else None


def _own_cpu() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def cpu_of(pid: int) -> float:
    """User and system time of another process; its name, in brackets, may hold blanks."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
