"""`publish` over REST: one uploads, a killed one is resumed, readers see all or nothing."""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from agent.release import manifest
from tests.support import agents, models
from tests.support.rest import RestShare, rest_share
from tests.support.shares import ELSEWHERE, REVISION, snapshot, tree
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


ROUNDS = 8


@pytest.fixture
def share(tmp_path: Path) -> Iterator[RestShare]:
    """An empty share."""
    with rest_share(tmp_path / "root") as share:
        yield share


def flags(source: Path, version: str = "v1") -> tuple[str | Path, ...]:
    """The command line of a publisher."""
    return ("publish", "--from", source, "--version", version)


def uploaded(share: RestShare) -> int:
    """The bytes of model files that arrived, however often."""
    puts = [r for r in share.double.requests("PutRange") if "/fastembed/" in r["path"]]
    return sum(r["bytes_in"] for r in puts if r["status"] == 201)


def assert_tidy(share: RestShare) -> None:
    """Nothing but the release is left: no staging, no lock."""
    assert {path.name for path in share.disk.root.iterdir()} == {"releases"}


@pytest.mark.slow
def test_publishing_again(share: RestShare, tmp_path: Path) -> None:
    """A release is uploaded once: again it is no error, and other content never replaces it."""
    source = tree(tmp_path / "tree")
    assert share.run(*flags(source)).code == 0
    assert uploaded(share) == share.disk.manifest("v1").size
    before = snapshot(share.disk.root)
    share.double.reset_counters()
    again = share.run(*flags(source))
    assert again.code == 0, again.sentence
    assert uploaded(share) == 0
    other = share.run(*flags(tree(tmp_path / "other", ELSEWHERE)))
    assert other.code == 9, other.stdout
    assert uploaded(share) == 0
    assert snapshot(share.disk.root) == before


@pytest.mark.slow
def test_what_was_damaged_after_it_arrived(share: RestShare, tmp_path: Path) -> None:
    """A piece that the share does not give back is found before the commit, and sent again."""
    source = tree(tmp_path / "tree")
    # Two reads of the same bad byte: the chunk, and the chunk read once more.
    share.double.fault("flip", operation="GetFile", path="/fastembed/.*model.onnx", count=2)
    done = share.run(*flags(source))
    assert done.code == 0, done.sentence
    assert share.run("verify", "v1", "--on", "share").code == 0


@pytest.mark.slow
def test_a_share_that_keeps_damaging(share: RestShare, tmp_path: Path) -> None:
    """A piece that never comes back right is exit 5, and readers see no release."""
    share.double.fault("flip", operation="GetFile", path="/fastembed/.*model.onnx", count=None)
    done = share.run(*flags(tree(tmp_path / "tree")))
    assert done.code == 5, done.sentence
    assert "model.onnx" in done.sentence
    assert list((share.disk.root / "releases").iterdir()) == []


@pytest.mark.slow
def test_what_is_there_is_used_if_it_is_right(share: RestShare, tmp_path: Path) -> None:
    """A rerun sends what is missing or wrong, and nothing else: each piece is read, not trusted."""
    source = tree(tmp_path / "tree")
    share.double.fault("forbidden", operation="RenameDirectory", count=None)
    failed = share.run(*flags(source))
    assert failed.code == 3, failed.sentence
    share.double.heal()
    (staged,) = (share.disk.root / ".staging").iterdir()
    vocabulary = next(staged.rglob("tokenizer.json"))
    size = vocabulary.stat().st_size
    share.put(str(vocabulary.relative_to(share.disk.root)), b"x" * size)
    share.delete(str(next(staged.rglob("config.json")).relative_to(share.disk.root)))
    share.double.reset_counters()
    done = share.run(*flags(source))
    assert done.code == 0, done.sentence
    config = next(share.disk.release("v1").rglob("config.json"))
    assert uploaded(share) == size + config.stat().st_size
    assert share.run("verify", "v1", "--on", "share").code == 0
    assert_tidy(share)


@pytest.mark.slow
def test_a_publisher_that_came_to_all_but_the_tidying(share: RestShare, tmp_path: Path) -> None:
    """The release is there, so the rerun publishes nothing; it deletes the empty `.staging`."""
    source = tree(tmp_path / "tree")
    share.double.fault("forbidden", operation="DeleteDirectory", path="/.staging$", count=None)
    assert share.run(*flags(source)).code == 0
    assert (share.disk.root / ".staging").is_dir()
    share.double.heal()
    done = share.run(*flags(source))
    assert done.code == 0, done.sentence
    assert done.stdout.startswith("Already")
    assert_tidy(share)


@pytest.mark.slow
def test_killed_at_random_moments(share: RestShare, tmp_path: Path, minilm_dir: Path) -> None:
    """After SIGKILL the rerun completes, re-sends under 20 %, and no reader saw half a release."""
    source = tmp_path / "tree"
    models.as_hub_cache(source / "fastembed", models.MINILM_REPO, REVISION, minilm_dir)
    assert share.run(*flags(source, "whole")).code == 0
    requests = len(share.double.requests())
    size = share.disk.manifest("whole").size
    rng = random.Random(20261125)
    table = []
    with watched(share) as seen:
        for number in range(ROUNDS):
            version = f"v{number}"
            moment = rng.randrange(1, requests)
            share.double.reset_counters()
            kill_after(share, moment, flags(source, version))
            there = uploaded(share)
            share.double.reset_counters()
            done = share.run(*flags(source, version), timeout=120)
            assert done.code == 0, done.sentence
            again = max(0, there + uploaded(share) - size)
            table.append((moment, there, uploaded(share), again))
            assert again <= 0.2 * there, table
            assert share.run("verify", version, "--on", "share").code == 0
    assert_tidy(share)
    assert seen.problems == []
    assert {f"v{number}" for number in range(ROUNDS)} <= seen.versions
    print(f"\nkilled after request | there | sent by the rerun | sent twice (of {size} bytes)")
    for row in table:
        print(" | ".join(map(str, row)))


def kill_after(share: RestShare, moment: int, command: tuple[str | Path, ...]) -> None:
    """Start a publisher, and kill it once the share had so many requests; or it ends before."""
    process = share.start(*command)

    def reached() -> bool:
        counted = share.double.counters()["total"]["requests"]
        return counted >= moment or process.poll() is not None

    until(reached, seconds=120)
    process.kill()
    agents.finish(process)


class Watch:
    """What a reader saw of the share's releases, on its disk."""

    def __init__(self, share: RestShare) -> None:
        self._releases = share.disk.root / "releases"
        self.versions: set[str] = set()
        self.problems: list[str] = []

    def look(self) -> None:
        """Every directory in `releases/` must be whole at any moment."""
        for path in list(self._releases.iterdir()):
            try:
                release = manifest.parse((path / manifest.FILE_NAME).read_bytes())
                sizes = {file.path: (path / file.path).stat().st_size for file in release.files}
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
                self.problems.append(f"{path.name}: {error!r}")
                continue
            if sizes != {file.path: file.size for file in release.files}:
                self.problems.append(f"{path.name}: {sizes}")
            self.versions.add(path.name)


@contextmanager
def watched(share: RestShare) -> Iterator[Watch]:
    """Look without pause while the block runs."""
    watch, end = Watch(share), threading.Event()

    def look() -> None:
        while not end.wait(0.002):
            watch.look()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        end.set()
        thread.join()
        watch.look()
