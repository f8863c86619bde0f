"""`publish`: a release is on the share whole, with its manifest, or it is not there at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import agents
from tests.support.shares import ELSEWHERE, INLINE, SNAPSHOT, TestShare, Tiny, snapshot, tree

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.agents import Result


def publish(share: TestShare, source: Path, version: str, *flags: str) -> Result:
    """Run `publish --from`."""
    roots = ("--share", share.root, "--catalog", share.catalog, "--from", source)
    return agents.run("publish", *roots, "--version", version, *flags)


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


def test_a_tree_with_the_suffix_of_the_version(tmp_path: Path) -> None:
    """`fastembed-v2/` is v2, as in adoption; with `fastembed/` beside it nobody knows: exit 9."""
    share = TestShare(tmp_path / "share")
    source = tree(tmp_path / "source")
    (source / "fastembed").rename(source / "fastembed-v2")
    done = publish(share, source, "v2")
    assert done.code == 0, done.sentence
    assert (share.release("v2") / SNAPSHOT / "model.onnx").exists()
    (source / "fastembed-v2").rename(source / "fastembed-v3")
    refused = publish(share, tree(source, ELSEWHERE), "v3")
    assert refused.code == 9, refused.sentence
    assert "fastembed/, and directories that end in -v3" in refused.sentence
    assert not share.release("v3").exists()


@pytest.mark.slow
def test_publishing_again(tmp_path: Path) -> None:
    """The same content again is a no-op; other content under the same version is exit 9."""
    share = TestShare(tmp_path / "share")
    first = publish(share, tree(tmp_path / "one"), "v1")
    assert first.code == 0, first.sentence
    before = snapshot(share.root)
    again = publish(share, tmp_path / "one", "v1")
    assert again.code == 0, again.sentence
    assert again.stdout.splitlines()[-1] == first.stdout.splitlines()[-1]
    assert snapshot(share.root) == before
    other = publish(share, tree(tmp_path / "other", ELSEWHERE), "v1")
    assert other.code == 9, other.stdout
    assert "v1" in other.sentence
    assert snapshot(share.root) == before


def test_two_publishers_at_once(tmp_path: Path) -> None:
    """Of two publishers of one version, one wins whole and the other is told so: exit 9."""
    share = TestShare(tmp_path / "share")
    kinds: dict[str, Tiny] = {"one": INLINE, "other": ELSEWHERE}
    flags = ("--share", share.root, "--catalog", share.catalog, "--version", "v1")
    running = {
        name: agents.start("publish", *flags, "--from", tree(tmp_path / name, kind))
        for name, kind in kinds.items()
    }
    done = {name: agents.finish(process) for name, process in running.items()}
    assert sorted(result.code for result in done.values()) == [0, 9], done
    winner = next(name for name, result in done.items() if result.code == 0)
    assert "Traceback" not in "\n".join(line for each in done.values() for line in each.lines)
    assert not (share.root / ".staging").exists()
    held = (share.release("v1") / SNAPSHOT / "model.onnx").read_bytes()
    assert held == (tmp_path / winner / SNAPSHOT / "model.onnx").read_bytes()
    assert share.manifest("v1").digest in done[winner].stdout
    assert agents.run("verify", "v1", "--on", "share", "--share", share.root).code == 0


def test_two_publishers_of_the_same(tmp_path: Path) -> None:
    """Of two publishers of one release, one does it; the other waits and finds it done."""
    share = TestShare(tmp_path / "share")
    source = tree(tmp_path / "tree")
    flags = ("--share", share.root, "--catalog", share.catalog, "--version", "v1")
    running = [agents.start("publish", *flags, "--from", source) for _ in range(2)]
    done = [agents.finish(process) for process in running]
    assert [result.code for result in done] == [0, 0], done
    assert sorted(result.stdout.split()[0] for result in done) == ["Already", "Published"]
    assert {path.name for path in share.root.iterdir()} == {"releases"}


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_tree_that_is_not_whole(name: str, tmp_path: Path) -> None:
    """A tree that lacks a file is exit 4, the file is named, and the share is as it was."""
    share = TestShare(tmp_path / "share")
    (tree(tmp_path / "tree") / SNAPSHOT / name).unlink()
    before = snapshot(share.root)
    done = publish(share, tmp_path / "tree", "v1")
    assert done.code == 4, done.stdout
    assert name in done.sentence
    assert snapshot(share.root) in (before, {})


def test_what_is_no_version(tmp_path: Path) -> None:
    """A version that no release can have is exit 2, and never becomes a path."""
    share = TestShare(tmp_path / "share")
    for version in ("../v1", "v" * 64):
        done = publish(share, tmp_path, version)
        assert done.code == 2, done.sentence
    assert snapshot(tmp_path / "share") == {"releases": "directory"}
