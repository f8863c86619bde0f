"""The status of a worker, which `GET /model` returns."""

from __future__ import annotations

from typing import Literal

import msgspec

from agent.release.target import Target  # noqa: TC001 - msgspec reads the annotation

State = Literal["ready", "loading", "failed"]


class Status(msgspec.Struct, frozen=True):
    """The release that serves, and the outcome of the latest request.

    Attributes:
        version: The release that answers requests now, or None.
        digest: Its digest, or None.
        state: The state of `target`.
        reason: The reason of a failure, in one line; None unless `state` is `failed`.
        target: The release that was requested last; None if that is unknown.
        instance: A random text, made at start. A new one means that the worker has restarted and
            has forgotten earlier requests.
    """

    version: str | None
    digest: str | None
    state: State
    reason: str | None
    target: Target | None
    instance: str
