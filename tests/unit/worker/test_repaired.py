"""A worker loads a release again once the agent has repaired files of it, and not otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from agent.worker import from_request, resolve_current
from tests.support.holding import Loader, settle, started
from tests.support.stores import activate, bare_release

if TYPE_CHECKING:
    from pathlib import Path

    from agent.release.manifest import Manifest
    from agent.worker import Release

_FILE: Final = "releases/v1/fastembed/model"


@pytest.fixture
def release(tmp_path: Path) -> Manifest:
    """A v1 that is active in a store."""
    made = bare_release(tmp_path, "v1")
    activate(tmp_path, "v1")
    return made


def asked(store: Path, release: Manifest) -> Release:
    """What a `/reload` finds."""
    version = release.version
    return from_request(store, version=version, path=f"releases/{version}", digest=release.digest)


def repair(store: Path) -> None:
    """Put another file with the right bytes in the place of the one that is there."""
    new = store / "new"
    new.write_bytes((store / _FILE).read_bytes())
    new.replace(store / _FILE)


def test_another_file_is_loaded(tmp_path: Path, release: Manifest) -> None:
    """Asked again for what it serves, it loads that again only if its files are others."""
    loader = Loader()
    holder = started(loader, asked(tmp_path, release))
    holder.reload(asked(tmp_path, release))
    assert (loader.begun, holder.status().state) == (["v1"], "ready")
    repair(tmp_path)
    holder.reload(asked(tmp_path, release))
    settle(holder, "v1")
    assert loader.begun == ["v1", "v1"]
    holder.reload(asked(tmp_path, release))
    assert holder.status().state == "ready"


def test_a_signal_finds_it_too(tmp_path: Path, release: Manifest) -> None:
    """A worker that reads `current` again needs nobody to say what was repaired."""
    loader = Loader()
    holder = started(loader, resolve_current(tmp_path))
    repair(tmp_path)
    holder.follow(tmp_path)
    settle(holder, "v1")
    assert loader.begun == ["v1", "v1"]


def test_a_load_of_the_bad_file_does_not_count(tmp_path: Path, release: Manifest) -> None:
    """A load that was under way when the file was repaired is stale: it is done again."""
    loader = Loader("v1")
    holder = loader.holder()
    holder.reload(asked(tmp_path, release))
    repair(tmp_path)
    holder.reload(asked(tmp_path, release))
    loader.let("v1")
    loader.let("v1")
    settle(holder, "v1")
    assert loader.begun == ["v1", "v1"]
