"""Threads for calls that may never return.

A read from a dead SMB mount can hang for ever, and no signal ends it. So every call to a share runs
in a daemon thread: the caller goes on at its deadline, and the process can still exit.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from agent.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

NICEST: Final = 19
_REMEDY: Final = "Check the mount or the network; a sidecar keeps trying."


def be_nice(niceness: int) -> None:
    """Lower the priority of this thread, and of threads that it starts, if the system allows it.

    This is permanent: without CAP_SYS_NICE no thread may raise its priority again.
    """
    if sys.platform == "linux":  # Elsewhere a priority applies to the whole process.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


def start(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Run `function` in a new daemon thread and return the future of its result."""
    future: Future[T] = Future()

    # From here on the future cannot be cancelled: the thread goes on in any case, and setting the
    # result of a cancelled future would raise.
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(function(*args, **kwargs))
        except StopIteration as error:
            # asyncio rejects a StopIteration from a future: its awaiter would wait for ever.
            failure = RuntimeError(f"{function.__name__} raised StopIteration")
            failure.__cause__ = error
            future.set_exception(failure)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            future.set_exception(error)

    threading.Thread(target=run, name=function.__name__, daemon=True).start()
    return future


async def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `function` in a new daemon thread, await it and return its result.

    `asyncio.to_thread` would keep the process from exiting while a read hangs.
    """
    return await asyncio.wrap_future(start(function, *args, **kwargs))


class Lane:
    """Makes calls one after the other, each with a deadline; at most one is left hanging.

    While one call hangs, further calls fail at once. Otherwise an agent that polls a dead mount for
    a day would collect one thread per poll.

    Args:
        what: The name of what is called, for errors.
        seconds: The deadline of a call.
    """

    def __init__(self, what: str, *, seconds: float) -> None:
        self._what = what
        self._seconds = seconds
        self._pending: Future[Any] | None = None

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the result of `function`.

        Raises:
            UnreachableError: The call, or an earlier one, did not return in time.
        """
        if self._pending and not self._pending.done():
            raise self._hung()
        future = start(function, *args, **kwargs)
        self._pending = future
        try:
            return future.result(self._seconds)
        except FutureTimeoutError:
            if future.done():
                raise
            raise self._hung() from None

    def _hung(self) -> UnreachableError:
        return UnreachableError(
            f"{self._what} did not answer within {self._seconds:g} s.", remedy=_REMEDY
        )
