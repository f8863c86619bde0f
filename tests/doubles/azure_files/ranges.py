"""Byte ranges: as headers name them, and the set of them that a file has data in.

Source: "Specifying the range header for Azure Files operations", "Put Range" and "List Ranges"
(Microsoft REST reference).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.doubles.azure_files.resterror import RestError, bad_header

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_RANGE: Final = 4 * 1024 * 1024
GRAIN: Final = 512
_HEADER: Final = re.compile(r"bytes=(\d{1,19})-(\d{0,19})")


@dataclass(frozen=True)
class ByteRange:
    """Bytes `start` up to and without `end`."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.end - self.start


def parse_range(text: str) -> tuple[int, int | None]:
    """First byte, and the one after the last; None where the range has no end.

    Raises:
        RestError: It is not `bytes=A-` or `bytes=A-B`.
    """
    found = _HEADER.fullmatch(text)
    if not found:
        raise bad_header("Range", text)
    start, last = int(found[1]), found[2]
    end = int(last) + 1 if last else None
    if end is not None and end <= start:
        raise bad_header("Range", text)
    return start, end


def within(text: str, size: int) -> ByteRange:
    """The part of a file of `size` bytes that a range to be read names.

    Raises:
        RestError: The range is malformed, or starts at or after the end of the file.
    """
    start, end = parse_range(text)
    if start >= size:
        raise RestError("InvalidRange", headers={"Content-Range": f"bytes */{size}"})
    return ByteRange(start, size if end is None else min(end, size))


@dataclass
class RangeSet:
    """The ranges of a file that have data, in grains of 512 bytes; sorted, apart, not touching."""

    _spans: list[tuple[int, int]] = field(default_factory=list)

    def add(self, span: ByteRange) -> None:
        """Bytes were written."""
        start, end = span.start // GRAIN * GRAIN, -(-span.end // GRAIN) * GRAIN
        touching = [s for s in self._spans if s[0] <= end and s[1] >= start]
        apart = [s for s in self._spans if s not in touching]
        start = min([start, *(s[0] for s in touching)])
        end = max([end, *(s[1] for s in touching)])
        self._spans = sorted([*apart, (start, end)])

    def remove(self, span: ByteRange) -> None:
        """Bytes were cleared: grains that lie wholly in the range have no data any more."""
        start, end = -(-span.start // GRAIN) * GRAIN, span.end // GRAIN * GRAIN
        if start < end:
            self._spans = [
                part
                for low, high in self._spans
                for part in ((low, min(high, start)), (max(low, end), high))
                if part[0] < part[1]
            ]

    def clip(self, size: int) -> None:
        """The file became this long."""
        end = -(-size // GRAIN) * GRAIN
        self._spans = [(low, min(high, end)) for low, high in self._spans if low < end]

    def inside(self, span: ByteRange) -> Iterator[ByteRange]:
        """What of them lies in `span`."""
        for low, high in self._spans:
            if low < span.end and high > span.start:
                yield ByteRange(max(low, span.start), min(high, span.end))
