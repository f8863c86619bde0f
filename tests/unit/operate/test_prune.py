"""The releases that `prune` deletes, and those that it keeps."""

from __future__ import annotations

import shutil
from operator import methodcaller
from typing import TYPE_CHECKING

import pytest

from agent.errors import RefusedError, ReleaseMissingError
from agent.operate.prune import Pruned, prune_share, prune_store
from agent.shares import lock
from agent.shares.base import STAGING
from agent.sync.record import Record
from tests.support.desks import served

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.desks import Desk


def names(directory: Path) -> set[str]:
    """The names in a directory."""
    return {path.name for path in directory.iterdir()}


def fill(desk: Desk, *versions: str) -> Path:
    """Have releases in the store, the last one active and desired; return their directory."""
    served(desk, *versions).update(desired=versions[-1])
    return desk.store / "releases"


def test_the_store_keeps_the_active_one_and_the_newest_others(desk: Desk) -> None:
    """`--keep` counts the active release; a dry run names the same, and deletes nothing."""
    held = fill(desk, "v1", "v2", "v3")
    assert prune_store(desk.context(keep="2"), dry_run=True) == Pruned(("v1",))
    assert names(held) == {"v1", "v2", "v3"}
    assert prune_store(desk.context(keep="2")) == Pruned(("v1",))
    assert names(held) == {"v2", "v3"}
    assert prune_store(desk.context(keep="1")) == Pruned(("v2",))
    assert names(held) == {"v3"}
    assert prune_store(desk.context(keep="1")) == Pruned(())
    assert (desk.store / "current").readlink().name == "v3"


def test_a_deleted_release_is_off_the_record(desk: Desk) -> None:
    """That it passed its check is forgotten with it."""
    fill(desk, "v1", "v2")
    record = Record(desk.store / ".agent", desk.context().log)
    for version in ("v1", "v2"):
        record.passed(version, "0" * 64)
    prune_store(desk.context(keep="1"))
    assert set(Record(desk.store / ".agent", desk.context().log).checked()) == {"v2"}


def test_a_store_in_use_is_left_alone(desk: Desk) -> None:
    """While another agent holds the lock nothing is deleted."""
    held = fill(desk, "v1", "v2")
    context = desk.context()
    with context.store.lock(context.stop), pytest.raises(RefusedError, match="--lock-timeout"):
        prune_store(desk.context(keep="1", lock_timeout="0s"))
    assert names(held) == {"v1", "v2"}


def test_the_share_keeps_the_chain_and_what_is_newer(desk: Desk) -> None:
    """Only older releases that the marker does not name go; incomplete ones stay."""
    made = {"old": "2025-01-01", "back": "2025-02-01", "now": "2026-01-01", "next": "2026-02-01"}
    for version, day in made.items():
        desk.add(version)
        at = {"created": f"{day}T00:00:00Z"}
        desk.share.sign(version, methodcaller("update", at))
    shutil.copytree(desk.share.release("old"), desk.share.release("upload"))
    (desk.share.release("upload") / "manifest.json").unlink()
    desk.share.mark("now", "previous: back")
    assert prune_share(desk.context(), dry_run=True) == Pruned(("old",))
    assert names(desk.share.root / "releases") == {*made, "upload"}
    assert prune_share(desk.context()) == Pruned(("old",))
    assert names(desk.share.root / "releases") == {"back", "now", "next", "upload"}


def test_without_a_marker_the_share_is_left_alone(desk: Desk) -> None:
    """Nobody knows what is needed, so nothing goes."""
    desk.add("v1")
    with pytest.raises(ReleaseMissingError, match="VERSION"):
        prune_share(desk.context())
    assert names(desk.share.root / "releases") == {"v1"}


def test_what_killed_publishers_left_goes(desk: Desk) -> None:
    """It is deleted unless its publisher is at it right now; what is not ours stays."""
    desk.add("v1")
    desk.share.mark("v1")
    ours, theirs = "v2-0123abcd", "v3-0123abcd"
    for name in (ours, theirs, "notes"):
        (desk.share.root / STAGING / name).mkdir(parents=True)
    both = Pruned((), (ours, theirs))
    assert prune_share(desk.context(), dry_run=True) == both
    context = desk.context()
    file = context.share.lock_file("publish-v3")
    with lock.held(file, timeout=0, stop=context.stop, log=context.log):
        assert prune_share(desk.context()) == Pruned((), (ours,))
    assert names(desk.share.root / STAGING) == {theirs, "notes"}
    assert prune_share(desk.context()) == Pruned((), (theirs,))
