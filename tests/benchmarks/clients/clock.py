"""What the programs measure themselves: the work alone, without their start and imports."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tests.support import proc

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT: Final = "BENCHMARK_WAIT"


@contextmanager
def measured() -> Iterator[None]:
    """Print as the last line when the block began, what it took, and the peak of memory.

    The begin is a reading of `time.perf_counter`, which all processes share (CLOCK_MONOTONIC). With
    `WAIT` in the environment it says that it is ready, and waits for a line, before that.
    """
    if WAIT in os.environ:
        print("ready", flush=True)
        sys.stdin.readline()
    cpu, began = _cpu(), time.perf_counter()
    yield
    seconds = time.perf_counter() - began
    took = {"began": began, "seconds": seconds, "cpu": _cpu() - cpu, "peak_mib": _peak_mib()}
    print(json.dumps(took), flush=True)


def _peak_mib() -> float:
    """Of this program alone: what `getrusage` says begins with the process that started it."""
    return proc.memory("VmHWM") / 1024**2


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
