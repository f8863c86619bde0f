"""Makes cases for the doctor's checks, on a share and a store of a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.doctor.case import Case
from tests.support.parts import Parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent.doctor.judge.findings import Finding

    Look = Callable[[Case], Iterator[Finding]]


def case_of(root: Path, **flags: str) -> Case:
    """Return a case on the share and the store of `Parts(root)`, outside of any pod."""
    return Case(Parts(root, **flags).context, {})


def seen(look: Look, case: Case) -> list[tuple[str, str]]:
    """Make a check; return the level and the sentence of each finding."""
    return [(each.level, each.seen) for each in look(case)]
