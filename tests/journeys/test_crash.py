"""A crash at any point leaves what was active as it was, and the next start converges."""

from __future__ import annotations

import os
import random
import shutil
import stat
from typing import TYPE_CHECKING

import pytest

from agent.release import layout, manifest
from tests.support.forks import Run
from tests.support.pods import Pod
from tests.support.shares import FOLDER, REVISION, SNAPSHOT, TestShare, flip, in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator


KILLED = -9
ROUNDS = 40


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> TestShare:
    """Three releases of several chunks, which have some files in common."""
    made = TestShare(tmp_path_factory.mktemp("crash") / "share")
    noise = random.Random(7)
    tokenizer = noise.randbytes(70_000)
    for version in ("v1", "v2", "v3"):
        weights = noise.randbytes(200_000)
        made.add_files(version, {"model.onnx": weights, "tokenizer.json": tokenizer})
    return made


class Scene(Pod):
    """A pod whose agent is killed, and what must hold in its store then."""

    last: Run

    def begin(self, *versions: str) -> None:
        """A store to which `versions` came one after the other.

        It is a copy by hard links of one that the agent made: inodes and times are the same ones.
        """
        shutil.rmtree(self.store, ignore_errors=True)
        made = self.store.with_name("-".join(("made", *versions)))
        if not made.exists():
            self.store.mkdir()
            for version in versions:
                self.share.mark(version)
                assert self.attempt() == 0
            self.store.rename(made)
        shutil.copytree(made, self.store, symlinks=True, copy_function=os.link)

    def attempt(self, *, step: int = 0, after: float | None = None) -> int:
        """Run `init`; return its exit status."""
        done = self.init(step=step, after=after)
        assert isinstance(done, Run)
        self.last = done
        return done.code

    def killed_at(self, step: int) -> bool:
        """Run `init`, killed at a step; true as well if this run has fewer steps than that.

        Threads that make the same directories take a step more, or less, by who comes first.
        """
        return self.attempt(step=step) == KILLED or len(self.last.steps) < step

    def served(self) -> str | None:
        """What a worker that starts now gets, every byte of it right; None if it finds nothing."""
        version = self.active()
        if version is None:
            return None
        release = manifest.parse((self.store / "current" / "manifest.json").read_bytes())
        assert release == self.share.manifest(version)
        links = {f.path: f.path for f in release.files} | layout.views(release)
        for link, path in links.items():
            # By the worker's way: through the links at the store's root.
            assert (self.store / link).read_bytes() == (
                self.share.release(version) / path
            ).read_bytes()
            assert (self.store / "current" / link).is_file()
        return version

    def assert_tidy(self, *held: str) -> None:
        """Nothing stands in the store but the releases `held` and what the agent keeps."""
        names = {path.name for path in self.store.iterdir()}
        assert names == {".agent", "current", "releases", *layout.ROOTS}
        assert self.held() == set(held)
        agent = self.store / ".agent"
        assert {p.name for p in agent.iterdir()} == {"lock", "staging", "state.json", "verified"}
        assert list((agent / "staging").iterdir()) == []
        records = {path.name for path in (agent / "verified").iterdir()}
        assert records == {f"{version}.json" for version in held}

    def closed_to_the_group(self) -> list[str]:
        """What another uid of the same group could not write."""
        found = [path for path in self.store.rglob("*") if not path.is_symlink()]
        return [str(path) for path in found if not path.stat().st_mode & stat.S_IWGRP]


@pytest.fixture
def scene(share: TestShare) -> Iterator[Scene]:
    """The scene of one test, in memory."""
    with in_memory() as scratch:
        yield Scene(scratch, share)


