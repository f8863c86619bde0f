"""What operators do: promote, roll back, verify, prune, and see how things are."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.pods import NO_SHARE, Pod
from tests.support.shares import ELSEWHERE, HALF, INLINE, snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.crashing import Crasher


@pytest.fixture
def pod(crasher: Crasher, tmp_path: Path) -> Pod:
    """A pod whose share has five releases, and no marker yet."""
    made = Pod(tmp_path, crasher=crasher)
    made.share.add_plain("v1", "v2", "v3", "v4", "v5")
    return made


def marker(pod: Pod) -> bytes:
    """Return the marker's bytes."""
    return (pod.share.root / "VERSION").read_bytes()


def lines(pod: Pod) -> list[str]:
    """Return the marker's lines, but the one that says who and when."""
    found = marker(pod).decode().rstrip("\n").split("\n")
    assert found[-1].startswith("# promoted: 20")
    return found[:-1]


def test_promote_writes_a_record(pod: Pod) -> None:
    """`promote` writes exactly 512 bytes: the version, its chain (the last 3), who and when."""
    chain: list[str] = []
    for version in ("v1", "v2", "v3", "v4", "v5"):
        done = pod.run("promote", version)
        assert done.code == 0, done.lines
        assert len(marker(pod)) == 512
        assert lines(pod) == [version, *([f"# previous: {' '.join(chain)}"] if chain else [])]
        chain = [version, *chain][:3]
    assert pod.run("promote", "v5").code == 0
    assert lines(pod) == ["v5", "# previous: v4 v3 v2"]
    assert pod.run("promote", "v3").code == 0
    assert lines(pod) == ["v3", "# previous: v5 v4 v2"]


def test_promote_takes_over_a_plain_marker(pod: Pod) -> None:
    """`echo v1 > VERSION` is a good marker: `promote` puts it into the chain."""
    (pod.share.root / "VERSION").write_text("v1\n")
    assert pod.run("promote", "v2").code == 0
    assert lines(pod) == ["v2", "# previous: v1"]


@pytest.mark.parametrize("why", ["missing", "incomplete", "damaged"])
def test_promote_of_what_is_not_there(why: str, pod: Pod) -> None:
    """A release that is not complete is not promoted; the marker stays as it is, to the byte."""
    assert pod.run("promote", "v1").code == 0
    before = marker(pod)
    path = pod.share.release("v2") / "manifest.json"
    if why == "missing":
        shutil.rmtree(path.parent)
    elif why == "incomplete":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    done = pod.run("promote", "v2")
    assert done.code == (5 if why == "damaged" else 4), done.lines
    assert "releases/v2/manifest.json" in done.sentence
    assert marker(pod) == before
    assert "Traceback" not in "\n".join(done.lines)


def test_promote_into_another_space(pod: Pod) -> None:
    """A release of another embedding space is exit 9 until the operator says so."""
    for version, kind in {"one": INLINE, "half": HALF, "other": ELSEWHERE}.items():
        pod.share.add(version, kind)
    assert pod.run("promote", "one").code == 0
    assert pod.run("promote", "half").code == 0
    before = marker(pod)
    done = pod.run("promote", "other")
    assert done.code == 9, done.lines
    assert "--allow-new-space" in done.sentence
    assert marker(pod) == before
    assert pod.run("promote", "other", "--allow-new-space").code == 0
    assert lines(pod) == ["other", "# previous: half one", "# allow-new-space"]
    assert len(marker(pod)) == 512
    # Once more, as a quarantine is lifted: pods that are not there yet are still allowed to go.
    assert pod.run("promote", "other").code == 0
    assert lines(pod) == ["other", "# previous: half one", "# allow-new-space"]
    assert pod.run("rollback").code == 0
    assert lines(pod)[:2] == ["half", "# previous: one"]
    done = pod.run("rollback", "other")
    assert done.code == 9, done.lines
    assert "--allow-new-space" in done.sentence
    assert lines(pod)[0] == "half"


def test_rollback(pod: Pod) -> None:
    """`rollback` goes to the first of the chain and takes it out of the chain, to its end."""
    for version in ("v1", "v2", "v3"):
        assert pod.run("promote", version).code == 0
    assert pod.run("rollback").code == 0
    assert lines(pod)[:2] == ["v2", "# previous: v1"]
    assert len(marker(pod)) == 512
    assert pod.run("rollback").code == 0
    assert lines(pod)[0] == "v1"
    assert not [line for line in lines(pod) if "previous" in line]
    before = marker(pod)
    done = pod.run("rollback")
    assert done.code == 4, done.lines
    assert "VERSION" in done.sentence
    assert marker(pod) == before


