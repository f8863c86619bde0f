"""What every test may ask for, and what runs the agents of their pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support.forks import Forks
from tests.support.pods import Pod

if TYPE_CHECKING:
    from collections.abc import Iterator

# A machine that others keep busy makes values slowly; that is no fault of what is tested.
settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ours")

pytest_plugins = ["tests.support.fixtures"]


@pytest.fixture(scope="session", autouse=True)
def forks() -> Iterator[Forks]:
    """What runs agents in forks, those of every pod too: a tenth of the time of a process."""
    with Forks() as running:
        Pod.forks = running
        yield running
        Pod.forks = None
