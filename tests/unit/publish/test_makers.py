"""The choice between a tree, a bundle and the Hub, and the directories that are neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.errors import ConfigError, RefusedError, ReleaseMissingError, VerificationError
from agent.publish import makers
from agent.publish.bundle_maker import BundleMaker
from agent.publish.hub_maker import HubMaker
from agent.publish.tree_maker import TreeMaker
from tests.support.desks import plain_files, plain_tree
from tests.support.shares import snapshot

if TYPE_CHECKING:
    from tests.support.desks import Desk


def test_a_directory_with_a_manifest_is_a_bundle(desk: Desk) -> None:
    """It has a version of its own: another one is a mistake."""
    desk.add("v1")
    bundle = desk.share.release("v1")
    for version in (None, "v1"):
        maker = makers.choose(desk.workshop(), bundle, version)
        assert isinstance(maker, BundleMaker)
        assert maker.version == "v1"
    with pytest.raises(ConfigError, match="is the release v1, not v2"):
        makers.choose(desk.workshop(), bundle, "v2")


def test_a_bundle_whose_manifest_is_damaged(desk: Desk) -> None:
    """It is refused, and never taken for a tree."""
    desk.add("v1")
    path = desk.share.release("v1") / "manifest.json"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(VerificationError, match=r"manifest\.json"):
        makers.choose(desk.workshop(), path.parent, "v1")


def test_any_other_directory_is_a_tree(desk: Desk) -> None:
    """A tree needs a version, and one that a release can have."""
    source, workshop = plain_tree(desk.root / "tree"), desk.workshop()
    maker = makers.choose(workshop, source, "v1")
    assert isinstance(maker, TreeMaker)
    assert maker.version == "v1"
    with pytest.raises(ConfigError, match="--version is missing"):
        makers.choose(workshop, source, None)
    for version in ("../v1", "v" * 64):
        with pytest.raises(ConfigError, match="is not a version"):
            makers.choose(workshop, source, version)


def test_a_path_that_is_no_directory(desk: Desk) -> None:
    """A path that is not there, a file, and a name that is too long are mistakes, not crashes."""
    for path in (desk.root / "nowhere", desk.share.catalog):
        with pytest.raises(ConfigError, match="is not a directory"):
            makers.choose(desk.workshop(), path, "v1")
    with pytest.raises(ConfigError, match="cannot be read: File name too long"):
        makers.choose(desk.workshop(), desk.root / ("x" * 300), "v1")


def test_a_tree_with_the_suffix_of_the_version(desk: Desk) -> None:
    """As in adoption, `huggingface-v2/` is v2; with `huggingface/` beside it nobody knows."""
    source, workshop = plain_tree(desk.root / "tree"), desk.workshop()
    (source / "huggingface").rename(source / "huggingface-v2")
    assert makers.choose(workshop, source, "v2").version == "v2"
    with pytest.raises(ReleaseMissingError, match=r"huggingface/hub/.* is missing"):
        makers.choose(workshop, source, "v3")
    plain_tree(source)
    with pytest.raises(RefusedError, match="huggingface/, and directories that end in -v2"):
        makers.choose(workshop, source, "v2")


@pytest.mark.parametrize("name", plain_files())
def test_a_tree_that_lacks_a_file(name: str, desk: Desk) -> None:
    """The file is named, and the tree stays as it was."""
    source = plain_tree(desk.root / "tree")
    next(source.rglob(name)).unlink()
    before = snapshot(source)
    with pytest.raises(ReleaseMissingError, match=f"are incomplete: .*{name}"):
        makers.choose(desk.workshop(), source, "v1")
    assert snapshot(source) == before


def test_without_a_directory_it_is_the_catalog(desk: Desk) -> None:
    """The version is the catalog's unless another one is given."""
    for version, called in {None: "catalogued", "v2": "v2"}.items():
        maker = makers.choose(desk.workshop(), None, version)
        assert isinstance(maker, HubMaker)
        assert maker.version == called
    with pytest.raises(ConfigError, match="is not a version"):
        makers.choose(desk.workshop(), None, "../v1")
