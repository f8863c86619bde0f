"""The release that is built of a tree, and what it is held to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from agent.errors import NoSpaceError, PickleError
from agent.files import disk
from agent.publish.tree_maker import TreeMaker
from agent.release import manifest
from tests.support.desks import PLAIN, plain_tree
from tests.support.shares import CATALOG, tree

if TYPE_CHECKING:
    from pathlib import Path

    from agent.release.manifest import Manifest
    from tests.support.desks import Desk


def make(desk: Desk, source: Path, **flags: str) -> Manifest:
    """Make v1 of a tree in an empty directory; return the manifest."""
    target = desk.root / "target"
    target.mkdir()
    maker = TreeMaker(desk.workshop(**flags), source, "v1")
    made = maker.make(target)
    maker.done()
    assert (target / manifest.FILE_NAME).read_bytes() == made.encoded
    listed = {file.path: file.size for file in made.files} | {manifest.FILE_NAME: len(made.encoded)}
    files = [path for path in target.rglob("*") if path.is_file()]
    assert {str(path.relative_to(target)): path.stat().st_size for path in files} == listed
    return made


def test_a_model_that_is_not_run(desk: Desk) -> None:
    """Its files become a release without a canary, and the log says why."""
    with capture_logs() as said:
        made = make(desk, plain_tree(desk.root / "tree"))
    (model,) = made.models
    assert (model.name, model.loader, model.dim, model.max_length) == (PLAIN, "huggingface", 4, 64)
    assert model.canary is None
    (warned,) = [each for each in said if each["event"] == "model.not_run"]
    reason = "the loader huggingface does not say how"
    assert (warned["model"], warned["loader"], warned["reason"]) == (PLAIN, "huggingface", reason)


def test_a_model_that_is_run(desk: Desk) -> None:
    """It has a canary, and with `--optimize` its weights stand beside its graph."""
    desk.share.catalog.write_text(CATALOG)
    made = make(desk, tree(desk.root / "tree"), optimize="true")
    assert made.models[0].canary
    files = {file.path.rpartition("/")[2]: file for file in made.files}
    assert files["model.onnx"].upstream_sha256 not in {None, files["model.onnx"].sha256}
    assert files["model.onnx.data"].size > files["model.onnx"].size


def test_optimize_says_what_the_catalog_does_not(desk: Desk) -> None:
    """The flag goes for every model that has a graph, the catalog for those that it says."""
    plain = desk.share.catalog.read_text()
    desk.share.catalog.write_text(f"{CATALOG}optimize = true\n{plain.partition(chr(10))[2]}")
    workshop = desk.workshop()
    for chosen, expected in ((None, True), (True, True), (False, False)):
        graph, weights = replace(workshop, optimize=chosen).wanted
        assert (graph.optimize, weights.optimize) == (expected, False)


def test_no_room(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is too small is said before a byte is copied."""

    def full(*_: object) -> None:
        raise NoSpaceError("There is no room.", remedy="Make some.")

    monkeypatch.setattr(disk, "require", full)
    with pytest.raises(NoSpaceError):
        make(desk, plain_tree(desk.root / "tree"))
    assert list((desk.root / "target").iterdir()) == []


def test_pickles_are_refused_before_anything_is_copied(desk: Desk) -> None:
    """A tree whose files run code is refused by their names, unless the operator allows them."""
    source = plain_tree(desk.root / "tree")
    weights = next(source.rglob("model.safetensors"))
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(PickleError, match=r"The release v1 holds .*pytorch_model\.bin, a pickle"):
        make(desk, source)
    assert list((desk.root / "target").iterdir()) == []
    (desk.root / "target").rmdir()
    assert make(desk, source, allow_pickle="true").pickles
