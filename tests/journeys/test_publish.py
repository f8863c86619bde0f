"""`publish`: a release is on the share whole, with its manifest, or it is not there at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import agents
from tests.support.pods import Pod
from tests.support.shares import ELSEWHERE, INLINE, SNAPSHOT, Tiny, tree

pytestmark = pytest.mark.slow


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    """A pod whose share is empty."""
    return Pod(tmp_path)


def test_a_relative_share(pod: Pod, tmp_path: Path) -> None:
    """`--share share` is the directory beside one."""
    tree(tmp_path / "tree")
    done = pod.publish_tree("v1", Path("tree"), "--share", "share", cwd=tmp_path)
    assert done.code == 0, done.sentence
    assert pod.share.manifest("v1").version == "v1"


def test_a_failed_publish_leaves_a_hand_made_share_as_it_was(pod: Pod, tmp_path: Path) -> None:
    """After a publish that failed, pods still come up on the tree that operators made by hand."""
    tree(pod.share.root)
    broken = tree(tmp_path / "broken")
    (broken / SNAPSHOT / "model.onnx").write_bytes(b"damaged")
    failed = pod.publish_tree("v9", broken)
    assert failed.code == 5, failed.sentence
    assert {path.name for path in pod.share.root.iterdir()} == {"fastembed"}
    done = pod.run("init")
    assert done.code == 0, done.sentence


def test_two_publishers_at_once(pod: Pod, tmp_path: Path) -> None:
    """Of two publishers of one version, one wins whole and the other is told so: exit 9."""
    kinds: dict[str, Tiny] = {"one": INLINE, "other": ELSEWHERE}
    command = ("publish", "--version", "v1", "--from")
    running = {
        name: pod.start(*command, tree(tmp_path / name, kind)) for name, kind in kinds.items()
    }
    done = {name: agents.finish(process) for name, process in running.items()}
    assert sorted(result.code for result in done.values()) == [0, 9], done
    winner = next(name for name, result in done.items() if result.code == 0)
    assert "Traceback" not in "\n".join(line for each in done.values() for line in each.lines)
    assert not (pod.share.root / ".staging").exists()
    held = (pod.share.release("v1") / SNAPSHOT / "model.onnx").read_bytes()
    assert held == (tmp_path / winner / SNAPSHOT / "model.onnx").read_bytes()
    assert pod.share.manifest("v1").digest in done[winner].stdout
    assert pod.run("verify", "v1", "--on", "share").code == 0
