"""Which faults were held how often: the table of a run, and the page of the docs."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGE: Final = Path(__file__).parents[2] / "docs" / "faults.md"
AREAS: Final = (
    *("marker", "share", "store", "worker", "method", "sequence", "init then sidecar"),
    *("security", "worker without us"),
)
_HEAD: Final = """\
# What was provoked

Every fault below is provoked by a test against real processes: the agent, the embeddings worker,
and a share. Unless a line says otherwise, requests go to the worker all the while, and none may
fail. `make faults` writes this page from the tests' own results, and `make test-soak` holds it to
them; `make test-soak ROUNDS=10` does all of it ten times.
"""


@dataclass
class Held:
    """One case: what it promises, and how often that was seen to hold."""

    area: str
    case: str
    promise: str
    rounds: int = 0
    failures: int = 0


@dataclass
class Matrix:
    """All cases of a run, and how many of its tests were skipped."""

    held: dict[tuple[str, str], Held] = field(default_factory=dict)
    skipped: int = 0

    def add(self, cases: Iterable[Iterable[str]], *, failed: bool) -> None:
        """Count a round of a test for each case that it stands for."""
        for area, case, promise in cases:
            held = self.held.setdefault((area, case), Held(area, case, promise))
            held.rounds += 1
            held.failures += failed

    def sorted(self) -> list[Held]:
        """By area, and as the tests come."""
        return sorted(self.held.values(), key=lambda held: (AREAS.index(held.area), held.case))

    def table(self) -> Iterator[str]:
        """The lines for a terminal."""
        for held in self.sorted():
            yield f"{held.area:18} {held.case:58} {held.rounds:4} rounds {held.failures:4} failures"
        rounds = sum(held.rounds for held in self.held.values())
        failures = sum(held.failures for held in self.held.values())
        yield f"{len(self.held)} cases, {rounds} rounds, {failures} failures"

    def page(self) -> str:
        """The page; only of a run without a failure."""
        lines = [_HEAD, "| area | fault | what holds |", "| --- | --- | --- |"]
        lines += [f"| {held.area} | {held.case} | {held.promise} |" for held in self.sorted()]
        return "\n".join(lines) + "\n"


def case(area: str, *names: str) -> pytest.MarkDecorator:
    """Say which cases a test, or one of its parameters, stands for.

    Args:
        area: One of `AREAS`.
        names: What is provoked, in a few words each.
    """
    assert area in AREAS, area
    return pytest.mark.case(area, *names)


def cases_of(item: pytest.Item) -> list[tuple[str, str, str]]:
    """The area, the name and the promise of each case that a test stands for."""
    promise = (inspect.getdoc(getattr(item, "obj", None)) or "").split("\n\n")[0]
    return [
        (mark.args[0], name, " ".join(promise.split()))
        for mark in item.iter_markers("case")
        for name in mark.args[1:]
    ]
