"""Retries, with one policy for every service that the agent calls over the network.

A call is retried while that may help, for a given total time. The pause before a retry is the time
that the service asks for, or a growing, jittered one. Errors are explained first, so that the log
has our sentence and never a library's, which may hold a token.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final, TypeVar

import stamina
import stamina.instrumentation

from agent.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

TRANSIENT_STATUS: Final = (408, 429, 500, 502, 503, 504)

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_JITTER: Final = 0.5

# Stamina's own log line is off: it shows the call with all its arguments.
stamina.instrumentation.set_on_retry_hooks([])


class RemoteError(UnreachableError):
    """A request that failed.

    Args:
        what: What happened.
        remedy: What to do.
        transient: True if another try may succeed.
        retry_after: The seconds that the service asks to wait; None if it does not say.
    """

    def __init__(
        self, what: str, *, remedy: str, transient: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(what, remedy=remedy)
        self.transient = transient
        self.retry_after = retry_after


def attempt(
    call: Callable[[], T], *, seconds: float, retried: Callable[[RemoteError, int], None]
) -> T:
    """Return the result of `call`, retried while that may help.

    Args:
        call: Raises a transient `RemoteError` if it may be retried.
        seconds: The approximate total time of all tries.
        retried: Called with each transient failure and the number of the try.

    Raises:
        RemoteError: The call failed for good, or for `seconds`.
    """
    ends = time.monotonic() + seconds

    def backoff(error: Exception) -> bool | float:
        if not isinstance(error, RemoteError) or not error.transient:
            return False
        if error.retry_after is None:
            return True
        # Jitter, so that clients that were throttled together do not come back together.
        pause = error.retry_after + random.uniform(0, _JITTER)  # noqa: S311 - no secret
        return pause if time.monotonic() + pause < ends else False

    attempts = stamina.retry_context(
        on=backoff,
        attempts=None,
        timeout=seconds,
        wait_initial=_FIRST_PAUSE,
        wait_max=min(_LONGEST_PAUSE, seconds / 4),
        wait_jitter=_JITTER,
    )
    for each in attempts:
        with each:
            try:
                return call()
            except RemoteError as error:
                if error.transient:
                    retried(error, each.num)
                raise
    raise AssertionError("stamina gives a result or raises")


def retry_after(text: str) -> float | None:
    """Return the seconds of a Retry-After header; None if it has another form, such as a date."""
    return float(text) if text.isascii() and text.isdigit() else None
