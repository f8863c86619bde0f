"""`init`: a verified release is active afterwards, the desired one if that is possible at all."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support import agents
from tests.support.crashing import Crasher, Run
from tests.support.shares import TestShare, tree

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def share(tmp_path: Path) -> TestShare:
    """Two synthetic releases."""
    made = TestShare(tmp_path / "share")
    for version in ("v1", "v2"):
        made.add_files(version, {"model.onnx": version.encode() * 200_000})
    return made


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty store."""
    path = tmp_path / "store"
    path.mkdir()
    return path


def test_a_share_that_goes_away_costs_nothing_staged(
    share: TestShare, store: Path, tmp_path: Path
) -> None:
    """What was half staged is still there after an `init` that came up on the old release."""
    other = tmp_path / "other"
    other.mkdir()
    with Crasher() as crasher:

        def init(where: Path, step: int = 0) -> Run:
            flags = ("--no-warm", "--share", share.root, "--store", where)
            return crasher.run("init", *flags, step=step)

        share.mark("v1")
        assert init(store).code == init(other).code == 0
        share.mark("v2")
        steps = init(other).steps
        last_write = len(steps) - steps[::-1].index("pwritev")
        assert init(store, step=last_write).code == -9
        away = share.root.rename(share.root.with_name("away"))
        assert init(store).code == 0
        assert (store / "current").readlink().name == "v1"
        away.rename(share.root)
        done = init(store)
        assert done.code == 0
    assert "resumed_bytes" in done.stderr


def test_the_desired_release_is_remembered(share: TestShare, store: Path) -> None:
    """While the share is away, the state still says which release is desired."""
    flags = ("--no-warm", "--share", share.root, "--store", store)
    share.mark("v1")
    assert agents.run("init", *flags).code == 0
    share.root.rename(share.root.with_name("away"))
    done = agents.run("init", *flags)
    assert done.code == 0, done.sentence
    assert json.loads((store / ".agent/state.json").read_text())["desired"] == "v1"


def test_a_hand_made_release_survives_the_first_publish(share: TestShare, store: Path) -> None:
    """A marker that names the hand-made tree still means it once `releases/` holds another one."""
    shutil.rmtree(share.root / "releases")
    tree(share.root)
    share.mark("today")
    flags = ("--share", share.root, "--catalog", share.catalog)
    done = agents.run("publish", *flags, "--from", tree(store.with_name("new")), "--version", "v2")
    assert done.code == 0, done.sentence
    done = agents.run("init", *flags, "--store", store)
    assert done.code == 0, done.sentence
    assert (store / "current").readlink().name == "today"
    assert agents.run("promote", *flags, "yesterday").code == 4
