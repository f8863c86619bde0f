"""What keeps a load in the background from being felt by the requests in the foreground."""

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
    """Do `work` in a thread of lower priority, as far as the system lets it, and wait for it.

    In a thread of its own: no thread without CAP_SYS_NICE may raise its priority again, so the one
    that loads what is asked for next, perhaps while nothing serves, must never have lowered its.
    """

    def run() -> None:
        threads.be_nice(niceness)
        work()

    thread = threading.Thread(target=run, name="model-loader-nice", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the container's limit of threads is reached: better not nice than not
        work()
    else:
        thread.join()


def give_memory_back() -> None:
    """Free what is unreachable, and hand the allocator's empty pages back to the system.

    Without it, glibc keeps what is left of a freed model, and a container under a limit may die
    some reloads later.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
    if trim is not None:
        trim(0)


def return_large_blocks() -> None:
    """Have malloc give every block over 1 MiB back to the system as soon as it is freed.

    By default glibc raises that bound with the largest block that was freed, up to 32 MiB, and from
    then on weights come from a heap that only ever shrinks from its end. Measured: the second load
    of bge-large in a process, weights inside, peaks at 2031 MiB without this and at 1398 with it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, musl does not
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)


def one_line(error: BaseException) -> str:
    """An error as a reason that fits into one line of a log."""
    return " ".join(str(error).split())[:_REASON_LENGTH] or type(error).__name__
