"""What a worker says about itself: the answer of `GET /model`."""

from __future__ import annotations

from typing import Literal

import msgspec

from agent.release.target import Target  # noqa: TC001 - msgspec reads the annotation

State = Literal["ready", "loading", "failed"]


class Status(msgspec.Struct, frozen=True):
    """What serves, and what became of the latest request.

    Attributes:
        version: The release that answers requests now, or None.
        digest: Its digest.
        state: What became of `target`.
        reason: Why it failed, in one line; None unless `state` is `failed`.
        target: What was asked for last; None if that could not be told.
        instance: Random at start: another one means that the worker has restarted and forgotten.
    """

    version: str | None
    digest: str | None
    state: State
    reason: str | None
    target: Target | None
    instance: str
