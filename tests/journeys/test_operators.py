"""What operators do: promote, roll back, verify, prune, and see how things are."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from agent.quantities import amount
from tests.support import agents
from tests.support.crashing import Crasher
from tests.support.shares import ELSEWHERE, HALF, INLINE, TestShare, snapshot

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
    """Where an operator sits: a share with four releases, and a store."""

    def __init__(self, crasher: Crasher, root: Path) -> None:
        self.share = TestShare(root / "share")
        self.store = root / "store"
        self.store.mkdir()
        for version in ("v1", "v2", "v3", "v4", "v5"):
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

    @property
    def marker(self) -> bytes:
        """The marker's bytes."""
        return (self.share.root / "VERSION").read_bytes()

    @property
    def lines(self) -> list[str]:
        """The marker's lines, but the one that says who and when."""
        lines = self.marker.decode().rstrip("\n").split("\n")
        assert lines[-1].startswith("# promoted: 20")
        return lines[:-1]


@pytest.fixture
def desk(crasher: Crasher, tmp_path: Path) -> Desk:
    """A desk without a marker yet."""
    return Desk(crasher, tmp_path)


def test_promote_writes_a_record(desk: Desk) -> None:
    """`promote` writes exactly 512 bytes: the version, its chain (the last 3), who and when."""
    chain: list[str] = []
    for version in ("v1", "v2", "v3", "v4", "v5"):
        done = desk.run("promote", version)
        assert done.code == 0, done.lines
        assert len(desk.marker) == 512
        assert desk.lines == [version, *([f"# previous: {' '.join(chain)}"] if chain else [])]
        chain = [version, *chain][:3]
    assert desk.run("promote", "v5").code == 0
    assert desk.lines == ["v5", "# previous: v4 v3 v2"]
    assert desk.run("promote", "v3").code == 0
    assert desk.lines == ["v3", "# previous: v5 v4 v2"]


def test_promote_takes_over_a_plain_marker(desk: Desk) -> None:
    """`echo v1 > VERSION` is a good marker: `promote` puts it into the chain."""
    (desk.share.root / "VERSION").write_text("v1\n")
    assert desk.run("promote", "v2").code == 0
    assert desk.lines == ["v2", "# previous: v1"]


@pytest.mark.parametrize("why", ["missing", "incomplete", "damaged"])
def test_promote_of_what_is_not_there(why: str, desk: Desk) -> None:
    """A release that is not complete is not promoted; the marker stays as it is, to the byte."""
    assert desk.run("promote", "v1").code == 0
    before = desk.marker
    path = desk.share.release("v2") / "manifest.json"
    if why == "missing":
        shutil.rmtree(path.parent)
    elif why == "incomplete":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    done = desk.run("promote", "v2")
    assert done.code == (5 if why == "damaged" else 4), done.lines
    assert "releases/v2/manifest.json" in done.sentence
    assert desk.marker == before
    assert "Traceback" not in "\n".join(done.lines)


def test_promote_into_another_space(desk: Desk) -> None:
    """A release of another embedding space is exit 9 until the operator says so."""
    for version, kind in {"one": INLINE, "half": HALF, "other": ELSEWHERE}.items():
        desk.share.add(version, kind)
    assert desk.run("promote", "one").code == 0
    assert desk.run("promote", "half").code == 0
    before = desk.marker
    done = desk.run("promote", "other")
    assert done.code == 9, done.lines
    assert "--allow-new-space" in done.sentence
    assert desk.marker == before
    assert desk.run("promote", "other", "--allow-new-space").code == 0
    assert desk.lines == ["other", "# previous: half one", "# allow-new-space"]
    assert len(desk.marker) == 512
    # Once more, as a quarantine is lifted: pods that are not there yet are still allowed to go.
    assert desk.run("promote", "other").code == 0
    assert desk.lines == ["other", "# previous: half one", "# allow-new-space"]
    assert desk.run("rollback").code == 0
    assert desk.lines[:2] == ["half", "# previous: one"]
    done = desk.run("rollback", "other")
    assert done.code == 9, done.lines
    assert "--allow-new-space" in done.sentence
    assert desk.lines[0] == "half"


