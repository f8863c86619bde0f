"""An empty share of each kind for each test, and one double for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.shares import lock
from tests.unit.shares.conformance.places import KINDS, Place, Shares, shares

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.shares.base import Share


@pytest.fixture(scope="session")
def all_shares(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shares]:
    """Make shares of each kind, with one double for all."""
    with shares(tmp_path_factory.mktemp("shares")) as made:
        yield made


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of share."""
    kind: str = request.param
    return kind


@pytest.fixture
def place(kind: str, all_shares: Shares, tmp_path: Path) -> Iterator[Place]:
    """An empty share."""
    yield all_shares.empty(kind, tmp_path)
    all_shares.heal()


@pytest.fixture
def filled(kind: str, all_shares: Shares) -> Share:
    """A share with a large file and a directory of many files, only to read."""
    return all_shares.filled(kind)


@pytest.fixture
def share(place: Place) -> Share:
    """The share of `place`."""
    return place.share


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holders of locks say that they live ten times more often, and soon count as dead."""
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(lock, "STALE_SECONDS", 0.5)
    monkeypatch.setattr(lock, "_LOOK_SECONDS", 0.02)
