"""Keys, and a pod with a signed release; modules may have others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.keys import Key, make_key
from tests.support.signed import SignedPod

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Key, Key]:
    """The operators' key, and somebody else's."""
    directory = tmp_path_factory.mktemp("keys")
    return make_key(directory), make_key(directory, "other")


@pytest.fixture
def key(keys: tuple[Key, Key]) -> Key:
    """The operators' key."""
    return keys[0]


@pytest.fixture
def pod(tmp_path: Path, key: Key) -> SignedPod:
    """A pod whose share has a signed release."""
    return SignedPod(tmp_path, key)
