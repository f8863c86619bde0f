"""The room of a store: what it takes, what it may take, and what goes for more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pytest

from agent.errors import NoSpaceError
from agent.store import room
from agent.store.store import Store
from tests.support.stores import bare_release

if TYPE_CHECKING:
    from pathlib import Path

BLOCK: Final = 4096
FILE: Final = "fastembed/model"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with v1, v2 and v3, the last one the newest, of 100 blocks each and little more."""
    made = Store(tmp_path)
    made.prepare()
    for number, version in enumerate(("v1", "v2", "v3")):
        bare_release(tmp_path, version, version[-1] * (100 * BLOCK))
        os.utime(made.path(version) / "manifest.json", ns=(number, number))
    return made


def free_of(store: Store, count: int) -> None:
    """Have so many blocks free."""
    store.limit = room.used_bytes(store) + count * BLOCK


def test_the_limit_is_what_counts(store: Store) -> None:
    """Within a limit, that is the most and the rest of it is free; also less than nothing."""
    used = room.used_bytes(store)
    assert 300 * BLOCK < used < 400 * BLOCK
    store.limit = used + 5
    assert (room.most_bytes(store), room.free_bytes(store)) == (used + 5, 5)
    store.limit = used - 5
    assert room.free_bytes(store) == -5


def test_the_volume_is_what_counts(store: Store) -> None:
    """Without a limit, or with one beyond the volume, the volume's size and room do."""
    volume = os.statvfs(store.root)
    size = volume.f_blocks * volume.f_frsize
    for limit in (None, 2 * size):
        store.limit = limit
        assert room.most_bytes(store) == size
        assert 0 < room.free_bytes(store) <= size


def test_a_file_with_two_names_counts_once(store: Store) -> None:
    """A hard link takes no room."""
    before = room.used_bytes(store)
    os.link(store.path("v1") / FILE, store.path("v2") / "another-name")
    assert room.used_bytes(store) == before


def test_enough_is_free(store: Store) -> None:
    """Nothing is deleted, though it could be."""
    free_of(store, 10)
    room.require_and_make(store, 10 * BLOCK, ("v1",))
    assert store.versions() == ("v3", "v2", "v1")


def test_as_few_go_as_will_do(store: Store) -> None:
    """The first one goes first, and no more than it takes."""
    free_of(store, 10)
    room.require_and_make(store, 50 * BLOCK, ("v2", "v1"))
    assert store.versions() == ("v3", "v1")


def test_all_of_them_are_too_few(store: Store) -> None:
    """Then none goes, and the sentence has the limit and the bytes."""
    free_of(store, 10)
    with pytest.raises(NoSpaceError) as caught:
        room.require_and_make(store, 500 * BLOCK, ("v1", "v2"))
    assert f"has {10 * BLOCK} bytes free (--store-limit {store.limit})" in caught.value.what
    assert f"needs {500 * BLOCK} more" in caught.value.what
    assert store.versions() == ("v3", "v2", "v1")
    store.limit = None
    with pytest.raises(NoSpaceError) as caught:
        room.require(store, 2**60)
    assert "--store-limit" not in caught.value.what


def test_a_file_of_a_release_that_stays(store: Store) -> None:
    """Deleting one name of a file frees nothing while another is left, or is reused."""
    free_of(store, 10)
    room.require(store, 100 * BLOCK, spare=("v1",))
    with pytest.raises(NoSpaceError):
        room.require(store, 100 * BLOCK, spare=("v1",), reused=(store.path("v1") / FILE,))
    os.link(store.path("v1") / FILE, store.path("v3") / "another-name")
    with pytest.raises(NoSpaceError):
        room.require(store, 100 * BLOCK, spare=("v1",))
    room.require(store, 100 * BLOCK, spare=("v1", "v3"))
