"""The state of a store and a share, for programs and for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from agent.errors import ConfigError
from agent.operate import status
from agent.release import marker
from agent.sync.state import Rot, Waiting
from tests.support.desks import served
from tests.support.stores import activate, bare_release

if TYPE_CHECKING:
    from tests.support.desks import Desk


def test_what_programs_see(desk: Desk) -> None:
    """The store's state and releases, and the share's marker, chain and releases, by digest."""
    served(desk, "v1", "v2").update(desired="v2")
    digests = {version: desk.add(version).digest for version in ("v1", "v2")}
    desk.share.mark("v2", "previous: v1")
    seen = json.loads(status.as_json(status.status(desk.context())))
    assert seen["store"]["active"] == "v2"
    assert seen["store"]["state"]["previous"] == "v1"
    assert seen["store"]["state"]["desired"] == "v2"
    assert seen["store"]["state"]["schema"] == 1
    held = {version: desk.context().store.digest(version) for version in ("v1", "v2")}
    assert seen["store"]["releases"] == held
    assert seen["share"] == {
        "address": str(desk.share.root),
        "marker": "v2",
        "marker_unknown": None,
        "previous": ["v1"],
        "releases": digests,
        "error": None,
    }


def test_what_people_see(desk: Desk) -> None:
    """A line each; what is refused, corrupt or incomplete is named with its reason."""
    record = served(desk, "v1")
    wished = marker.parse(b"v2\n")
    record.desired_is(wished, held=())
    record.quarantine("v2", "a model does not load", marker=wished, digest=None)
    record.update(rot=Rot("v1", ("fastembed/model",), "2026-01-01T00:00:00Z"))
    waiting = Waiting("the worker at http://w, which is mute", since="2026-01-01T00:00:05Z")
    record.update(doing="reload v2", doing_since="2026-01-01T00:00:04Z", waiting=waiting)
    desk.add("v2")
    (desk.share.release("v2") / "manifest.json").unlink()
    desk.share.mark("v2")
    lines = status.describe(status.status(desk.context())).splitlines()
    assert lines == [
        f"store     {desk.store}",
        "active    v1",
        "desired   v2",
        "worker    - (unknown)",
        "held      v1",
        "refused   v2: a model does not load",
        "corrupt   fastembed/model of v1: the sidecar repairs them",
        "error     a model does not load",
        "doing     reload v2, since 2026-01-01T00:00:04Z",
        "waiting   for the worker at http://w, which is mute, since 2026-01-01T00:00:05Z",
        f"share     {desk.share.root}",
        "marker    v2",
        "release   v2 (not complete)",
    ]


def test_a_marker_that_names_nothing(desk: Desk) -> None:
    """What it holds is said in its place, as `/status`, `doctor` and `init` say it."""
    desk.add("v1")
    desk.share.mark("")
    (desk.share.root / "VERSION").write_bytes(b"\x00" * 512)
    share = status.status(desk.context())["share"]
    assert (share["marker"], share["error"]) == (None, None)
    assert "names no release: it holds NUL bytes" in share["marker_unknown"]
    lines = status.describe(status.status(desk.context())).splitlines()
    assert f"marker    {share['marker_unknown']}" in lines


def test_the_share_is_away(desk: Desk) -> None:
    """The store is told of all the same, and so is what is wrong with the share."""
    served(desk, "v1")
    desk.share.root.rename(desk.root / "away")
    seen = status.status(desk.context())
    assert seen["store"]["active"] == "v1"
    assert seen["share"]["marker"] is None
    assert str(desk.share.root) in seen["share"]["error"]
    assert str(desk.share.root) in status.describe(seen).splitlines()[-1]


def test_a_store_alone(desk: Desk) -> None:
    """Without a share nothing is said of one."""
    served(desk, "v1")
    seen = status.status(desk.context(share=""))
    assert set(seen) == {"store"}


def test_there_is_no_store(desk: Desk) -> None:
    """A store that is not there is a mistake of set-up, and is named."""
    desk.store.rmdir()
    with pytest.raises(ConfigError, match=str(desk.store)):
        status.status(desk.context(share=""))


def test_an_operator_s_machine(desk: Desk) -> None:
    """It has no store: what the share has is shown."""
    digest = desk.add("v1").digest
    desk.share.mark("v1")
    desk.store.rmdir()
    assert status.describe(status.status(desk.context())).splitlines() == [
        "store     none here",
        f"share     {desk.share.root}",
        "marker    v1",
        f"release   v1 {digest}",
    ]


def test_the_two_releases_that_matter_are_compared(desk: Desk) -> None:
    """What is desired stands beside what is active; once they are one, beside what was before."""
    record = served(desk, "v1")
    desk.add("v2", 1.0, 0.0)
    assert "space" not in status.status(desk.context())
    desk.share.mark("v2")
    seen = status.status(desk.context())
    assert (seen["space"]["old"], seen["space"]["new"]) == ("v1", "v2")
    bare_release(desk.store, "v2")
    activate(desk.store, "v2")
    record.activated("v2")
    seen = status.status(desk.context())
    assert (seen["space"]["old"], seen["space"]["new"]) == ("v1", "v2")
    desk.share.mark("v9")
    assert "space" not in status.status(desk.context())


def test_distances_are_shown_text_by_text(desk: Desk) -> None:
    """Each text has its cosine, under the model's lowest."""
    one, other = desk.add("v1", 1.0, 0.0), desk.add("v2", 0.6, 0.8)
    lines = status.distances(one, other)
    assert lines[0] == "v2 beside v1:"
    assert lines[1].endswith("agrees to a cosine of 0.6000")
    assert lines[2] == "  0.6000  'text'"
    assert len(lines) == 3
