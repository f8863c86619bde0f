"""Commands that write on a share, and delete from it; every kind of share is written to alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support import agents
from tests.support.shares import SNAPSHOT, TestShare, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.agents import Result

LEFT = ".staging/v9-0123abcd"
VERSIONS = ("v1", "v2", "v3", "v4", "v5", "v6")


class Desk:
    """An operator at a share with six releases, one older than the next.

    Args:
        disk: The share.
    """

    def __init__(self, disk: TestShare) -> None:
        self.disk = disk
        for minute, version in enumerate(VERSIONS):
            disk.add_files(version, {"model.onnx": version.encode() * 1000})
            disk.sign(version, at(minute))

    @property
    def releases(self) -> set[str]:
        """The releases on the share."""
        return {path.name for path in (self.disk.root / "releases").iterdir()}

    @property
    def marker(self) -> bytes:
        """The marker's bytes."""
        return (self.disk.root / "VERSION").read_bytes()

    def run(self, *args: str | Path) -> Result:
        """Run a command on the share."""
        return agents.run(*args, env={"MODEL_AGENT_SHARE": str(self.disk.root)})

    def done(self, *args: str | Path) -> Result:
        """Run a command that succeeds."""
        done = self.run(*args)
        assert done.code == 0, done.sentence
        return done


def at(minute: int) -> Callable[[dict[str, Any]], None]:
    """A change to a manifest: it was made at this minute."""
    return lambda raw: raw.update(created=f"2026-01-01T00:{minute:02}:00Z")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk at a share with six releases."""
    return Desk(TestShare(tmp_path / "share"))


@pytest.mark.slow
def test_the_share_is_pruned(desk: Desk) -> None:
    """What neither the marker nor its chain names goes; nothing is touched by a dry run."""
    for version in VERSIONS:
        desk.done("promote", version)
    before = snapshot(desk.disk.root)
    dry = desk.done("prune", "--on", "share", "--dry-run")
    assert dry.stdout == "Would remove: v1 v2\n"
    assert snapshot(desk.disk.root) == before
    assert desk.done("prune", "--on", "share").stdout == "Removed: v1 v2\n"
    assert desk.releases == {"v3", "v4", "v5", "v6"}
    assert {path.name for path in desk.disk.root.iterdir()} == {"VERSION", "releases"}
    assert desk.done("prune", "--on", "share").stdout == "Nothing to remove.\n"


def test_what_may_be_promoted_next_is_kept(desk: Desk) -> None:
    """A release newer than the marker's, or without a manifest, is nobody's to delete."""
    desk.done("promote", "v2")
    (desk.disk.release("v1") / "manifest.json").unlink()
    assert desk.done("prune", "--on", "share").stdout == "Nothing to remove.\n"
    assert desk.releases == set(VERSIONS)


@pytest.mark.parametrize("marker", [None, b"", b"\0" * 512])
def test_nothing_is_pruned_without_a_marker(marker: bytes | None, desk: Desk) -> None:
    """Without a sound marker nobody knows what is needed: exit 4."""
    if marker is not None:
        (desk.disk.root / "VERSION").write_bytes(marker)
    done = desk.run("prune", "--on", "share")
    assert done.code == 4, done.stdout
    assert desk.releases == set(VERSIONS)


def test_what_a_killed_publisher_left_is_pruned(desk: Desk) -> None:
    """Staging that no living publisher holds goes, and nothing that is not ours."""
    for directory in (LEFT, ".staging/notes"):
        (desk.disk.root / directory).mkdir(parents=True)
        (desk.disk.root / directory / "file").write_bytes(b"half")
    desk.done("promote", "v6")
    staging = desk.disk.root / ".staging"
    assert desk.done("prune", "--on", "share", "--dry-run").stdout.endswith(f" {LEFT}\n")
    assert {path.name for path in staging.iterdir()} == {"v9-0123abcd", "notes"}
    assert desk.done("prune", "--on", "share").stdout.endswith(f" {LEFT}\n")
    assert [path.name for path in staging.iterdir()] == ["notes"]


def test_a_release_that_is_not_whole_is_not_promoted(desk: Desk) -> None:
    """A file that is short or missing is named, and the marker stays."""
    desk.done("promote", "v1")
    before = desk.marker
    (desk.disk.release("v2") / SNAPSHOT / "model.onnx").write_bytes(b"short")
    done = desk.run("promote", "v2")
    assert done.code == 4, done.stdout
    assert "model.onnx of v2 is 5 bytes long instead of 2000" in done.sentence
    assert desk.marker == before


def test_promote_verify(desk: Desk) -> None:
    """`promote --verify` reads every byte: a flipped bit is exit 5, and the marker stays."""
    desk.done("promote", "--verify", "v1")
    before = desk.marker
    (desk.disk.release("v2") / SNAPSHOT / "model.onnx").write_bytes(b"v1" * 1000)
    done = desk.run("promote", "--verify", "v2")
    assert done.code == 5, done.stdout
    assert "model.onnx" in done.sentence
    assert desk.marker == before
    desk.done("promote", "v2")
