"""Measures what moves the true-shape bge-large, and prints a Markdown table.

python -m tests.benchmarks [stage] [verify] [rest] [load]
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

import click

from tests.benchmarks import load, local, release, rest, table
from tests.benchmarks.measuring import ROUNDS

_GROUPS: Final = {
    "stage": local.stage,
    "verify": local.verify,
    "rest": rest.rows,
    "load": load.rows,
}


@click.command()
@click.argument("groups", nargs=-1, type=click.Choice(list(_GROUPS)))
def main(groups: tuple[str, ...]) -> None:
    """Run the GROUPS of rows, or all; print the table."""
    with tempfile.TemporaryDirectory(prefix="model-agent-bench-") as room:
        subject = release.write(Path(room))
        rows = [row for group in groups or _GROUPS for row in _GROUPS[group](subject)]
    size = subject.release.size / 1e9
    cores = len(os.sched_getaffinity(0))
    print(f"Medians of {ROUNDS} rounds, {size:.2f} GB, page cache warm, {cores} cores; seconds.\n")
    print(table.render(rows))


if __name__ == "__main__":
    main()
