"""A desk of its own for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.shares import reader
from tests.support.desks import Desk

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A share without releases, and an empty store."""
    # Nobody else writes the marker here, so that a second look need not wait.
    monkeypatch.setattr(reader, "_PAUSE_SECONDS", 0.0)
    return Desk(tmp_path)
