"""Keys, and a pod whose share has a signed release; a module may call its own so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.keys import Key, make_key
from tests.support.signed import Pod

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
def pod(tmp_path: Path, key: Key) -> Pod:
    """A pod of its own."""
    return Pod(tmp_path, key)
