"""The commands of operators, in a row: promote, init, status, roll back, verify, prune."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from agent.quantities import amount
from tests.support.crashing import Crasher
from tests.support.shares import TestShare, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.agents import Result


@pytest.fixture(scope="module")
def crasher() -> Iterator[Crasher]:
    """What runs the agents, in forks."""
    with Crasher() as running:
        yield running


class Desk:
    """A share with three releases, and a store."""

    def __init__(self, crasher: Crasher, root: Path) -> None:
        self.share = TestShare(root / "share")
        self.store = root / "store"
        self.store.mkdir()
        for version in ("v1", "v2", "v3"):
            self.share.add_files(version, {"model.onnx": version.encode() * 1000})
        self._crasher = crasher

    def run(self, *args: str) -> Result:
        """Run a command on the share."""
        return self._crasher.finish(*args, "--share", self.share.root)

    def alone(self, *args: str) -> Result:
        """Run a command on the store only."""
        return self._crasher.finish(*args, "--store", self.store)

    def held(self, *args: str) -> Result:
        """Run a command on the share and the store."""
        return self.run(*args, "--store", str(self.store))


@pytest.fixture
def desk(crasher: Crasher, tmp_path: Path) -> Desk:
    """A desk without a marker yet."""
    return Desk(crasher, tmp_path)


def test_what_is_promoted_is_served(desk: Desk) -> None:
    """`promote` and `rollback` are what `init` goes by, and `status --json` says where all is."""
    for version in ("v1", "v2"):
        assert desk.run("promote", version).code == 0
        assert desk.held("init", "--no-warm").code == 0
        assert (desk.store / "current").readlink().name == version
    done = desk.held("status", "--json")
    assert done.code == 0, done.lines
    seen = json.loads("\n".join(done.lines))
    assert seen["store"]["active"] == "v2"
    assert seen["store"]["state"]["previous"] == "v1"
    assert seen["store"]["state"]["desired"] == "v2"
    assert seen["store"]["state"]["schema"] == 1
    digests = {version: desk.share.manifest(version).digest for version in ("v1", "v2")}
    assert seen["store"]["releases"] == digests
    assert seen["share"]["marker"] == "v2"
    assert seen["share"]["previous"] == ["v1"]
    assert seen["share"]["releases"].items() >= digests.items()
    assert desk.run("rollback").code == 0
    assert desk.held("init", "--no-warm").code == 0
    assert (desk.store / "current").readlink().name == "v1"


def test_verify_of_what_is_sound(desk: Desk) -> None:
    """`verify` reads every byte where it lies: by default of what is desired, or active."""
    assert desk.run("promote", "v1").code == 0
    assert desk.held("init", "--no-warm").code == 0
    before = snapshot(desk.share.root)
    size = amount(desk.share.manifest("v1").size)
    for on, where in {"share": "on the share", "store": "in the store"}.items():
        for version in ((), ("v1",)):
            done = desk.held("verify", *version, "--on", on)
            assert done.code == 0, done.lines
            assert f"v1 {where} is intact ({size})." in done.lines
    assert snapshot(desk.share.root) == before


def test_prune(desk: Desk) -> None:
    """`prune` keeps the active release and the newest of the others, `--keep` in all."""
    for version in ("v1", "v2", "v3"):
        assert desk.run("promote", version).code == 0
        assert desk.held("init", "--no-warm", "--keep", "9").code == 0
    done = desk.alone("prune", "--keep", "2")
    assert done.code == 0, done.lines
    assert {path.name for path in (desk.store / "releases").iterdir()} == {"v2", "v3"}
    assert desk.alone("prune", "--keep", "1").code == 0
    assert {path.name for path in (desk.store / "releases").iterdir()} == {"v3"}
    assert desk.alone("prune", "--keep", "1").lines[-1] == "Nothing to remove."
    assert desk.held("verify", "v3").code == 0
    assert (desk.store / "current").readlink().name == "v3"