@pytest.mark.slow
@pytest.mark.parametrize("before", [("v1",), (), ("v2", "v1")], ids=["bump", "first", "prune"])
def test_a_kill_at_any_step_of_init(scene: Scene, before: tuple[str, ...]) -> None:
    """Killed at any step, the store serves the old release or the new, and then converges.

    Steps are all calls that change the file system; of a data write, half is done.
    """
    target = "v3"
    held = (*before[-1:], target)
    scene.begin(*before)
    scene.share.mark(target)
    assert scene.attempt() == 0
    steps = scene.last.steps
    assert len(steps) > 20
    allowed = {before[-1], target} if before else {None, target}
    for step, call in enumerate(steps, start=1):
        scene.begin(*before)
        scene.share.mark(target)
        assert scene.killed_at(step), (step, call)
        assert scene.served() in allowed, (step, call)
        assert scene.attempt() == 0, (step, call, scene.last.lines)
        assert scene.served() == target, (step, call)
        scene.assert_tidy(*held)


@pytest.mark.slow
def test_a_kill_at_any_step_of_a_repair(scene: Scene) -> None:
    """Killed while it replaces a corrupt release, the agent never activates corrupt bytes again."""

    def damaged() -> None:
        scene.begin("v1")
        weights = scene.store / "releases/v1" / SNAPSHOT / "model.onnx"
        shutil.copyfile(weights, weights.with_name("damaged"))
        flip(weights.with_name("damaged"))
        weights.with_name("damaged").replace(weights)

    damaged()
    assert scene.attempt() == 0
    steps = scene.last.steps
    for step, call in enumerate(steps, start=1):
        damaged()
        assert scene.killed_at(step), (step, call)
        assert scene.attempt() == 0, (step, call, scene.last.lines)
        assert scene.served() == "v1", (step, call)
        scene.assert_tidy("v1")


@pytest.mark.slow
def test_a_kill_at_any_moment(scene: Scene) -> None:
    """Killed at random moments all over a run, the store is good each time and converges."""
    spans = []
    for _ in range(3):
        scene.begin("v1")
        scene.share.mark("v2")
        assert scene.attempt() == 0
        spans.append(scene.last.seconds)
    seconds = min(spans)
    noise = random.Random(20261123)
    killed = 0
    for _ in range(ROUNDS):
        scene.begin("v1")
        scene.share.mark("v2")
        after = noise.uniform(0, 0.8 * seconds)
        killed += scene.attempt(after=after) == KILLED
        assert scene.served() in {"v1", "v2"}, after
        assert scene.attempt() == 0, (after, scene.last.lines)
        assert scene.served() == "v2", after
        scene.assert_tidy("v1", "v2")
    assert killed >= ROUNDS // 2


def test_a_kill_leaves_the_store_open_to_the_group(scene: Scene) -> None:
    """Killed between making a directory and opening it to the group, the next run opens it."""
    scene.begin()
    scene.share.mark("v1")
    assert scene.attempt() == 0
    assert scene.closed_to_the_group() == []
    for step, call in enumerate(scene.last.steps, start=1):
        if call in {"chmod", "fchmod"}:
            scene.begin()
            assert scene.killed_at(step), (step, call)
            assert scene.attempt() == 0, (step, call, scene.last.lines)
            assert scene.closed_to_the_group() == [], (step, call)


def test_a_kill_keeps_what_was_staged(scene: Scene) -> None:
    """Chunks that were in place when the agent was killed are not read from the share again."""
    scene.begin("v1")
    scene.share.mark("v2")
    assert scene.attempt() == 0
    writes = [n for n, call in enumerate(scene.last.steps, start=1) if call == "pwritev"]
    scene.begin("v1")
    scene.share.mark("v2")
    assert scene.attempt(step=writes[-1]) == KILLED
    assert scene.attempt() == 0
    (staged,) = scene.last.named("release.staged")
    # All but the chunks that the two threads were at; the tokenizer is v1's.
    assert staged["reused_bytes"] >= 70_000
    assert staged["resumed_bytes"] >= 64 * 1024
    assert staged["share_bytes"] <= 2 * 64 * 1024 + len(REVISION)
    assert (scene.store / FOLDER / "refs/main").read_text() == REVISION