def test_rollback(desk: Desk) -> None:
    """`rollback` goes to the first of the chain and takes it out of the chain, to its end."""
    for version in ("v1", "v2", "v3"):
        assert desk.run("promote", version).code == 0
    assert desk.run("rollback").code == 0
    assert desk.lines[:2] == ["v2", "# previous: v1"]
    assert len(desk.marker) == 512
    assert desk.run("rollback").code == 0
    assert desk.lines[0] == "v1"
    assert not [line for line in desk.lines if "previous" in line]
    before = desk.marker
    done = desk.run("rollback")
    assert done.code == 4, done.lines
    assert "VERSION" in done.sentence
    assert desk.marker == before


def test_rollback_to_a_version(desk: Desk) -> None:
    """`rollback v1` goes there, past what lies between."""
    for version in ("v1", "v2", "v3"):
        assert desk.run("promote", version).code == 0
    assert desk.run("rollback", "v1").code == 0
    assert desk.lines[0] == "v1"
    before = desk.marker
    assert desk.run("rollback", "v9").code == 4
    assert desk.marker == before


def test_rollback_without_a_marker(desk: Desk) -> None:
    """With no marker there is nothing to go back from: exit 4, and none is made."""
    assert desk.run("rollback").code == 4
    assert not (desk.share.root / "VERSION").exists()


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


def test_status_of_an_incomplete_release(desk: Desk) -> None:
    """`status` shows which releases on the share are not complete, for people too."""
    (desk.share.release("v3") / "manifest.json").unlink()
    seen = json.loads("\n".join(desk.held("status", "--json").lines))
    assert seen["share"]["releases"]["v3"] is None
    assert any("v3 (not complete)" in line for line in desk.held("status").lines)


def test_status_while_the_share_is_away(desk: Desk) -> None:
    """`status` tells of the store all the same, and what is wrong with the share."""
    assert desk.run("promote", "v1").code == 0
    assert desk.held("init", "--no-warm").code == 0
    desk.share.root.rename(desk.share.root.with_name("away"))
    done = desk.held("status", "--json")
    assert done.code == 0, done.lines
    seen = json.loads("\n".join(done.lines))
    assert seen["store"]["active"] == "v1"
    assert str(desk.share.root) in seen["share"]["error"]


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


@pytest.fixture
def share(tmp_path: Path) -> TestShare:
    """One release."""
    made = TestShare(tmp_path / "share")
    made.add_files("v1", {"model.onnx": b"weights" * 50_000, "tokenizer.json": b"{}"})
    made.mark("v1")
    return made


def test_verify_holds_files_to_their_whole_digest(share: TestShare) -> None:
    """`verify` also compares the whole-file SHA-256, which is what the Hub and people know."""
    share.sign("v1", lambda raw: raw["files"][1].update(sha256="0" * 64))
    done = agents.run("verify", "v1", "--on", "share", "--share", share.root)
    assert done.code == 5, done.stdout
    assert share.manifest("v1").files[1].path in done.sentence


def test_verify_of_what_the_store_has_not(share: TestShare, tmp_path: Path) -> None:
    """`verify` of a release that the store does not hold exits 4: it is missing, not corrupt."""
    store = tmp_path / "store"
    store.mkdir()
    assert agents.run("init", "--no-warm", "--share", share.root, "--store", store).code == 0
    done = agents.run("verify", "v9", "--store", store)
    assert done.code == 4, done.sentence
    assert "v9" in done.sentence


@pytest.mark.parametrize("command", ["promote", "rollback", "verify"])
def test_what_is_no_version(command: str, share: TestShare) -> None:
    """A name that no release can have is a usage error, and never becomes a path."""
    on = ("--on", "share") if command == "verify" else ()
    done = agents.run(command, "../v1", *on, "--share", share.root)
    assert done.code == 2, done.sentence
    assert "../v1" in done.sentence
    assert (share.root / "VERSION").read_text() == "v1\n"
