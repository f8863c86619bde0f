"""Which releases of a store may go."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.release.retention import spare, spare_on_share

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class Store(NamedTuple):
    """What a store holds, the newest first, and what is known of it."""

    held: Sequence[str]
    keep: int = 2
    active: str | None = None
    previous: str | None = None
    desired: str | None = None
    quarantined: Collection[str] = ()

    def spare(self) -> tuple[str, ...]:
        """What may go."""
        return spare(**self._asdict())

    @property
    def safe(self) -> set[str]:
        """What stays in any case."""
        return {v for v in self.held if v in {self.active, self.desired}}


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        pytest.param(Store([]), [], id="empty"),
        pytest.param(Store(["v2", "v1"], 2, "v2", "v1", "v2"), [], id="as-many-as-kept"),
        pytest.param(Store(["v3", "v2", "v1"], 2, "v3", "v2", "v3"), ["v1"], id="oldest-goes"),
        pytest.param(Store(["v3", "v2", "v1"], 2, "v3", "v1", "v3"), ["v2"], id="previous-stays"),
        pytest.param(Store(["v3", "v2", "v1"], 1, "v3", "v2", "v3"), ["v1", "v2"], id="keep-one"),
        pytest.param(Store(["v3", "v2", "v1"], 1, "v1", "v2", "v3"), ["v2"], id="two-to-protect"),
        pytest.param(Store(["v2", "v1"], 1, "v1", None, "v2"), [], id="keep-less-than-protected"),
        pytest.param(Store(["v4", "v3", "v2", "v1"], 3, "v4"), ["v1"], id="nothing-known"),
        pytest.param(Store(["v3", "v2", "v1"], 1), ["v1", "v2"], id="nothing-active"),
        pytest.param(
            Store(["v3", "v2", "v1"], 3, "v2", "v1", "v2", {"v3"}), ["v3"], id="quarantined-goes"
        ),
        pytest.param(
            Store(["v4", "v3", "v2", "v1"], 1, "v4", "v3", "v4", {"v3", "v1"}),
            ["v1", "v3", "v2"],
            id="quarantined-goes-first",
        ),
        pytest.param(
            Store(["v2", "v1"], 1, "v1", None, "v2", {"v1"}), [], id="active-though-quarantined"
        ),
        pytest.param(Store(["v2", "v1"], 1, "v9", "v8", "v7", {"v6"}), ["v1"], id="not-held"),
    ],
)
def test_what_goes_and_in_which_order(store: Store, expected: list[str]) -> None:
    """The least useful release goes first."""
    assert list(store.spare()) == expected


VERSIONS = st.sampled_from(["v1", "v2", "v3", "v4", "v5", "v6"])
STORES = st.builds(
    Store,
    held=st.lists(VERSIONS, unique=True),
    keep=st.integers(1, 4),
    active=st.none() | VERSIONS,
    previous=st.none() | VERSIONS,
    desired=st.none() | VERSIONS,
    quarantined=st.frozensets(VERSIONS, max_size=3),
).filter(lambda store: store.desired not in store.quarantined)


@given(STORES)
def test_what_is_needed_stays(store: Store) -> None:
    """The active and the desired release never go, and nothing goes that is not there."""
    gone = store.spare()
    assert not store.safe & set(gone)
    assert set(gone) <= set(store.held)
    assert len(set(gone)) == len(gone)


@given(STORES)
def test_as_many_are_left_as_are_kept(store: Store) -> None:
    """Of what is of use exactly `keep` are left: more only if they are needed, fewer never."""
    gone = store.spare()
    useful = [v for v in store.held if v not in store.quarantined or v == store.active]
    left = [v for v in useful if v not in gone]
    assert len(left) == min(len(useful), max(store.keep, len(store.safe)))


@given(STORES)
def test_what_failed_goes_before_anything_useful(store: Store) -> None:
    """A quarantined release is of no use."""
    gone = store.spare()
    bad = [v for v in store.held[::-1] if v in store.quarantined and v != store.active]
    assert list(gone[: len(bad)]) == bad


@given(STORES)
def test_the_oldest_goes_first_and_the_previous_last(store: Store) -> None:
    """Of what is of use, age decides, but for the release that one would roll back to."""
    useful = [v for v in store.spare() if v not in store.quarantined]
    ages = [store.held.index(v) for v in useful if v != store.previous]
    assert ages == sorted(ages, reverse=True)
    left = set(store.held) - set(useful) - store.safe - set(store.quarantined)
    if store.previous in useful:
        assert useful[-1] == store.previous
        assert not left
    elif useful and left - {store.previous}:
        assert min(ages) > max(store.held.index(v) for v in left - {store.previous})


@pytest.mark.parametrize(
    ("held", "needed", "expected"),
    [
        pytest.param({}, ["v1"], (), id="empty"),
        pytest.param({"v1": "1", "v2": "2"}, ["v2", "v1"], (), id="all-needed"),
        pytest.param({"v1": "1", "v2": "2", "v3": "3"}, ["v3"], ("v1", "v2"), id="oldest-first"),
        pytest.param({"v1": "1", "v2": "2", "v3": "3"}, ["v2"], ("v1",), id="newer-stays"),
        pytest.param({"v1": None, "v2": "2"}, ["v2"], (), id="incomplete-stays"),
        pytest.param({"v1": "1", "v2": None}, ["v2"], (), id="marker-incomplete"),
        pytest.param({"v1": "1"}, ["gone"], (), id="marker-gone"),
        pytest.param({"b": "1", "a": "1", "v2": "2"}, ["v2"], ("a", "b"), id="same-second"),
    ],
)
def test_spare_on_a_share(
    held: dict[str, str | None], needed: list[str], expected: tuple[str, ...]
) -> None:
    """Of a share, what is older than the marker's release and in no chain may go."""
    assert spare_on_share(held, needed=needed) == expected