def test_rollback_to_a_version(pod: Pod) -> None:
    """`rollback v1` goes there, past what lies between."""
    for version in ("v1", "v2", "v3"):
        assert pod.run("promote", version).code == 0
    assert pod.run("rollback", "v1").code == 0
    assert lines(pod)[0] == "v1"
    before = marker(pod)
    assert pod.run("rollback", "v9").code == 4
    assert marker(pod) == before


def test_rollback_without_a_marker(pod: Pod) -> None:
    """With no marker there is nothing to go back from: exit 4, and none is made."""
    assert pod.run("rollback").code == 4
    assert not (pod.share.root / "VERSION").exists()


def test_what_is_promoted_is_served(pod: Pod) -> None:
    """`promote` and `rollback` are what `init` goes by, and `status --json` says where all is."""
    for version in ("v1", "v2"):
        assert pod.run("promote", version).code == 0
        assert pod.init().code == 0
        assert pod.active() == version
    done = pod.run("status", "--json")
    assert done.code == 0, done.lines
    seen = json.loads(done.stdout)
    assert seen["store"]["active"] == "v2"
    assert seen["store"]["state"]["previous"] == "v1"
    assert seen["store"]["state"]["desired"] == "v2"
    assert seen["store"]["state"]["schema"] == 1
    digests = {version: pod.share.manifest(version).digest for version in ("v1", "v2")}
    assert seen["store"]["releases"] == digests
    assert seen["share"]["marker"] == "v2"
    assert seen["share"]["previous"] == ["v1"]
    assert seen["share"]["releases"].items() >= digests.items()
    assert pod.run("rollback").code == 0
    assert pod.init().code == 0
    assert pod.active() == "v1"


def test_status_of_an_incomplete_release(pod: Pod) -> None:
    """`status` shows which releases on the share are not complete, for people too."""
    (pod.share.release("v3") / "manifest.json").unlink()
    seen = json.loads(pod.run("status", "--json").stdout)
    assert seen["share"]["releases"]["v3"] is None
    assert "v3 (not complete)" in pod.run("status").stdout


def test_status_while_the_share_is_away(pod: Pod) -> None:
    """`status` tells of the store all the same, and what is wrong with the share."""
    assert pod.run("promote", "v1").code == 0
    assert pod.init().code == 0
    pod.share.root.rename(pod.share.root.with_name("away"))
    done = pod.run("status", "--json")
    assert done.code == 0, done.lines
    seen = json.loads(done.stdout)
    assert seen["store"]["active"] == "v1"
    assert str(pod.share.root) in seen["share"]["error"]


def test_verify_of_what_is_sound(pod: Pod) -> None:
    """`verify` reads every byte where it lies: by default of what is desired, or active."""
    assert pod.run("promote", "v1").code == 0
    assert pod.init().code == 0
    before = snapshot(pod.share.root)
    size = pod.share.manifest("v1").size
    for on in ("share", "store"):
        for version in ((), ("v1",)):
            done = pod.run("verify", *version, "--on", on)
            assert done.code == 0, done.lines
            assert f"v1 on the {on} is sound: {size} bytes." in done.stdout.splitlines()
    assert snapshot(pod.share.root) == before


def test_prune(pod: Pod) -> None:
    """`prune` keeps the active release and the newest of the others, `--keep` in all."""
    for version in ("v1", "v2", "v3"):
        assert pod.run("promote", version).code == 0
        assert pod.init("--keep", "9").code == 0
    done = pod.run("prune", "--keep", "2", env=NO_SHARE)
    assert done.code == 0, done.lines
    assert pod.held() == {"v2", "v3"}
    assert pod.run("prune", "--keep", "1", env=NO_SHARE).code == 0
    assert pod.held() == {"v3"}
    assert pod.run("prune", "--keep", "1", env=NO_SHARE).stdout == "Nothing to remove.\n"
    assert pod.run("verify", "v3").code == 0
    assert pod.active() == "v3"


def test_verify_of_what_the_store_has_not(pod: Pod) -> None:
    """`verify` of a release that the store does not hold exits 4: it is missing, not corrupt."""
    assert pod.run("promote", "v1").code == 0
    assert pod.init().code == 0
    done = pod.run("verify", "v9", env=NO_SHARE)
    assert done.code == 4, done.sentence
    assert "v9" in done.sentence


@pytest.mark.parametrize("command", ["promote", "rollback", "verify"])
def test_what_is_no_version(command: str, pod: Pod) -> None:
    """A name that no release can have is a usage error, and never becomes a path."""
    on = ("--on", "share") if command == "verify" else ()
    pod.share.mark("v1")
    done = pod.run(command, "../v1", *on)
    assert done.code == 2, done.sentence
    assert "../v1" in done.sentence
    assert marker(pod) == b"v1\n"
