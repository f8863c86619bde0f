"""What the programs measure themselves: the work alone, without their start and imports."""

from __future__ import annotations

import json
import resource
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def measured() -> Iterator[None]:
    """Print seconds and CPU seconds of the block, and the peak of memory, as the last line."""
    cpu, began = _cpu(), time.perf_counter()
    yield
    seconds = time.perf_counter() - began
    took = {"seconds": seconds, "cpu": _cpu() - cpu, "peak_mib": _peak_mib()}
    print(json.dumps(took), flush=True)


def _peak_mib() -> float:
    """Of this program alone: what `getrusage` says begins with the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
