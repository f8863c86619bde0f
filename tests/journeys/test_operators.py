"""The commands of operators, in a row: promote, init, status, roll back, verify, prune."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from agent.quantities import amount
from tests.support.pods import NO_SHARE, Pod
from tests.support.shares import snapshot

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    """A pod whose share has three releases, and no marker yet."""
    made = Pod(tmp_path)
    made.share.add_plain("v1", "v2", "v3")
    return made


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


def test_verify_of_what_is_sound(pod: Pod) -> None:
    """`verify` reads every byte where it lies: by default of what is desired, or active."""
    assert pod.run("promote", "v1").code == 0
    assert pod.init().code == 0
    before = snapshot(pod.share.root)
    size = amount(pod.share.manifest("v1").size)
    for on, where in {"share": "on the share", "store": "in the store"}.items():
        for version in ((), ("v1",)):
            done = pod.run("verify", *version, "--on", on)
            assert done.code == 0, done.lines
            assert f"v1 {where} is intact ({size})." in done.stdout.splitlines()
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
