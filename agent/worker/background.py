"""Helpers that keep a load in the background from slowing down requests."""

from __future__ import annotations

import ctypes
import gc
import threading
from typing import TYPE_CHECKING, Final

from agent.machine import threads

if TYPE_CHECKING:
    from collections.abc import Callable

_REASON_LENGTH: Final = 500
_M_MMAP_THRESHOLD: Final = -3  # of glibc's malloc.h
_LARGE: Final = 1024 * 1024


def nicely(niceness: int, work: Callable[[], None]) -> None:
    """Do `work` in a thread of lower priority, if the system allows it, and wait for it.

    The thread is a new one because a thread without CAP_SYS_NICE cannot raise its priority again.
    The loader's own thread must keep its priority: its next load may be one while nothing serves.
    """

    def run() -> None:
        threads.be_nice(niceness)
        work()

    thread = threading.Thread(target=run, name="model-loader-nice", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # The container's limit of threads is reached: work at full priority.
        work()
    else:
        thread.join()


def give_memory_back() -> None:
    """Free unreachable objects and return the allocator's empty pages to the system.

    Without it glibc keeps pages of a freed model, and a container with a memory limit may be killed
    some reloads later.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
    if trim is not None:
        trim(0)


def return_large_blocks() -> None:
    """Make malloc return every block over 1 MiB to the system as soon as it is freed.

    By default glibc raises that bound to the largest block that was freed, up to 32 MiB. From then
    on weights come from a heap, which shrinks only from its end. Measured: the second load of
    bge-large in a process, weights inside the graph, peaks at 2031 MiB without this and at 1398 MiB
    with it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, musl does not
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)


def one_line(error: BaseException) -> str:
    """Return an error's text as one line of at most 500 characters; its type if it has no text."""
    return " ".join(str(error).split())[:_REASON_LENGTH] or type(error).__name__
