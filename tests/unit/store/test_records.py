"""Records of what was verified: a file is trusted only as it looked then."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from agent.files import durable
from agent.store import records
from agent.store.store import Store
from tests.support.stores import a_model, write_release

if TYPE_CHECKING:
    from agent.release.manifest import Manifest

FILES: Final = {"fastembed/one": b"1", "fastembed/two": b"22"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with one release, v1, which is on record."""
    made = Store(tmp_path)
    made.prepare()
    release = write_release(made.path("v1"), FILES, [a_model()])
    assert records.write(made.agent, release, made.path("v1"))
    return made


def trusted(store: Store, release: Manifest | None = None) -> set[str]:
    """Return the files of v1 that are trusted."""
    release = release or store.manifest("v1")
    return {file.path for file in records.trusted(store.agent, release, store.path("v1"))}


def test_what_was_just_verified(store: Store) -> None:
    """All of it is trusted, as long as it looks the same."""
    assert trusted(store) == set(FILES)
    assert records.is_untouched(store.agent, store.manifest("v1"), store.path("v1"))
    assert records.versions(store.agent) == ("v1",)


@pytest.mark.parametrize("change", ["time", "size", "inode", "gone", "link"])
def test_a_file_that_changed(change: str, store: Store) -> None:
    """Another time, size or inode is enough to distrust it, and it alone."""
    path = store.path("v1") / "fastembed/two"
    match change:
        case "time":
            os.utime(path, ns=(1, 1))
        case "size":
            path.write_bytes(b"2")
        case "inode":
            durable.write(path, b"22")
        case "gone":
            path.unlink()
        case _:
            path.rename(path.with_name("x"))
            path.symlink_to("x")
    assert trusted(store) == {"fastembed/one"}
    assert not records.is_untouched(store.agent, store.manifest("v1"), store.path("v1"))


def test_another_release_of_that_name(store: Store) -> None:
    """A record is for one digest: other content under the version is not trusted by it."""
    files = FILES | {"fastembed/three": b"3"}
    other = write_release(store.root / "other", files, [a_model()], version="v1")
    assert trusted(store, other) == set()


def test_amending(store: Store) -> None:
    """Single files are trusted as they look now, or no longer; without a record nothing is."""
    path = store.path("v1") / "fastembed/two"
    records.amend(store.agent, "v1", {"fastembed/one": None})
    assert trusted(store) == {"fastembed/two"}
    os.utime(path, ns=(1, 1))
    records.amend(store.agent, "v1", {"fastembed/two": records.look(path)})
    assert trusted(store) == {"fastembed/two"}
    records.amend(store.agent, "v9", {"fastembed/one": (1, 1, 1)})
    assert records.read(store.agent, "v9") is None


@pytest.mark.parametrize("data", [b"", b"[]", b'{"digest": 7}', None], ids=repr)
def test_a_record_that_cannot_be_read(data: bytes | None, store: Store) -> None:
    """Torn, another's, or not to be had: nothing is trusted, and nothing fails."""
    path = records.directory(store.agent) / "v1.json"
    path.unlink()
    path.mkdir() if data is None else path.write_bytes(data)
    assert trusted(store) == set()


def test_forgetting(store: Store) -> None:
    """A record is dropped; dropping it again does nothing."""
    for _ in range(2):
        records.forget(store.agent, "v1")
        assert records.versions(store.agent) == ()


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    """A directory, or nothing, looks like no file that was ever verified."""
    for path in (tmp_path, tmp_path / "nothing", Path("/dev/null")):
        assert records.look(path) == (-1, -1, -1)
