"""How the share has a release, and which one a pod takes where no marker names one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from agent import logs
from agent.errors import ReleaseMissingError, UnreachableError, VerificationError
from agent.publish.adopted import ADOPTED
from agent.release.version import UNVERSIONED
from agent.shares.directory import DirectoryShare
from agent.shares.reader import ShareReader
from agent.signing.policy import Policy
from agent.sync.locate import Catalogued, HandMadeTree, Locator
from tests.support.keys import make_key
from tests.support.shares import TestShare

if TYPE_CHECKING:
    from pathlib import Path

    from agent.settings import Populate

FILES = {"model.onnx": b"weights"}


@pytest.fixture
def share(tmp_path: Path) -> TestShare:
    """A share without a release."""
    made = TestShare(tmp_path / "share")
    (made.root / "releases").rmdir()
    return made


def locator(
    share: TestShare, *, policy: Policy | None = None, populate: Populate = "never"
) -> Locator:
    """Return the locator of a pod whose catalog is called `own`."""
    reader = ShareReader(DirectoryShare(share.root), "VERSION", logs.get())
    open_to_all = Policy(None, required=False, log=logs.get())
    return Locator(reader, policy or open_to_all, False, populate, lambda: "own")


def strict(share: TestShare) -> Locator:
    """Return the locator of a pod that takes nothing without a signature."""
    key = make_key(share.root.parent)
    return locator(share, policy=Policy(key.public, required=True, log=logs.get()))


def lay(share: TestShare, *names: str) -> None:
    """Make directories at the share's root, as people do who copy models by hand."""
    for name in names:
        (share.root / name).mkdir()


def test_a_release_with_a_manifest(share: TestShare) -> None:
    """It is what its manifest says, whatever trees stand beside it."""
    made = share.add_files("v2", FILES)
    lay(share, "fastembed", "fastembed-v2")
    assert locator(share).locate("v2") == made


def test_a_tree_that_carries_the_version(share: TestShare) -> None:
    """A suffix names the version, also beside releases and a tree without a suffix."""
    share.add_files("v1", FILES)
    lay(share, "fastembed", "sentence_transformers-v2")
    assert locator(share).locate("v2") == HandMadeTree("-v2")


def test_a_bare_tree_where_there_are_no_releases(share: TestShare) -> None:
    """Nobody versioned anything yet, so it is whatever is asked for."""
    lay(share, "huggingface")
    assert locator(share).locate("v7") == HandMadeTree("")


@pytest.mark.parametrize(("adopted", "taken"), [("v7\n", True), ("v1", False), (None, False)])
def test_a_bare_tree_beside_releases(share: TestShare, adopted: str | None, *, taken: bool) -> None:
    """It is the version that `ADOPTED` says and no other; without that file it is none."""
    share.add_files("v8", FILES)
    lay(share, "fastembed")
    if adopted:
        (share.root / ADOPTED).write_text(adopted)
    if taken:
        assert locator(share).locate("v7") == HandMadeTree("")
        return
    with pytest.raises(ReleaseMissingError, match="v7 is missing"):
        locator(share).locate("v7")


def test_a_release_that_is_being_published(share: TestShare) -> None:
    """A tree is not taken for a release whose directory is there, as yet without a manifest."""
    share.release("v2").mkdir(parents=True)
    lay(share, "fastembed", "fastembed-v2")
    with pytest.raises(ReleaseMissingError, match="v2 is not complete"):
        locator(share).locate("v2")


def test_trees_are_left_alone_if_manifests_are_required(share: TestShare) -> None:
    """`--require-manifest` takes neither kind of tree; one that is there is not passed over."""
    lay(share, "fastembed", "fastembed-v2")
    wary = replace(locator(share), require_manifest=True)
    for version in ("v2", "v3"):
        with pytest.raises(ReleaseMissingError, match="is missing"):
            wary.locate(version)
    with pytest.raises(ReleaseMissingError, match="is missing"):
        wary.locate(wary.default("VERSION"))


def test_what_is_not_signed(share: TestShare) -> None:
    """A pod that requires signatures refuses an unsigned release, and every tree."""
    share.add_files("v1", FILES)
    lay(share, "fastembed-v2")
    wary = strict(share)
    with pytest.raises(VerificationError, match="it is not signed"):
        wary.locate("v1")
    with pytest.raises(VerificationError, match="v2 is not a signed release"):
        wary.locate("v2")


def test_what_is_signed(share: TestShare) -> None:
    """A right signature lets it in; an unsigned one is said, where signatures are not required."""
    share.add_files("v1", FILES)
    wary = strict(share)
    make_key(share.root.parent, "other").sign(share, "v1")
    with pytest.raises(VerificationError, match="its signature is wrong"):
        wary.locate("v1")
    lenient = replace(wary, policy=replace(wary.policy, required=False))
    (share.release("v1") / "model.sig").unlink()
    with capture_logs() as said:
        assert lenient.locate("v1")
    assert said == [{"event": "release.unsigned", "log_level": "warning", "version": "v1"}]


