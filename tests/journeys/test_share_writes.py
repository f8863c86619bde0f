"""What operators write on a share, and delete from it: the same on a directory and over REST."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import agents
from tests.support.rest import rest_share
from tests.support.shares import SNAPSHOT, TestShare, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.agents import Result
    from tests.support.rest import RestShare

LEFT = ".staging/v9-0123abcd"
VERSIONS = ("v1", "v2", "v3", "v4", "v5", "v6")


class Desk:
    """An operator at a share with six releases, one older than the next.

    Args:
        disk: The share's files.
        run: Runs `model-agent` on it.
        rest: What serves it, over REST.
    """

    def __init__(self, disk: TestShare, run: Callable[..., Result], rest: RestShare | None) -> None:
        self.disk = disk
        self.run = run
        self.rest = rest

    @property
    def releases(self) -> set[str]:
        """The releases on the share."""
        return {path.name for path in (self.disk.root / "releases").iterdir()}

    @property
    def marker(self) -> bytes:
        """The marker's bytes."""
        return (self.disk.root / "VERSION").read_bytes()

    def put(self, path: str, data: bytes) -> None:
        """Write a file of the share, behind the agent's back."""
        if self.rest:
            self.rest.put(path, data)
        else:
            (self.disk.root / path).write_bytes(data)

    def delete(self, path: str) -> None:
        """Delete a file of the share, behind the agent's back."""
        if self.rest:
            self.rest.delete(path)
        else:
            (self.disk.root / path).unlink()

    def done(self, *args: str | Path) -> Result:
        """Run a command that succeeds."""
        done = self.run(*args)
        assert done.code == 0, done.sentence
        return done


def with_left_over(disk: TestShare) -> None:
    """Six releases, what a killed publisher left, and a directory that is not ours."""
    fill(disk)
    for directory in (LEFT, ".staging/notes"):
        (disk.root / directory).mkdir(parents=True)
        (disk.root / directory / "file").write_bytes(b"half")


def fill(disk: TestShare) -> None:
    """Six releases, made a minute apart."""
    for minute, version in enumerate(VERSIONS):
        disk.add_files(version, {"model.onnx": version.encode() * 1000})
        disk.sign(version, at(minute))


def at(minute: int) -> Callable[[dict[str, Any]], None]:
    """A change to a manifest: it was made at this minute."""
    return lambda raw: raw.update(created=f"2026-01-01T00:{minute:02}:00Z")


@contextmanager
def a_desk(kind: str, root: Path, fill: Callable[[TestShare], None]) -> Iterator[Desk]:
    """A desk at a share of this kind."""
    if kind == "directory":
        disk = TestShare(root / "share")
        fill(disk)
        env = {"MODEL_AGENT_SHARE": str(disk.root)}
        yield Desk(disk, lambda *args: agents.run(*args, env=env), None)
        return
    with rest_share(root / "root", fill=fill) as share:
        yield Desk(share.disk, share.run, share)


@pytest.fixture(params=["directory", "azurefiles"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of share."""
    kind: str = request.param
    return kind


@pytest.fixture
def desk(kind: str, tmp_path: Path) -> Iterator[Desk]:
    """A desk at a share with six releases."""
    with a_desk(kind, tmp_path, fill) as desk:
        yield desk


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
    desk.delete("releases/v1/manifest.json")
    assert desk.done("prune", "--on", "share").stdout == "Nothing to remove.\n"
    assert desk.releases == set(VERSIONS)


@pytest.mark.parametrize("marker", [None, b"", b"\0" * 512])
def test_nothing_is_pruned_without_a_marker(marker: bytes | None, desk: Desk) -> None:
    """Without a sound marker nobody knows what is needed: exit 4."""
    if marker is not None:
        desk.put("VERSION", marker)
    done = desk.run("prune", "--on", "share")
    assert done.code == 4, done.stdout
    assert desk.releases == set(VERSIONS)


@pytest.mark.slow
def test_what_a_killed_publisher_left_is_pruned(kind: str, tmp_path: Path) -> None:
    """Staging that no living publisher holds goes, and nothing that is not ours."""
    with a_desk(kind, tmp_path, with_left_over) as desk:
        desk.done("promote", "v6")
        assert_left_over_is_pruned(desk)


def assert_left_over_is_pruned(desk: Desk) -> None:
    """See what is said, and what is there before and after."""
    staging = desk.disk.root / ".staging"
    assert desk.done("prune", "--on", "share", "--dry-run").stdout.endswith(f" {LEFT}\n")
    assert {path.name for path in staging.iterdir()} == {"v9-0123abcd", "notes"}
    assert desk.done("prune", "--on", "share").stdout.endswith(f" {LEFT}\n")
    assert [path.name for path in staging.iterdir()] == ["notes"]


def test_a_marker_of_the_same_size_is_written_in_place(desk: Desk) -> None:
    """`promote` over a record is one write of 512 bytes; over `echo v1 > VERSION`, a rename."""
    desk.put("VERSION", b"v1\n")
    desk.done("promote", "v2")
    assert len(desk.marker) == 512
    assert desk.marker.startswith(b"v2\n# previous: v1\n")
    if desk.rest:
        assert desk.rest.double.requests("RenameFile")
        desk.rest.double.reset_counters()
        desk.done("promote", "v3")
        writes = [r for r in desk.rest.double.requests() if r["method"] != "GET"]
        made = [(r["operation"], r["path"], r["bytes_in"]) for r in writes]
        assert made[-1] == ("PutRange", "/ml-models/VERSION", 512)
        assert {each[0] for each in made} == {"GetFileProperties", "PutRange"}


def test_a_release_that_is_not_whole_is_not_promoted(desk: Desk) -> None:
    """A file that is short or missing is named, and the marker stays."""
    desk.done("promote", "v1")
    before = desk.marker
    desk.put(f"releases/v2/{SNAPSHOT}/model.onnx", b"short")
    done = desk.run("promote", "v2")
    assert done.code == 4, done.stdout
    assert "model.onnx of v2 is 5 bytes long instead of 2000" in done.sentence
    assert desk.marker == before


def test_promote_verify(desk: Desk) -> None:
    """`promote --verify` reads every byte: a flipped bit is exit 5, and the marker stays."""
    desk.done("promote", "--verify", "v1")
    before = desk.marker
    desk.put(f"releases/v2/{SNAPSHOT}/model.onnx", b"v1" * 1000)
    done = desk.run("promote", "--verify", "v2")
    assert done.code == 5, done.stdout
    assert "model.onnx" in done.sentence
    assert desk.marker == before
    desk.done("promote", "v2")


def test_roll_back(desk: Desk) -> None:
    """`rollback` goes back along the chain."""
    desk.done("promote", "v1")
    desk.done("promote", "v2")
    assert desk.done("rollback").stdout == "The marker names v1; previous: none.\n"
