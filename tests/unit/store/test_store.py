"""The local store: its releases, the active one, its lock, and what a crash leaves in it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

import pytest

from agent.errors import (
    ConfigError,
    RefusedError,
    ReleaseMissingError,
    StoppedError,
    VerificationError,
)
from agent.release import layout
from agent.store import records
from agent.store.store import Store
from tests.support.stores import bare_release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VERSIONS: Final = ("v1", "v2", "v3")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with three releases, the last one the newest; none is active."""
    made = Store(tmp_path)
    made.prepare()
    for number, version in enumerate(VERSIONS):
        release = bare_release(tmp_path, version)
        records.write(made.agent, release, made.path(version))
        os.utime(made.path(version) / "manifest.json", ns=(number, number))
    return made


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    """It is not made: a volume that is not mounted would be missed too late."""
    store = Store(tmp_path / "nowhere")
    for act in (store.require, store.prepare):
        with pytest.raises(ConfigError, match="is not a directory"):
            act()
    assert not store.is_prepared()
    assert store.versions() == ()
    assert store.active() is None


def test_releases_are_in_order(store: Store) -> None:
    """The newest staged comes first; what has no manifest, or no name of a release, is none."""
    store.path("half").mkdir()
    store.path(".hidden").mkdir()
    (store.path(".hidden") / "manifest.json").write_text("{}")
    assert store.versions() == ("v3", "v2", "v1")


def test_activating(store: Store) -> None:
    """`current` leads to the release, and the loaders' directories follow it."""
    store.activate("v1")
    assert store.active() == "v1"
    store.activate("v2")
    assert str((store.root / "current").readlink()) == "releases/v2"
    assert (store.root / layout.FASTEMBED / "model").read_text() == "v2"
    (store.root / layout.HUGGINGFACE).unlink()
    store.activate("v2")
    assert str((store.root / layout.HUGGINGFACE).readlink()) == "current/huggingface"


@pytest.mark.parametrize(
    "target", ["releases/v9", "releases/../v1", "/etc", "v1", "releases/v1/fastembed"]
)
def test_a_link_that_leads_elsewhere(target: str, store: Store) -> None:
    """Only a release of the store can be active."""
    (store.root / "current").symlink_to(target)
    assert store.active() is None


def test_manifests_are_held_to_their_names(store: Store) -> None:
    """A release that is missing, torn or called otherwise is told; it has no digest."""
    with pytest.raises(ReleaseMissingError, match="v9 is not in the store"):
        store.manifest("v9")
    right = store.manifest("v1").encoded
    for data in (b"{", store.manifest("v2").encoded):
        (store.path("v1") / "manifest.json").write_bytes(data)
        with pytest.raises(VerificationError):
            store.manifest("v1")
        assert store.digest("v1") is None
    (store.path("v1") / "manifest.json").write_bytes(right)
    assert store.digest("v1") == store.manifest("v1").digest


def test_what_was_verified(store: Store) -> None:
    """A release is known by its digest if it is on record, and its manifest is still that one."""
    records.forget(store.agent, "v1")
    bare_release(store.root, "v2", "other content")
    assert store.verified() == {"v3": store.manifest("v3").digest}


def test_removing(store: Store) -> None:
    """The release, its bytes and its record go; removing it again does nothing."""
    for _ in range(2):
        store.remove("v2")
        assert store.versions() == ("v3", "v1")
        assert set(records.versions(store.agent)) == {"v1", "v3"}
    assert list(store.staging.iterdir()) == []


def test_a_crash_is_swept(store: Store) -> None:
    """Trash, staging, temporary files and stale records go; what is kept, and all else, stays."""
    for name in ("trash-v0-01234567", "v4", "v5", ".repair"):
        (store.staging / name / "fastembed").mkdir(parents=True)
    links = [store.root / ".current.0123abcd", store.root / ".current.4567cdef"]
    links[0].symlink_to("releases/v1")
    links[1].symlink_to("releases/gone")
    torn = store.agent / ".state.json.89abcdef"
    torn.write_text("{")
    foreign = (".notours.xyzxyzxy", ".backup.20240101", ".notes.deadbeef", ".nfs.00000001")
    mine = [store.root / name for name in foreign]
    for path in mine:
        path.write_text("")
    for version in ("v4", "v5"):
        records.write(store.agent, bare_release(store.root / "x", version), store.path("v1"))
    store.sweep(keep_staging="v4")
    assert [path.name for path in store.staging.iterdir()] == ["v4"]
    assert not any(path.is_symlink() or path.exists() for path in (*links, torn))
    assert all(path.exists() for path in mine)
    assert set(records.versions(store.agent)) == {*VERSIONS, "v4"}
    assert store.versions() == ("v3", "v2", "v1")


def test_only_one_holds_the_lock(store: Store) -> None:
    """Another agent waits for as long as it may; one that is told to stop, no longer."""
    stop = threading.Event()
    with store.lock(stop):
        with pytest.raises(RefusedError, match="Another agent holds the lock"):
            take(Store(store.root, lock_timeout=0.1), stop)
        stop.set()
        with pytest.raises(StoppedError):
            take(Store(store.root), stop)
    take(Store(store.root, lock_timeout=0.1), threading.Event())


def take(store: Store, stop: threading.Event) -> None:
    """Take the lock, and give it back."""
    with store.lock(stop):
        pass


def raised_by(*tasks: Callable[[], object]) -> list[BaseException]:
    """Do several things at the same time; return what they raised."""
    wrong: list[BaseException] = []

    def run(task: Callable[[], object]) -> None:
        try:
            task()
        except BaseException as error:  # noqa: BLE001 - shown by the test
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def prepare_often(store: Path) -> None:
    """Prepare a store a hundred times, as an agent of its own."""
    mine = Store(store)
    for _ in range(100):
        mine.prepare()


def test_two_agents_may_start_at_once(tmp_path: Path) -> None:
    """Agents that prepare one store at the same moment do not trip over each other."""
    assert raised_by(lambda: prepare_often(tmp_path), lambda: prepare_often(tmp_path)) == []


def test_one_agent_starts_while_another_sweeps(tmp_path: Path) -> None:
    """What one agent clears up under the lock is never what another is just writing."""
    holder, done = Store(tmp_path), threading.Event()
    holder.prepare()

    def sweep() -> None:
        while not done.is_set():
            with holder.lock(done):
                holder.sweep()

    def start() -> None:
        try:
            prepare_often(tmp_path)
        finally:
            done.set()

    assert [error for error in raised_by(sweep, start) if not isinstance(error, StoppedError)] == []
