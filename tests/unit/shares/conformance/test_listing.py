"""Directories of a share are listed: `names` and `tree`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.release.tree import Node, Tree
from tests.unit.shares.conformance.places import MANY

if TYPE_CHECKING:
    from agent.shares.base import Share
    from tests.unit.shares.conformance.places import Place

DIRECTORY = Node("directory")


def test_names_are_sorted(place: Place) -> None:
    """Files and directories are given together, in the order of their code points."""
    for name in ("b", "A", "a1", "_", ".hidden", "é"):
        place.put(f"fastembed/{name}-file", b"data")
        place.make_directory(f"fastembed/{name}-directory")
    found = place.share.names("fastembed")
    kinds = ("directory", "file")
    assert found == tuple(f"{n}-{k}" for n in (".hidden", "A", "_", "a1", "b", "é") for k in kinds)


def test_names_of_the_root(place: Place) -> None:
    """The empty path stands for the share's own root, or for the prefix in it."""
    assert place.share.names("") == ()
    place.put("VERSION", b"v1")
    place.put("releases/v1/manifest.json", b"{}")
    assert place.share.names("") == ("VERSION", "releases")


def test_there_are_no_names(place: Place) -> None:
    """A directory that is empty, or not there, or a file, has no names in it."""
    place.make_directory("empty")
    place.put("file", b"data")
    for path in ("empty", "missing", "missing/below", "file", "file/below"):
        assert place.share.names(path) == (), path


def test_a_tree(place: Place) -> None:
    """All that is below is given, and the directory itself; files with their sizes."""
    place.put("fastembed/models--a/snapshots/1/model.onnx", bytes(1000))
    place.put("fastembed/models--a/snapshots/1/empty", b"")
    place.put("fastembed/top", b"data")
    place.put("other/file", b"data")
    assert place.share.tree(("fastembed",)) == Tree(
        {
            "fastembed": DIRECTORY,
            "fastembed/models--a": DIRECTORY,
            "fastembed/models--a/snapshots": DIRECTORY,
            "fastembed/models--a/snapshots/1": DIRECTORY,
            "fastembed/models--a/snapshots/1/empty": Node("file", 0),
            "fastembed/models--a/snapshots/1/model.onnx": Node("file", 1000),
            "fastembed/top": Node("file", 4),
        }
    )


def test_several_trees(place: Place) -> None:
    """Trees are listed together, as far as they are there; a file is no tree."""
    place.put("fastembed/file", b"data")
    place.put("huggingface/hub/file", b"data")
    place.put("releases/v1/manifest.json", b"{}")
    asked = ("fastembed", "huggingface/hub", "missing", "missing/below", "fastembed/file")
    assert place.share.tree(asked).nodes == {
        "fastembed": DIRECTORY,
        "fastembed/file": Node("file", 4),
        "huggingface/hub": DIRECTORY,
        "huggingface/hub/file": Node("file", 4),
    }
    assert place.share.tree(()) == Tree({})


def test_empty_directories_count(place: Place) -> None:
    """A directory without files is there: AzCopy leaves such where links were."""
    place.make_directory("fastembed/models--a/snapshots")
    place.make_directory("huggingface")
    assert place.share.tree(("fastembed", "huggingface")).nodes == {
        "fastembed": DIRECTORY,
        "fastembed/models--a": DIRECTORY,
        "fastembed/models--a/snapshots": DIRECTORY,
        "huggingface": DIRECTORY,
    }


def test_a_directory_with_many_files(filled: Share) -> None:
    """No entry is lost where a listing comes in several pages."""
    assert filled.names("many") == MANY
    nodes = filled.tree(("many",)).under("many")
    assert nodes == dict.fromkeys(MANY, Node("file", 0))
