"""A release by name and content, as the agent and the worker speak of it. Pure."""

from __future__ import annotations

import msgspec


class Target(msgspec.Struct, frozen=True):
    """A release: its version and the digest of its content."""

    version: str
    digest: str
