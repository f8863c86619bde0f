"""The time of day, as it stands in state, reports and markers."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> str:
    """Now, as it stands in state, reports and markers."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
