"""The doctor's look at hand-made trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.doctor import trees
from agent.sync.locate import Catalogued, HandMadeTree
from tests.support.parts import Parts, by_hand
from tests.unit.doctor.cases import case_of, seen

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.shares import TestShare


@pytest.fixture
def share(tmp_path: Path) -> TestShare:
    """The share of the cases."""
    return Parts(tmp_path).share


def test_a_complete_tree(share: TestShare, tmp_path: Path) -> None:
    """Its models are named; if pods take it, its size is noted for later checks."""
    directory = by_hand(share, suffix="-v2")
    case = case_of(tmp_path)
    case.served = HandMadeTree("-v2")
    told = "The hand-made tree is complete: Org/name (huggingface)."
    assert seen(trees.structure, case) == [("ok", told)]
    sizes = {path: path.stat().st_size for path in directory.iterdir()}
    biggest = max(sizes, key=lambda path: sizes[path])
    assert case.total == sum(sizes.values())
    assert case.largest == (str(biggest.relative_to(share.root)), sizes[biggest])


def test_a_tree_beside_releases(share: TestShare, tmp_path: Path) -> None:
    """Where pods take a release, nobody needs the tree, and it is not looked at."""
    by_hand(share)
    case = case_of(tmp_path)
    case.complete = ("v1",)
    assert seen(trees.structure, case) == []


def test_a_tree_that_lacks_a_file(share: TestShare, tmp_path: Path) -> None:
    """The file is named; nothing needs to be moved."""
    (by_hand(share) / "tokenizer.json").unlink()
    (found,) = trees.structure(case_of(tmp_path))
    assert (found.level, found.diagnosis, found.exit_code) == ("fail", trees.DIAGNOSIS, 4)
    assert "huggingface/hub/models--Org--name/tokenizer.json is missing" in found.seen
    assert found.remedy == "Complete them there, or name what the release holds in --catalog."


def test_a_tree_of_another_version(share: TestShare, tmp_path: Path) -> None:
    """A tree whose suffix the marker does not name is pointed out."""
    by_hand(share, suffix="-v2")
    (found,) = trees.structure(case_of(tmp_path))
    assert found.level == "fail"
    assert "There is huggingface-v2/, which the marker v2 names." in found.seen


def test_nothing_at_all(tmp_path: Path) -> None:
    """An empty share is no wrong structure, but the models are missing."""
    (found,) = trees.structure(case_of(tmp_path))
    assert (found.level, found.diagnosis, found.exit_code) == ("fail", "", 4)


def test_what_pods_make_themselves(share: TestShare, tmp_path: Path) -> None:
    """Where they go to the Hub no tree is missing; models in the wrong place are a warning."""
    case = case_of(tmp_path)
    case.served = Catalogued(to_share=False, lacking="It is missing.")
    assert seen(trees.structure, case) == []
    (share.root / "models").mkdir()
    (found,) = trees.structure(case)
    assert (found.level, found.diagnosis) == ("warn", trees.DIAGNOSIS)
