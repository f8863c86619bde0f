"""The current time, in the format of state, reports and markers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def utc_now(*, ago: float = 0.0) -> str:
    """Return the time in UTC, such as `2025-01-31T12:00:00Z`, of now or so many seconds ago."""
    return (datetime.now(UTC) - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
