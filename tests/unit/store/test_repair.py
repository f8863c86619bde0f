"""Repairs: right files take the place of bad ones, under every name that these have."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

import pytest

from agent.errors import NoSpaceError, ReleaseMissingError, VerificationError
from agent.release import layout
from agent.store import intact, records, repair, room, stage
from agent.store.repair import Original
from tests.support.parts import WEIGHTS, Parts
from tests.support.shares import FOLDER, SNAPSHOT, flip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOKENIZER: Final = f"{SNAPSHOT}/tokenizer.json"
REF: Final = f"{FOLDER}/refs/main"


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """An agent whose store has v1 and v2, which share their tokenizer by a hard link."""
    made = Parts(tmp_path)
    for version in ("v1", "v2"):
        made.publish(version, model__onnx=os.urandom(100_000), tokenizer__json=b"same" * 10_000)
        release = made.share.manifest(version)
        stage.stage(made.reader.share, release, made.store, stop=threading.Event())
    return made


def original(parts: Parts, **files: bytes) -> Callable[[], Original]:
    """Return a function that says where the right files of v1 are: on the share, but for a ref."""

    def where() -> Original:
        paths = {file.path: f"releases/v1/{file.path}" for file in parts.store.manifest("v1").files}
        return Original(parts.reader.share, paths, {REF: files["ref"]} if files else {})

    return where


def never() -> Original:
    """Fail: the original must not be asked for."""
    raise AssertionError


def mend(parts: Parts, *paths: str, where: Callable[[], Original] | None = None) -> tuple[str, ...]:
    """Repair files of v1."""
    release = parts.store.manifest("v1")
    where = where or original(parts)
    return repair.repair(parts.store, release, paths, where, stop=threading.Event())


def assert_sound(parts: Parts, *versions: str) -> None:
    """Releases of the store have every byte, are trusted, and nothing is left of the repair."""
    for version in versions:
        release, home = parts.store.manifest(version), parts.store.path(version)
        for file in release.files:
            assert intact.is_intact(release, home, file, threading.Event())
        assert records.is_untouched(parts.store.agent, release, home)
    assert not (parts.store.staging / repair.FOLDER).exists()


def test_a_bad_file_is_replaced(parts: Parts) -> None:
    """It is another file from then on; who has the old one open keeps it as it was."""
    target = parts.store.path("v1") / WEIGHTS
    flip(target)
    bad, inode = target.read_bytes(), target.stat().st_ino
    with target.open("rb") as mapped:
        assert mend(parts, WEIGHTS) == ("v1",)
        assert mapped.read() == bad
    assert target.stat().st_ino != inode
    assert_sound(parts, "v1", "v2")


def test_a_file_that_is_gone(parts: Parts) -> None:
    """It comes back, with its views."""
    home = parts.store.path("v1")
    views = [
        view for view, path in layout.views(parts.store.manifest("v1")).items() if path == WEIGHTS
    ]
    assert views
    for path in (WEIGHTS, *views):
        (home / path).unlink()
    mend(parts, WEIGHTS)
    assert_sound(parts, "v1")


def test_a_file_that_two_releases_share(parts: Parts) -> None:
    """Both get the right one, and it is one file still."""
    flip(parts.store.path("v1") / TOKENIZER)
    assert mend(parts, TOKENIZER) == ("v1", "v2")
    one, other = (parts.store.path(version) / TOKENIZER for version in ("v1", "v2"))
    assert one.samefile(other)
    assert_sound(parts, "v1", "v2")


def test_a_view_that_is_lost(parts: Parts) -> None:
    """A right file gets its view back, and the share is not asked."""
    release = parts.store.manifest("v1")
    view = next(view for view, path in layout.views(release).items() if path == WEIGHTS)
    (parts.store.path("v1") / view).unlink()
    assert mend(parts, WEIGHTS, where=never) == ("v1",)
    assert_sound(parts, "v1")


def test_a_file_that_only_looks_changed(parts: Parts) -> None:
    """A right file is trusted again as it looks now, and stays."""
    target = parts.store.path("v1") / WEIGHTS
    os.utime(target, ns=(1, 1))
    inode = target.stat().st_ino
    mend(parts, WEIGHTS, where=never)
    assert target.stat().st_ino == inode
    assert_sound(parts, "v1")


def test_a_file_that_adoption_made(parts: Parts) -> None:
    """What the share never had is written again."""
    target = parts.store.path("v1") / REF
    right = target.read_bytes()
    flip(target, 0)
    (parts.share.release("v1") / REF).unlink()
    mend(parts, REF, where=original(parts, ref=right))
    assert_sound(parts, "v1")


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [(flip, VerificationError), (os.unlink, ReleaseMissingError)],
    ids=["wrong", "gone"],
)
def test_the_share_has_no_right_one(
    spoil: Callable[[Path], object], kind: type[Exception], parts: Parts
) -> None:
    """The bad file stays, and is trusted no more, nor in the release that shares it.

    It keeps its size and times, as it does when a disk rots.
    """
    bad = parts.store.path("v1") / TOKENIZER
    times, before = (bad.stat().st_atime_ns, bad.stat().st_mtime_ns), bad.stat().st_ino
    flip(bad)
    os.utime(bad, ns=times)
    spoil(parts.share.release("v1") / TOKENIZER)
    with pytest.raises(kind):
        mend(parts, TOKENIZER)
    for version in ("v1", "v2"):
        release, home = parts.store.manifest(version), parts.store.path(version)
        assert (home / TOKENIZER).stat().st_ino == before
        trusted = {file.path for file in records.trusted(parts.store.agent, release, home)}
        assert trusted == {file.path for file in release.files} - {TOKENIZER}


def test_a_repair_that_was_cut_short(parts: Parts) -> None:
    """What it brought is used, so that the share is not read again."""
    flip(parts.store.path("v1") / WEIGHTS)
    left = parts.store.staging / repair.FOLDER / WEIGHTS
    left.parent.mkdir(parents=True)
    (parts.share.release("v1") / WEIGHTS).rename(left)
    mend(parts, WEIGHTS)
    assert_sound(parts, "v1")


def test_no_room(parts: Parts) -> None:
    """Nothing is touched where the new file does not fit, unless releases may go for it."""
    flip(parts.store.path("v1") / WEIGHTS)
    release, stop = parts.store.manifest("v1"), threading.Event()
    parts.store.limit = room.used_bytes(parts.store) + stage.OVERHEAD_BYTES + 50_000
    with pytest.raises(NoSpaceError):
        repair.repair(parts.store, release, (WEIGHTS,), never, stop=stop)
    assert records.is_untouched(
        parts.store.agent, parts.store.manifest("v2"), parts.store.path("v2")
    )
    where = original(parts)
    repair.repair(parts.store, release, (WEIGHTS,), where, stop=stop, spare=("v2",))
    assert parts.store.versions() == ("v1",)
    assert_sound(parts, "v1")


def test_a_release_beside_it_that_is_broken(parts: Parts) -> None:
    """A release whose manifest cannot be read has no part in a repair, and is no hindrance."""
    (parts.store.path("v2") / "manifest.json").write_text("{")
    flip(parts.store.path("v1") / TOKENIZER)
    assert mend(parts, TOKENIZER) == ("v1",)
    assert_sound(parts, "v1")
