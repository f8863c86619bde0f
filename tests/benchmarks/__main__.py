"""Measures what moves the true-shape bge-large, and prints a Markdown table.

python -m tests.benchmarks [stage] [change] [verify] [rest] [load] [idle] [reloads]
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

import click

from tests.benchmarks import idle, load, local, release, reloads, rest, table
from tests.benchmarks.measuring import ROUNDS

_GROUPS: Final = {
    "stage": local.stage,
    "change": local.change,
    "verify": local.verify,
    "rest": rest.rows,
    "load": load.rows,
}
_ALSO: Final = {"idle": idle.lines, "reloads": reloads.lines}


@click.command()
@click.argument("groups", nargs=-1, type=click.Choice([*_GROUPS, *_ALSO]))
def main(groups: tuple[str, ...]) -> None:
    """Run the GROUPS of rows, or all; print the tables."""
    chosen = groups or (*_GROUPS, *_ALSO)
    with tempfile.TemporaryDirectory(prefix="model-agent-bench-") as room:
        subject = release.write(Path(room))
        rows = [row for group in chosen if group in _GROUPS for row in _GROUPS[group](subject)]
        lines = [line for group in chosen if group in _ALSO for line in _ALSO[group](subject)]
    size = subject.release.size / 1e9
    cores = len(os.sched_getaffinity(0))
    if rows:
        where = f"{size:.2f} GB, page cache warm, {cores} cores"
        print(f"Medians of {ROUNDS} rounds, {where}; seconds.\n")
        print(table.render(rows))
    if lines:
        print("", *lines, sep="\n")


if __name__ == "__main__":
    main()
