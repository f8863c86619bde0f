"""Directories are deleted from a share: `remove` and `tidy`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.machine import threads
from tests.support.shares import snapshot
from tests.unit.shares.conformance.clients import connect
from tests.unit.shares.conformance.releases import FILES, publication, published, watched

if TYPE_CHECKING:
    from tests.unit.shares.conformance.places import Place

STAGED = ".staging/v1-0123abcd"


def test_a_release_is_removed(place: Place) -> None:
    """A directory is deleted with all that is in it; what stands beside it stays."""
    for version in ("v1", "v10", "v2"):
        place.share.publish(publication(version=version))
    place.make_directory("releases/v1/empty/directory")
    place.share.remove("releases/v1")
    assert place.share.names("releases") == ("v10", "v2")
    assert published(place.share, "v10") == published(place.share, "v2") == FILES
    assert place.share.names("") == ("releases",)


def test_there_is_nothing_to_remove(place: Place) -> None:
    """Removing a directory that is not there changes nothing."""
    place.share.publish(publication())
    before = snapshot(place.root)
    for path in ("releases/v2", "missing/v1", ".staging/v1-0123abcd"):
        place.share.remove(path)
        assert snapshot(place.root) == before


def test_it_is_gone_in_one_step(place: Place) -> None:
    """A removal that is killed while it deletes leaves nothing where readers look."""
    place.share.publish(publication())
    with place.deleting_fails():
        place.share.remove("releases/v1")
    assert place.share.names("releases") == ()
    assert place.share.tree(("releases/v1",)).nodes == {}
    (left,) = place.share.names(".staging")
    place.share.remove(f".staging/{left}")
    assert place.share.names("") == ("releases",)


def test_what_was_to_be_deleted_is_not_published(place: Place) -> None:
    """The next publisher of a version deletes what was left half deleted of it."""
    place.share.publish(publication())
    with place.deleting_fails():
        place.share.remove("releases/v1")
    with watched(connect(*place.reference)) as seen:
        place.share.publish(publication())
    assert seen.problems == []
    assert published(place.share) == FILES
    assert place.share.names("") == ("releases",)


@pytest.mark.parametrize(
    "left", [f"{STAGED}/half", f"{STAGED}.trash/half", ".staging/VERSION-0123abcd"]
)
def test_what_was_left_is_removed(left: str, place: Place) -> None:
    """Leavings of a killed publisher, `prune` or `promote` are deleted by their name."""
    place.put(left, b"data")
    place.put(".staging/v2-0123abcd/half", b"data")
    place.share.remove("/".join(left.split("/")[:2]))
    assert place.share.names(".staging") == ("v2-0123abcd",)


def test_several_remove_at_once(place: Place) -> None:
    """Several that remove the same releases at once do not get in each other's way."""
    versions = [f"v{number}" for number in range(5)]
    for version in versions:
        place.put(f"releases/{version}/file", b"data")
    removing = [
        threads.start(connect(*place.reference).remove, f"releases/{version}")
        for version in (*versions, *versions)
    ]
    for each in removing:
        each.result(30)
    assert place.share.names("releases") == ()
    assert place.share.names("") == ("releases",)


def test_an_empty_staging_is_deleted(place: Place) -> None:
    """An empty `.staging`, as a killed publisher leaves it, is deleted; any other stays."""
    place.share.tidy()
    place.make_directory(".staging")
    place.share.tidy()
    assert place.share.names("") == ()
    place.put(f"{STAGED}/file", b"data")
    place.share.tidy()
    assert place.share.names(".staging") == ("v1-0123abcd",)
