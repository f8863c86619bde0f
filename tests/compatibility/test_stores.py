"""Today's agent starts on every store that 0.1.0 left: nothing is lost, and nothing refused."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from tests.compatibility.pods import stand, status
from tests.compatibility.trees import HOME, ROOM, lay_out

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.agents import Result
    from tests.support.pods import Pod

    LayOut = Callable[..., Pod]


class After(NamedTuple):
    """What `init` makes of a store: what is active, and some of where staged bytes came from."""

    active: str
    sources: frozenset[str] = frozenset()


STORES: Final = {
    "started": After("v1"),
    "settled": After("v2"),
    "half-staged": After("v2", frozenset({"reused", "resumed"})),
    "waiting": After("v2"),
    "quarantined": After("v1"),
    "unfinished": After("v2"),
    "worn-out": After("v1"),
    "pointed": After("v2"),
    "rotten": After("v1", frozenset({"share"})),
    "outdated": After("v1"),
    "left-over": After("v2"),
    "adopted": After("unversioned"),
}


@pytest.fixture
def recorded(scratch: Path) -> LayOut:
    """Lays a recorded store out in memory, with the share and the marker beside it."""

    def make(name: str, *, copied: bool = False) -> Pod:
        lay_out("by-hand" if name == "adopted" else "share", scratch / "share")
        lay_out(f"stores/{name}", scratch / "store", copied=copied)
        pod = stand(scratch)
        if name != "adopted":
            mark(pod, f"stores/{name}.VERSION")
        return pod

    return make


def mark(pod: Pod, name: str) -> None:
    """Have a recorded marker on the share."""
    shutil.copyfile(HOME / name, pod.share.root / "VERSION")


def moved(done: Result) -> frozenset[str]:
    """Where the bytes came from that a run staged."""
    (staged,) = done.named("release.staged") or [{}]
    return frozenset(name.removesuffix("_bytes") for name in staged if name.endswith("_bytes"))


def assert_holds(today: Any, before: Any, where: str = "") -> None:
    """All of `before` is in `today`, with the same values; there may be more keys."""
    if isinstance(before, dict):
        for key, value in before.items():
            assert key in today, f"{where}.{key}"
            assert_holds(today[key], value, f"{where}.{key}")
    elif isinstance(before, list):
        for index, (one, other) in enumerate(zip(today, before, strict=True)):
            assert_holds(one, other, f"{where}[{index}]")
    else:
        # Not every Python adds floats up to the same last digit.
        assert today == (pytest.approx(before) if isinstance(before, float) else before), where


def test_there_is_a_test_of_every_store() -> None:
    """Whatever is recorded is started on."""
    assert {path.stem for path in (HOME / "stores").glob("*.jsonl")} == set(STORES)


@pytest.mark.parametrize("name", STORES)
def test_status_says_all_that_it_said(name: str, recorded: LayOut) -> None:
    """`status --json` shows what 0.1.0 showed: its whole state, its releases, its share."""
    pod = recorded(name)
    room = ROOM / "by-hand" if name == "adopted" else ROOM
    today = json.loads(json.dumps(status(pod)).replace(str(pod.root), str(room)))
    assert_holds(today, json.loads((HOME / "stores" / f"{name}.status.json").read_bytes()))


@pytest.mark.parametrize("name", STORES)
def test_init_goes_on(name: str, recorded: LayOut) -> None:
    """The right release is active, bytes that the store has are not fetched, all of it is sound.

    What crashes left behind is cleared, and the memory has the same form as before.
    """
    pod, expected = recorded(name), STORES[name]
    before = pod.state()
    done = pod.init().ok()
    assert pod.active() == expected.active
    assert expected.sources <= moved(done)
    assert bool(expected.sources) == bool(moved(done))
    pod.agent("verify")
    assert list((pod.store / ".agent" / "staging").iterdir()) == []
    assert not list(pod.store.rglob(".*.????????"))
    assert set(before) <= set(pod.state())
    assert (pod.state()["schema"], pod.state()["active"]) == (1, expected.active)


@pytest.mark.parametrize("name", ["settled", "started", "adopted"])
def test_a_copied_volume(name: str, recorded: LayOut) -> None:
    """On a volume that came from a backup all is hashed, found right, and put on record anew."""
    pod = recorded(name, copied=True)
    done = pod.init().ok()
    assert pod.active() == STORES[name].active
    assert done.named("release.verified")
    assert moved(done) == frozenset()


def test_what_it_verified_is_linked(recorded: LayOut) -> None:
    """A bump links the files that 0.1.0 verified; on a copied volume it trusts none of them."""
    pod = recorded("started")
    mark(pod, "markers/previous")
    assert moved(pod.init().ok()) == {"reused", "share"}
    tokenizers = list((pod.store / "releases").rglob("models--Qdrant--*/**/tokenizer.json"))
    assert len(tokenizers) == len({"v1", "v2"})
    assert len({path.stat().st_ino for path in tokenizers}) == 1


def test_nothing_unverified_is_linked(recorded: LayOut) -> None:
    """A bump on a copied volume trusts no file by a record of other inodes."""
    pod = recorded("started", copied=True)
    mark(pod, "markers/previous")
    assert moved(pod.init().ok()) == {"share"}


def test_a_quarantine_holds(recorded: LayOut) -> None:
    """A release that 0.1.0 refused stays refused for that reason, until it is promoted again."""
    pod = recorded("quarantined")
    before = pod.state()["quarantined"]["v2"]
    done = pod.init().ok()
    assert done.named("init.fell_back")
    assert pod.state()["quarantined"]["v2"] == before
    pod.agent("promote", "v2")
    pod.init().ok()
    assert pod.active() == "v2"
    assert pod.state()["quarantined"] == {}


def test_attempts_count(recorded: LayOut) -> None:
    """A release at which 0.1.0 was killed twice is given up, by its count."""
    pod = recorded("worn-out")
    pod.init().ok()
    assert "never ended" in pod.state()["quarantined"]["v2"]["reason"]
    assert pod.state()["attempts"] == {}


def test_what_is_known_is_kept(recorded: LayOut) -> None:
    """What was active before, passed its check, was read again: a start loses none of it."""
    pod = recorded("settled")
    before = pod.state()
    pod.init().ok()
    kept = ("previous", "checked", "ground", "last_reverified", "tried_for", "worker")
    assert {name: pod.state()[name] for name in kept} == {name: before[name] for name in kept}
