"""Where agents run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.shares import in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def scratch() -> Iterator[Path]:
    """An empty directory in memory."""
    with in_memory() as made:
        yield made
