"""The marker that `promote` and `rollback` write, and the releases that they refuse."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from agent.errors import (
    AgentError,
    ConfigError,
    NewSpaceError,
    ReleaseMissingError,
    VerificationError,
)
from agent.operate.promote import promote, rollback
from tests.support.desks import plain_tree
from tests.support.shares import SNAPSHOT, flip

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.desks import Desk


def quiet(_line: str) -> None:
    """Nobody reads it."""


def lines(desk: Desk) -> list[str]:
    """The marker's lines, but the one that says who promoted and when."""
    *named, last = desk.marker.decode().rstrip("\n").split("\n")
    assert last.startswith("# promoted: 20")
    return named


def test_promote_writes_a_record(desk: Desk) -> None:
    """The marker has exactly 512 bytes: the version, its chain (the last 3), who and when."""
    chain: list[str] = []
    for version in ("v1", "v2", "v3", "v4", "v5"):
        desk.add(version)
        promote(desk.context(), version, say=quiet)
        assert len(desk.marker) == 512
        assert lines(desk) == [version, *([f"# previous: {' '.join(chain)}"] if chain else [])]
        chain = [version, *chain][:3]
    promote(desk.context(), "v5", say=quiet)
    assert lines(desk) == ["v5", "# previous: v4 v3 v2"]
    promote(desk.context(), "v3", say=quiet)
    assert lines(desk) == ["v3", "# previous: v5 v4 v2"]


def test_promote_takes_over_a_plain_marker(desk: Desk) -> None:
    """`echo v1 > VERSION` is a good marker: `promote` puts it into the chain."""
    for version in ("v1", "v2"):
        desk.add(version)
    desk.share.mark("v1")
    promote(desk.context(), "v2", say=quiet)
    assert lines(desk) == ["v2", "# previous: v1"]


def test_what_is_not_on_the_share_is_no_way_back(desk: Desk) -> None:
    """A version that was mistyped in a marker by hand leaves the chain, and that is said."""
    for version in ("v1", "v2"):
        desk.add(version)
    desk.share.mark("v1.0-typo", "previous: v1 v0")
    said: list[str] = []
    promote(desk.context(), "v2", say=said.append)
    assert lines(desk) == ["v2", "# previous: v1"]
    gone = [line for line in said if "cannot be gone back to" in line]
    assert [line.split()[0] for line in gone] == ["v1.0-typo", "v0"]
    assert rollback(desk.context(), None, say=quiet).version == "v1"


@pytest.mark.parametrize("check", [False, True])
def test_a_tree_made_by_hand_is_promoted_if_pods_could_take_it(check: bool, desk: Desk) -> None:
    """It is planned as `init` plans it: what is not there, or not all of it, is refused."""
    with pytest.raises(ReleaseMissingError):
        promote(desk.context(), "v77", check=check, say=quiet)
    plain_tree(desk.share.root)
    (desk.share.root / "fastembed-v1").mkdir()
    with pytest.raises(ReleaseMissingError, match=r"acme--plain|acme/plain"):
        promote(desk.context(), "v1", check=check, say=quiet)
    (desk.share.root / "fastembed-v1").rmdir()
    assert promote(desk.context(), "v1", check=check, say=quiet).version == "v1"
    for path in desk.share.root.rglob("snapshots/*/*"):
        path.unlink()
    (desk.share.root / "VERSION").unlink()
    with pytest.raises(ReleaseMissingError, match="acme--plain"):
        promote(desk.context(), "v1", check=check, say=quiet)
    assert not (desk.share.root / "VERSION").exists()


def test_promote_over_a_marker_that_says_nothing(desk: Desk) -> None:
    """A marker of which nothing can be understood is replaced, and gives no chain."""
    desk.add("v1")
    (desk.share.root / "VERSION").write_bytes(b"\x00\x00")
    promote(desk.context(), "v1", say=quiet)
    assert lines(desk) == ["v1"]


def remove(desk: Desk) -> None:
    """The release is gone."""
    shutil.rmtree(desk.share.release("v2"))


def unfinish(desk: Desk) -> None:
    """The release is still being uploaded."""
    (desk.share.release("v2") / "manifest.json").unlink()


def tear(desk: Desk) -> None:
    """The manifest has lost its last byte."""
    path = desk.share.release("v2") / "manifest.json"
    path.write_bytes(path.read_bytes()[:-1])


def shorten(desk: Desk) -> None:
    """A file is shorter than its manifest says."""
    path = desk.share.release("v2") / SNAPSHOT / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("damage", "error", "named"),
    [
        (remove, ReleaseMissingError, "releases/v2/manifest.json"),
        (unfinish, ReleaseMissingError, "releases/v2/manifest.json"),
        (tear, VerificationError, "releases/v2/manifest.json"),
        (shorten, ReleaseMissingError, "model.onnx"),
    ],
)
def test_only_a_complete_release_is_promoted(
    damage: Callable[[Desk], None], error: type[AgentError], named: str, desk: Desk
) -> None:
    """A release that is not complete is refused, and the marker stays as it is, to the byte."""
    for version in ("v1", "v2"):
        desk.add(version)
    promote(desk.context(), "v1", say=quiet)
    before = desk.marker
    damage(desk)
    with pytest.raises(error, match=named):
        promote(desk.context(), "v2", say=quiet)
    assert desk.marker == before


