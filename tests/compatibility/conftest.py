"""What runs today's agents in forks, and where they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.crashing import Crasher
from tests.support.shares import in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def crasher() -> Iterator[Crasher]:
    """What runs agents in forks."""
    with Crasher() as running:
        yield running


@pytest.fixture
def scratch() -> Iterator[Path]:
    """An empty directory in memory."""
    with in_memory() as made:
        yield made
