"""The table that is printed: a row for each comparison, with its ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.benchmarks.measuring import Sample

_COLUMNS: Final = ("seconds", "CPU", "server CPU", "peak MiB")
_TITLES: Final = ("what", *_COLUMNS, "limit", "beside", *_COLUMNS, "times as fast")


@dataclass(frozen=True)
class Row:
    """What we do, beside what a user would run instead.

    Attributes:
        limit: The fewest seconds that the machine's ceilings allow for it, where they say that.
    """

    what: str
    ours: Sample
    beside: str
    theirs: Sample
    limit: float | None = None


def render(rows: Iterable[Row]) -> str:
    """The rows as Markdown; the last number is their seconds by ours."""
    lines = [*head(_TITLES)]
    for row in rows:
        ratio = f"{row.theirs.seconds / row.ours.seconds:.2f}"
        limit = "" if row.limit is None else f"{row.limit:.2f}"
        ours, theirs = _cells(row.ours), _cells(row.theirs)
        lines.append(line([row.what, *ours, limit, row.beside, *theirs, ratio]))
    return "\n".join(lines)


def _cells(sample: Sample) -> list[str]:
    seconds = (sample.seconds, sample.cpu, sample.server_cpu)
    cells = ["" if number is None else f"{number:.2f}" for number in seconds]
    return [*cells, "" if sample.peak_mib is None else f"{sample.peak_mib:.0f}"]


def head(titles: Sequence[str]) -> Iterator[str]:
    """The two lines that a table in Markdown begins with."""
    yield line(titles)
    yield line(["---"] * len(titles))


def line(cells: Iterable[str]) -> str:
    """A line of a table in Markdown."""
    return f"| {' | '.join(cells)} |"
