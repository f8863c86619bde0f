"""The lock of v1, held as publishers hold it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from agent import logs
from agent.shares import lock as locking
from agent.shares import lock_holder
from agent.shares.lock_holder import RECORD_BYTES, Holder

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from agent.shares.base import Share
    from agent.shares.lock import Lock

NAME: Final = "publish-v1"


def held(
    share: Share, *, timeout: float = 20.0, stop: threading.Event | None = None
) -> AbstractContextManager[Lock]:
    """Hold the lock of v1."""
    stop = stop or threading.Event()
    return locking.held(share.lock_file(NAME), timeout=timeout, stop=stop, log=logs.get())


def record(share: Share) -> Holder:
    """Return who holds it, as its file says."""
    data = share.read(share.lock_file(NAME).path, RECORD_BYTES)
    assert data is not None
    assert len(data) == RECORD_BYTES
    holder = lock_holder.parse(data)
    assert holder is not None
    return holder
