"""`publish`: a release is on the share whole, with its manifest, or it is not there at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support import agents
from tests.support.shares import SNAPSHOT, TestShare, tree

if TYPE_CHECKING:
    from pathlib import Path


def test_a_share_that_is_away_is_not_made(tmp_path: Path) -> None:
    """Publishing to a share that is not mounted exits 3, and makes no directory in its place."""
    catalog = TestShare(tmp_path / "other").catalog
    source = tree(tmp_path / "tree")
    flags = ("--share", tmp_path / "away", "--catalog", catalog)
    done = agents.run("publish", *flags, "--from", source, "--version", "v1")
    assert done.code == 3, done.stdout
    assert not (tmp_path / "away").exists()


def test_a_relative_share(tmp_path: Path) -> None:
    """`--share share` is the directory beside one."""
    share = TestShare(tmp_path / "share")
    tree(tmp_path / "tree")
    flags = ("--share", "share", "--catalog", share.catalog)
    done = agents.run("publish", *flags, "--from", "tree", "--version", "v1", cwd=tmp_path)
    assert done.code == 0, done.sentence
    assert share.manifest("v1").version == "v1"


def test_a_failed_publish_leaves_a_hand_made_share_as_it_was(tmp_path: Path) -> None:
    """After a publish that failed, pods still come up on the tree that operators made by hand."""
    share = TestShare(tmp_path / "share")
    (share.root / "releases").rmdir()
    tree(share.root)
    broken = tree(tmp_path / "broken")
    (broken / SNAPSHOT / "model.onnx").write_bytes(b"damaged")
    flags = ("--share", share.root, "--catalog", share.catalog)
    failed = agents.run("publish", *flags, "--from", broken, "--version", "v9")
    assert failed.code == 5, failed.sentence
    assert {path.name for path in share.root.iterdir()} == {"fastembed"}
    (tmp_path / "store").mkdir()
    done = agents.run("init", *flags, "--store", tmp_path / "store")
    assert done.code == 0, done.sentence
