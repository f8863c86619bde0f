"""A bundle, from the directory that it is written to, to the share that it is taken to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.errors import PickleError, RefusedError, VerificationError
from agent.publish import makers
from agent.publish.bundle import write_bundle
from agent.publish.sign import Signing
from agent.release import manifest
from tests.support.keys import make_key
from tests.support.shares import SNAPSHOT, flip, snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from agent.publish.makers import Maker
    from agent.publish.publisher import Published
    from tests.support.desks import Desk


def taken(desk: Desk, **flags: str) -> Maker:
    """Return the maker for v1, which lies on the share."""
    return makers.choose(desk.workshop(**flags), desk.share.release("v1"), None)


def write(desk: Desk, target: Path, **flags: str | Path) -> Published:
    """Write the bundle of v1."""
    return write_bundle(taken(desk), target, Signing.of(desk.run_with(**flags)))


def test_a_bundle_is_the_release_itself(desk: Desk) -> None:
    """It has the same files, manifest and signature, in a directory that was new or empty."""
    made, target = desk.add("v1"), desk.root / "bundle"
    make_key(desk.root).sign(desk.share, "v1")
    target.mkdir()
    done = write(desk, target)
    assert (done.manifest, done.new, done.signed) == (made, True, False)
    assert snapshot(target) == snapshot(desk.share.release("v1"))


def test_a_bundle_that_is_signed(desk: Desk) -> None:
    """The signature stands in it."""
    desk.add("v1")
    assert write(desk, desk.root / "bundle", sign_key=make_key(desk.root).private).signed
    assert (desk.root / "bundle" / manifest.SIGNATURE).is_file()


def test_a_directory_that_is_not_empty_is_left_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a bundle go where the command runs, or over a file."""
    desk.add("v1")
    target = desk.root / "bundle"
    (target / "notes").mkdir(parents=True)
    for path in (target, desk.share.catalog):
        with pytest.raises(RefusedError, match="is not empty"):
            write(desk, path)
    monkeypatch.chdir(target / "notes")
    with pytest.raises(RefusedError, match="is no place for a bundle"):
        write(desk, target / "notes")
    assert snapshot(target) == {"notes": "directory"}


def test_nothing_is_left_of_a_bundle_that_failed(desk: Desk) -> None:
    """A flipped bit is found before the directory is there, under any name."""
    desk.add("v1")
    flip(desk.share.release("v1") / SNAPSHOT / "model.onnx")
    before = {path.name for path in desk.root.iterdir()}
    with pytest.raises(VerificationError, match=r"model\.onnx"):
        write(desk, desk.root / "bundle")
    assert {path.name for path in desk.root.iterdir()} == before


def test_a_bundle_that_contradicts_itself(desk: Desk) -> None:
    """Right chunks under a wrong SHA-256 are refused: a signature would be of that."""
    desk.add("v1")
    made = desk.share.sign("v1", lambda raw: raw["files"][0].update(sha256="0" * 64))
    target = desk.root / "target"
    target.mkdir()
    with pytest.raises(VerificationError, match=f"{made.files[0].path} has another SHA-256"):
        taken(desk).make(target)
    assert list(target.iterdir()) == []


def test_a_bundle_with_a_pickle(desk: Desk) -> None:
    """It is refused by its manifest, before a byte is read or copied, unless that is allowed."""
    desk.share.add_files("v1", {"pytorch_model.bin": b"\x80\x04."})
    target = desk.root / "target"
    target.mkdir()
    taken(desk, allow_pickle="true").make(target)
    flip(desk.share.release("v1") / SNAPSHOT / "pytorch_model.bin")
    empty = desk.root / "empty"
    empty.mkdir()
    with pytest.raises(PickleError, match=r"pytorch_model\.bin"):
        taken(desk).make(empty)
    assert list(empty.iterdir()) == []
