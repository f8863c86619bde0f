"""What operators do: promote, roll back, verify, prune, and see how things are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import agents
from tests.support.shares import TestShare

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def share(tmp_path: Path) -> TestShare:
    """One release."""
    made = TestShare(tmp_path / "share")
    made.add_files("v1", {"model.onnx": b"weights" * 50_000, "tokenizer.json": b"{}"})
    made.mark("v1")
    return made


def test_verify_holds_files_to_their_whole_digest(share: TestShare) -> None:
    """`verify` also compares the whole-file SHA-256, which is what the Hub and people know."""
    share.sign("v1", lambda raw: raw["files"][1].update(sha256="0" * 64))
    done = agents.run("verify", "v1", "--on", "share", "--share", share.root)
    assert done.code == 5, done.stdout
    assert share.manifest("v1").files[1].path in done.sentence


def test_verify_of_what_the_store_has_not(share: TestShare, tmp_path: Path) -> None:
    """`verify` of a release that the store does not hold exits 4: it is missing, not corrupt."""
    store = tmp_path / "store"
    store.mkdir()
    assert agents.run("init", "--no-warm", "--share", share.root, "--store", store).code == 0
    done = agents.run("verify", "v9", "--store", store)
    assert done.code == 4, done.sentence
    assert "v9" in done.sentence


@pytest.mark.parametrize("command", ["promote", "rollback", "verify"])
def test_what_is_no_version(command: str, share: TestShare) -> None:
    """A name that no release can have is a usage error, and never becomes a path."""
    on = ("--on", "share") if command == "verify" else ()
    done = agents.run(command, "../v1", *on, "--share", share.root)
    assert done.code == 2, done.sentence
    assert "../v1" in done.sentence
    assert (share.root / "VERSION").read_text() == "v1\n"
