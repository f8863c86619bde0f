"""What a test of containers cannot do without."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


class UnavailableError(Exception):
    """Something is not here; the sentence says what, and why."""


@contextmanager
def required() -> Iterator[None]:
    """Skip what cannot be done here, with the reason; fail where containers are required."""
    try:
        yield
    except UnavailableError as error:
        if os.environ.get("REQUIRE_CONTAINERS"):
            pytest.fail(str(error))
        pytest.skip(str(error))
