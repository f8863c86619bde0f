"""What keeps a load in the background from being felt by the requests in the foreground."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from contextlib import suppress
from typing import Final

_REASON_LENGTH: Final = 500


def be_nice(niceness: int) -> None:
    """Lower the priority of the calling thread, as far as the system lets it.

    For good: no thread without CAP_SYS_NICE may raise its priority again, and what it starts
    inherits it. So a loader is a thread of its own, and ends.
    """
    if sys.platform == "linux":  # elsewhere, a priority is the whole process's
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


def give_memory_back() -> None:
    """Free what is unreachable, and hand the allocator's empty pages back to the system.

    Without it, glibc keeps what is left of a freed model, and a container under a limit may die
    some reloads later.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
    if trim is not None:
        trim(0)


def one_line(error: BaseException) -> str:
    """An error as a reason that fits into one line of a log."""
    return " ".join(str(error).split())[:_REASON_LENGTH] or type(error).__name__
