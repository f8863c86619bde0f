"""`publish`: a release is on the share whole, with its manifest, or it is not there at all."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from agent.errors import AgentError
from agent.machine import threads
from agent.shares.base import Publication
from agent.shares.directory import DirectoryShare
from tests.support import agents
from tests.support.shares import ELSEWHERE, INLINE, SNAPSHOT, TestShare, Tiny, snapshot, tree
from tests.support.stores import a_model, write_release
from tests.support.workers import until

if TYPE_CHECKING:
    from pathlib import Path

    from agent.release.manifest import Manifest
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


@pytest.mark.slow
def test_a_publisher_that_was_killed(tmp_path: Path) -> None:
    """After SIGKILL the same command again completes, and nothing of the killed one is left."""
    share = TestShare(tmp_path / "share")
    source = tree(tmp_path / "tree")
    flags = ("--share", share.root, "--catalog", share.catalog, "--version", "v1")
    killed = agents.start("publish", *flags, "--from", source)
    staging = share.root / ".staging"
    until(lambda: staging.is_dir() and any(staging.iterdir()))
    killed.kill()
    agents.finish(killed)
    assert list((share.root / "releases").iterdir()) == []
    done = publish(share, source, "v1")
    assert done.code == 0, done.sentence
    assert {path.name for path in share.root.iterdir()} == {"releases"}
    assert agents.run("verify", "v1", "--on", "share", "--share", share.root).code == 0


def test_a_publisher_that_was_only_asleep(tmp_path: Path) -> None:
    """One that another took the lock from and published instead: its own commit changes nothing."""
    share = TestShare(tmp_path / "share")
    asleep, awake = threading.Event(), threading.Event()
    publisher = DirectoryShare(share.root)

    def make(name: str, directory: Path) -> Manifest:
        made = write_release(directory, {"first": name.encode()}, [a_model()], version="v1")
        if name == "sleeper":
            asleep.set()
            awake.wait(30)
        return made

    def publish_as(name: str) -> None:
        publisher.publish(Publication("v1", partial(make, name), lambda: None, threading.Event()))

    sleeper = threads.start(publish_as, "sleeper")
    assert asleep.wait(30)
    publish_as("other")
    before = snapshot(share.root)
    awake.set()
    with pytest.raises(AgentError):
        sleeper.result(30)
    assert (share.release("v1") / "first").read_text() == "other"
    assert snapshot(share.root) == before
