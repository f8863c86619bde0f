"""A tree to build from: the models that must be in it, and a tree that changes meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.errors import ReleaseMissingError
from agent.publish.source import TreeSource
from agent.release.model_ref import ModelRef
from agent.release.wanted import Wanted
from agent.shares.directory import DirectoryShare
from tests.support.desks import PLAIN, plain_files, plain_tree

if TYPE_CHECKING:
    from pathlib import Path

HERE = Wanted(ModelRef(PLAIN, "huggingface", PLAIN))
ELSEWHERE = Wanted(ModelRef("acme/other", "huggingface", "acme/other"))


def source(root: Path, *wanted: Wanted, strict: bool = True) -> TreeSource:
    """Return a tree that holds the plain model."""
    return TreeSource(DirectoryShare(plain_tree(root)), wanted, strict=strict)


def test_every_model_must_be_there_if_that_is_asked_for(tmp_path: Path) -> None:
    """A model that the tree has no sign of is named with the place where it would be."""
    with pytest.raises(ReleaseMissingError, match=r"models--acme--other \(acme/other\) is missing"):
        source(tmp_path, HERE, ELSEWHERE).plan()


def test_else_one_model_is_enough(tmp_path: Path) -> None:
    """The absent ones are on the plan; a tree without any model makes no release."""
    plan = source(tmp_path / "one", HERE, ELSEWHERE, strict=False).plan()
    assert [draft.name for draft in plan.models] == [PLAIN]
    assert list(plan.absent) == [ELSEWHERE]
    with pytest.raises(ReleaseMissingError, match="acme/other"):
        source(tmp_path / "none", ELSEWHERE, strict=False).plan()


def test_the_bytes_that_building_takes(tmp_path: Path) -> None:
    """They are those of the planned files, and a file that is gone is missed."""
    made = source(tmp_path, HERE)
    plan = made.plan()
    assert made.size(plan) == sum(map(len, plain_files(b"weights.").values()))
    next(tmp_path.rglob("tokenizer.json")).unlink()
    with pytest.raises(ReleaseMissingError, match=r"tokenizer\.json has gone"):
        made.size(plan)
