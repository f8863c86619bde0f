"""A share that is not there: no call takes that for an empty one, or makes one in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from agent.errors import UnreachableError
from tests.support.shares import snapshot
from tests.unit.shares.conformance.locks import NAME, held
from tests.unit.shares.conformance.releases import contents, publication

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.shares.base import Share
    from tests.unit.shares.conformance.places import Absent, Place


def take_lock(share: Share) -> None:
    """Take a lock and give it back."""
    with held(share, timeout=1):
        pass


CALLS: Final[dict[str, Callable[[Share], object]]] = {
    "read": lambda share: share.read("VERSION", 10),
    "names": lambda share: share.names(""),
    "tree": lambda share: share.tree(("fastembed",)),
    "open": lambda share: contents(share, "model"),
    "write": lambda share: share.write("VERSION", b"v1\n"),
    "lock": take_lock,
    "publish": lambda share: share.publish(publication()),
    "remove": lambda share: share.remove("releases/v1"),
}


@pytest.mark.parametrize("what", ["share", "directory"])
@pytest.mark.parametrize("call", CALLS)
def test_a_share_that_is_not_there(call: str, what: Absent, place: Place) -> None:
    """Every call says that the share is away, and nothing is made where it should be."""
    share, where = place.absent(what)
    with pytest.raises(UnreachableError):
        CALLS[call](share)
    assert not where.exists()


def test_a_lock_file_of_a_share_that_is_not_there(place: Place) -> None:
    """A lock that cannot be looked at is not one that nobody has."""
    share, _ = place.absent("share")
    with pytest.raises(UnreachableError):
        share.lock_file(NAME).look()


@pytest.mark.parametrize("call", [name for name in CALLS if name != "lock"])
def test_a_share_that_is_away(call: str, place: Place) -> None:
    """Every call says that the share is away for now, and nothing has changed when it is back."""
    place.put("VERSION", b"v1\n")
    place.put("model", b"data")
    place.put("releases/v1/manifest.json", b"{}")
    before = snapshot(place.root)
    with place.away(), pytest.raises(UnreachableError):
        CALLS[call](place.share)
    assert snapshot(place.root) == before


@pytest.mark.parametrize("what", ["share", "directory"])
def test_there_is_nothing_to_tidy(what: Absent, place: Place) -> None:
    """Only tidying says nothing: what was to be done is done, whether or not that succeeds."""
    share, where = place.absent(what)
    share.tidy()
    assert not where.exists()


def test_where_it_is(place: Place) -> None:
    """A share says where it is, for people, and how many reads at a time it likes."""
    assert place.reference[0] in place.share.address
    assert place.share.parallel >= 1
