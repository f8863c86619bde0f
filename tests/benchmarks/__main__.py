"""Measures what moves the true-shape bge-large, and whole pods with it; prints Markdown tables.

python -m tests.benchmarks [stage] [change] [verify] [rest] [load] [cold] [bump] [idle] ...
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tests.benchmarks import bump, cold, growth, idle, load, local, release, reloads, rest, table
from tests.benchmarks.ceilings import CORES
from tests.benchmarks.measuring import ROUNDS
from tests.benchmarks.table import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.benchmarks.release import Subject

# What each finds: rows of the one table, and lines that stand below it.
_GROUPS: Final[dict[str, Callable[[Subject], Iterable[Row | str]]]] = {
    "stage": local.stage,
    "change": local.change,
    "verify": local.verify,
    "rest": rest.rows,
    "load": load.rows,
    "cold": cold.found,
    "bump": bump.found,
    "idle": idle.found,
    "reloads": reloads.found,
    "growth": growth.found,
}


@click.command()
@click.argument("groups", nargs=-1, type=click.Choice([*_GROUPS]))
def main(groups: tuple[str, ...]) -> None:
    """Run the GROUPS of rows, or all; print the tables."""
    found: list[Row | str] = []
    with tempfile.TemporaryDirectory(prefix="model-agent-bench-") as room:
        subject = release.write(Path(room))
        try:
            for group in groups or _GROUPS:
                click.echo(f"measuring {group}", err=True)
                found.extend(_GROUPS[group](subject))
        finally:  # what was measured before one failed took minutes
            _print(subject, found)


def _print(subject: Subject, found: list[Row | str]) -> None:
    rows = [each for each in found if isinstance(each, Row)]
    if rows:
        size = subject.release.size / 1e9
        print(f"Medians of {ROUNDS} rounds, {size:.2f} GB, {CORES} cores; seconds.\n")
        print(table.render(rows), end="\n\n")
    lines = [each for each in found if isinstance(each, str)]
    print(*subject.ceilings.lines(), "", *lines, sep="\n")


if __name__ == "__main__":
    main()