def test_promote_reads_every_byte_if_asked(desk: Desk) -> None:
    """A flipped bit passes `promote`, which looks at sizes, and is found with `--verify`."""
    desk.add("v1")
    flip(desk.share.release("v1") / SNAPSHOT / "model.onnx")
    with pytest.raises(VerificationError, match=r"model\.onnx"):
        promote(desk.context(), "v1", check=True, say=quiet)
    assert not (desk.share.root / "VERSION").exists()
    promote(desk.context(), "v1", say=quiet)
    assert lines(desk) == ["v1"]


def test_another_space_is_refused_until_it_is_allowed(desk: Desk) -> None:
    """Vectors that do not match are shown and refused; the operator's word lasts in the marker."""
    for version, vector in {"one": (1.0, 0.0), "near": (1.0, 0.01), "far": (0.0, 1.0)}.items():
        desk.add(version, *vector)
    said: list[str] = []
    promote(desk.context(), "one", say=said.append)
    assert said == []
    promote(desk.context(), "near", say=said.append)
    assert said[0] == "near beside one:"
    assert "agrees to a cosine of 1.0000" in said[1]
    before = desk.marker
    with pytest.raises(NewSpaceError, match="--allow-new-space"):
        promote(desk.context(), "far", say=said.append)
    assert desk.marker == before
    promote(desk.context(allow_new_space="true"), "far", say=quiet)
    allowed = ["far", "# previous: near one", "# allow-new-space"]
    assert lines(desk) == allowed
    # Once more, as a quarantine is lifted: pods that are not there yet are still allowed to go.
    promote(desk.context(), "far", say=quiet)
    assert lines(desk) == allowed
    # It was served before, so the way back needs no word; the way out of the chain does.
    rollback(desk.context(), None, say=quiet)
    assert lines(desk) == ["near", "# previous: one", "# allow-new-space"]
    with pytest.raises(NewSpaceError, match="--allow-new-space"):
        rollback(desk.context(), "far", say=quiet)
    assert lines(desk)[0] == "near"


def test_models_without_a_canary_are_named(desk: Desk) -> None:
    """Nobody looks at their vectors: each time that such a release is promoted, that is said."""
    desk.add("v1")
    for _ in range(2):
        said: list[str] = []
        promote(desk.context(), "v1", say=said.append)
        assert "(fastembed) was not run, so it has no canary" in said[0]


def test_what_cannot_be_compared_is_promoted(desk: Desk) -> None:
    """A release whose predecessor is gone from the share is held to nothing."""
    desk.add("v2", 1.0, 0.0)
    desk.share.mark("v1")
    said: list[str] = []
    promote(desk.context(), "v2", say=said.append)
    assert lines(desk) == ["v2"]
    assert [line.split(":")[0] for line in said] == ["v1 cannot be gone back to"]


def test_rollback_goes_down_the_chain(desk: Desk) -> None:
    """It takes the first of the chain out of the chain, until there is nothing to go back to."""
    for version in ("v1", "v2", "v3"):
        desk.add(version)
        promote(desk.context(), version, say=quiet)
    rollback(desk.context(), None, say=quiet)
    assert lines(desk)[:2] == ["v2", "# previous: v1"]
    assert len(desk.marker) == 512
    rollback(desk.context(), None, say=quiet)
    assert lines(desk)[0] == "v1"
    assert not [line for line in lines(desk) if "previous" in line]
    before = desk.marker
    with pytest.raises(ReleaseMissingError, match="no previous release"):
        rollback(desk.context(), None, say=quiet)
    assert desk.marker == before


def test_rollback_to_a_version(desk: Desk) -> None:
    """It goes past what lies between, and to nothing that the share lacks."""
    for version in ("v1", "v2", "v3"):
        desk.add(version)
        promote(desk.context(), version, say=quiet)
    rollback(desk.context(), "v1", say=quiet)
    assert lines(desk)[0] == "v1"
    before = desk.marker
    with pytest.raises(ReleaseMissingError, match="v9"):
        rollback(desk.context(), "v9", say=quiet)
    assert desk.marker == before


def test_rollback_without_a_marker(desk: Desk) -> None:
    """There is nothing to go back from, and no marker is made."""
    desk.add("v1")
    with pytest.raises(ReleaseMissingError, match="VERSION"):
        rollback(desk.context(), None, say=quiet)
    assert not (desk.share.root / "VERSION").exists()


def test_a_name_that_no_release_can_have(desk: Desk) -> None:
    """It is a usage error, and never becomes a path."""
    desk.share.mark("v1")
    with pytest.raises(ConfigError, match=r"\.\./v1"):
        promote(desk.context(), "../v1", say=quiet)
    with pytest.raises(ConfigError, match=r"\.\./v1"):
        rollback(desk.context(), "../v1", say=quiet)
    assert desk.marker == b"v1\n"
