"""The service's clock, and the forms in which it writes a moment."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

_EPOCH: Final = datetime(1, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FRACTION: Final = re.compile(r"(\.\d{6})\d+")


class Clock:
    """Now, and ETags that never repeat.

    Args:
        offset: Seconds that this clock is ahead of the machine's, to play a skewed one.
    """

    def __init__(self, offset: float = 0) -> None:
        self._offset = timedelta(seconds=offset)
        self._last_tick = 0

    def now(self) -> datetime:
        """The present moment, UTC."""
        return datetime.now(UTC) + self._offset

    def etag(self) -> str:
        """A new ETag: the moment in ticks of 100 ns, in hexadecimal, within quotes."""
        ticks = (self.now() - _EPOCH) // _MICROSECOND * 10
        self._last_tick = max(ticks, self._last_tick + 1)
        return f'"0x{self._last_tick:X}"'


def http_date(moment: datetime) -> str:
    """As in `Last-Modified`."""
    return format_datetime(moment, usegmt=True)


def iso(moment: datetime) -> str:
    """As in `x-ms-file-creation-time`: seven digits of the second."""
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}0Z"


def parse_http_date(text: str) -> datetime | None:
    """The moment of an HTTP date; None if it is none."""
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def parse_iso(text: str) -> datetime | None:
    """The moment of an ISO 8601 date or time, UTC unless it says otherwise; None if it is none."""
    try:
        moment = datetime.fromisoformat(_FRACTION.sub(r"\1", text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
