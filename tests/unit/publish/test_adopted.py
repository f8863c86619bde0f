"""The name of a hand-made tree, once releases stand beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.publish.adopted import ADOPTED, name_tree

if TYPE_CHECKING:
    from tests.support.desks import Desk


def named(desk: Desk) -> str | None:
    """What `ADOPTED` says after `name_tree`."""
    context = desk.context()
    name_tree(context.reader, context.share)
    path = desk.share.root / ADOPTED
    return path.read_text() if path.exists() else None


@pytest.mark.parametrize(
    ("marker", "name"),
    [
        (b"v1\n", "v1\n"),
        (None, "unversioned\n"),
        (b"", "unversioned\n"),
        (b"\x00", "unversioned\n"),
    ],
)
def test_the_tree_has_the_name_that_pods_give_it(
    marker: bytes | None, name: str, desk: Desk
) -> None:
    """It is the marker's version; where the marker names none, the tree has no version."""
    (desk.share.root / "fastembed").mkdir()
    if marker is not None:
        (desk.share.root / "VERSION").write_bytes(marker)
    assert named(desk) == name


def test_a_share_with_releases_is_left_as_it_is(desk: Desk) -> None:
    """The tree was named when the first release came, or has no name that counts."""
    (desk.share.root / "fastembed").mkdir()
    desk.add("v1")
    assert named(desk) is None


def test_a_share_without_a_tree(desk: Desk) -> None:
    """There is nothing to name."""
    assert named(desk) is None
