"""The doctor's look at the share's releases and at the marker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from agent.doctor import releases
from agent.errors import ReleaseMissingError, UnreachableError
from agent.shares import reader
from agent.sync.locate import HandMadeTree
from tests.support.parts import Parts, by_hand
from tests.support.shares import SNAPSHOT
from tests.unit.doctor.cases import case_of, seen

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.shares import TestShare

FILES: Final = {"model.onnx": b"weights" * 10, "tokenizer.json": b"{}"}


@pytest.fixture
def share(tmp_path: Path) -> TestShare:
    """The share of the cases."""
    return Parts(tmp_path).share


def test_releases_with_and_without_a_manifest(share: TestShare, tmp_path: Path) -> None:
    """Sound ones are named; each of the others is a warning with what is wrong about it."""
    for version in ("v1", "v2", "v3"):
        share.add_files(version, FILES)
    (share.release("v2") / "manifest.json").unlink()
    (share.release("v3") / "manifest.json").write_text("{")
    case = case_of(tmp_path)
    found = seen(releases.releases, case)
    assert found[0] == ("ok", "1 with a manifest: v1.")
    assert [level for level, _ in found[1:]] == ["warn", "warn"]
    assert "v2 is not complete" in found[1][1]
    assert "v3/manifest.json is refused" in found[2][1]
    assert case.complete == ("v1",)


def test_many_releases(share: TestShare, tmp_path: Path) -> None:
    """The newest eight are named, and the others counted."""
    for number in range(10):
        share.add_files(f"v{number}", FILES)
    ((_, sentence),) = seen(releases.releases, case_of(tmp_path))
    assert sentence == "10 with a manifest: v2, v3, v4, v5, v6, v7, v8, v9 and 2 more."


@pytest.mark.parametrize(
    ("required", "level", "sentence"),
    [("false", "ok", "None with a manifest: a hand-made tree"), ("true", "warn", "has no release")],
)
def test_no_releases(required: str, level: str, sentence: str, tmp_path: Path) -> None:
    """That alone is no failure: the marker's check tells what pods do without one."""
    (found,) = seen(releases.releases, case_of(tmp_path, require_manifest=required))
    assert found[0] == level
    assert sentence in found[1]


def test_the_marker_s_release(share: TestShare, tmp_path: Path) -> None:
    """It is counted, and its size and its largest file are noted for later checks."""
    release = share.add_files("v1", FILES)
    share.mark("v1")
    case = case_of(tmp_path)
    ((level, sentence),) = seen(releases.named, case)
    assert (level, sentence) == ("ok", "VERSION names v1, which is complete: 3 files, 112 bytes.")
    assert (case.release, case.total) == (release, 112)
    assert case.largest == (f"releases/v1/{SNAPSHOT}/model.onnx", 70)


def test_the_marker_s_tree(share: TestShare, tmp_path: Path) -> None:
    """A hand-made tree that the marker names is noted as such."""
    by_hand(share, suffix="-v2")
    share.mark("v2")
    case = case_of(tmp_path)
    assert seen(releases.named, case) == [("ok", "VERSION names v2, a hand-made tree.")]
    assert (case.release, case.tree) == (None, HandMadeTree("-v2"))


def test_the_release_to_go_back_to(share: TestShare, tmp_path: Path) -> None:
    """Of the marker's chain only releases that cannot be used are pointed out."""
    share.add_files("v1", FILES)
    share.add_files("v3", FILES)
    share.mark("v3", "previous: v2 v1")
    found = seen(releases.named, case_of(tmp_path))
    assert [level for level, _ in found] == ["ok", "warn"]
    assert "go back to cannot be used: The release v2 is missing" in found[1][1]


def test_a_marker_that_is_not_sound(share: TestShare, tmp_path: Path) -> None:
    """Bytes that name no release are a failure, though a new pod may find one without them."""
    share.add_files("v1", FILES)
    (share.root / "VERSION").write_bytes(b"\0")
    with pytest.raises(ReleaseMissingError, match="names no release: it holds NUL bytes"):
        seen(releases.named, case_of(tmp_path))


def test_a_marker_that_is_not_sure(
    share: TestShare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A marker that two reads do not agree on is not called missing; `init` does neither."""
    share.mark("v1")
    monkeypatch.setattr(reader, "_APART_SECONDS", 0.0)
    with pytest.raises(UnreachableError, match="cannot be read reliably"):
        seen(releases.named, case_of(tmp_path))