def test_a_manifest_that_is_refused(share: TestShare) -> None:
    """A release with a broken manifest is bad, and no tree is taken in its stead."""
    share.add_files("v2", FILES)
    (share.release("v2") / "manifest.json").write_text("{")
    lay(share, "fastembed-v2")
    with pytest.raises(VerificationError):
        locator(share).locate("v2")


def test_a_share_that_is_away(share: TestShare) -> None:
    """Nothing is said of what it has."""
    gone = locator(share)
    share.root.rename(share.root.with_name("gone"))
    with pytest.raises(UnreachableError):
        gone.locate("v1")
    with pytest.raises(UnreachableError):
        gone.default("VERSION")


def test_a_version_in_other_letters(share: TestShare) -> None:
    """It is named as it is, whether the share tells letters apart or not, as Azure Files."""
    share.add_files("V1", FILES)
    for linked in (False, True):
        if linked:
            share.release("v1").symlink_to("V1")
        with pytest.raises(
            ReleaseMissingError, match=r"no release v1 on .*, but V1: upper"
        ) as caught:
            locator(share).locate("v1")
        assert caught.value.remedy == "Name it as it is: model-agent promote V1."
    assert locator(share).locate("V1")


def test_names_that_are_nearly_right(share: TestShare) -> None:
    """A marker or a tree that is called nearly so is pointed out, where nothing else is found."""
    (share.root / "FastEmbed").mkdir()
    (share.root / "VERSION.txt").write_text("v1")
    for version in ((), ("v1", "v2")):
        for each in version:
            share.add_files(each, FILES)
        with pytest.raises(ReleaseMissingError) as caught:
            locator(share).default("VERSION")
        assert "There is VERSION.txt, and VERSION is looked for." in caught.value.what
        assert "There is FastEmbed, and fastembed is looked for." in caught.value.what


@pytest.mark.parametrize(("populate", "to_share"), [("share", True), ("store", False)])
def test_what_can_be_made(share: TestShare, populate: Populate, *, to_share: bool) -> None:
    """The catalog's own release is made where the settings say, if the share lacks it."""
    found = locator(share, populate=populate).find("own")
    assert isinstance(found, Catalogued)
    assert found.to_share is to_share
    assert "own is missing on the share" in found.lacking
    made = share.add_files("own", FILES)
    assert locator(share, populate=populate).find("own") == made


@pytest.mark.parametrize(("version", "populate"), [("own", "never"), ("v2", "share")])
def test_what_cannot_be_made(share: TestShare, version: str, populate: Populate) -> None:
    """Another release than the catalog's is missing, and any where the settings say never."""
    with pytest.raises(ReleaseMissingError, match=f"{version} is missing on the share"):
        locator(share, populate=populate).find(version)


def test_no_pod_signs(share: TestShare) -> None:
    """Where signatures are required nothing can be made."""
    with pytest.raises(ReleaseMissingError, match="own is missing on the share"):
        replace(strict(share), populate="share").find("own")


def test_the_default_is_the_catalog_s_own(share: TestShare) -> None:
    """It is taken among several, if it is complete."""
    for version in ("a", "own", "z"):
        share.add_files(version, FILES)
    assert locator(share).default("VERSION") == "own"
    (share.release("own") / "manifest.json").unlink()
    with pytest.raises(ReleaseMissingError, match=r"no marker THERE and several releases: a, z\."):
        locator(share).default("THERE")


def test_the_default_is_the_only_complete_one(share: TestShare) -> None:
    """Half a release and a refused one do not count, nor does what no release may be called."""
    for version in ("v1", "v2", "v3"):
        share.add_files(version, FILES)
    (share.release("v2") / "manifest.json").unlink()
    (share.release("v3") / "manifest.json").write_text("{")
    share.release(".half").mkdir()
    lay(share, "fastembed")
    assert locator(share, populate="store").default("VERSION") == "v1"


def test_the_default_is_a_tree(share: TestShare) -> None:
    """Without a complete release a bare tree is taken, before anything is made."""
    share.release("half").mkdir(parents=True)
    lay(share, "sentence_transformers")
    assert locator(share, populate="store").default("VERSION") == UNVERSIONED


def test_the_default_is_made(share: TestShare) -> None:
    """On an empty share it is the catalog's own, if it can be made; else there is none."""
    lay(share, "fastembed-v2")
    assert locator(share, populate="share").default("VERSION") == "own"
    with pytest.raises(ReleaseMissingError, match="no marker VERSION and no release on the share"):
        locator(share).default("VERSION")
