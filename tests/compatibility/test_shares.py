"""Today's agent reads the shares, markers and bundles that 0.1.0 made, and makes them as it did."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Final

import pytest

from tests.compatibility import shares, sources
from tests.compatibility.pods import ForkedPod
from tests.compatibility.trees import HOME, lay_out
from tests.support.crashing import Crasher
from tests.support.shares import flip, in_memory, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIGNER: Final = ("--verify-key", HOME / "signer.pub", "--require-signature")


@pytest.fixture(scope="module")
def crasher() -> Iterator[Crasher]:
    """What runs the agents, in forks."""
    with Crasher() as running:
        yield running


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory in memory."""
    with in_memory() as made:
        yield made


@pytest.fixture
def pod(crasher: Crasher, scratch: Path) -> ForkedPod:
    """A pod with the recorded share, no marker, and an empty store."""
    lay_out("share", scratch / "share")
    return ForkedPod(scratch, crasher)


def mark(pod: ForkedPod, name: str) -> None:
    """Have a recorded marker on the share."""
    shutil.copyfile(HOME / "markers" / name, pod.share / "VERSION")


def without_author(marker: bytes) -> list[bytes]:
    """A marker's lines but the one that says who wrote it when; with its size."""
    lines = [line for line in marker.split(b"\n") if line and not line.startswith(b"# promoted: ")]
    return [*lines, str(len(marker)).encode()]


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_releases_are_sound(version: str, pod: ForkedPod) -> None:
    """Every byte of a release is what its manifest says, and its digest is what it was."""
    pod.run("verify", version, "--on", "share")
    recorded = json.loads((HOME / "markers" / "plain.status.json").read_bytes())
    assert pod.status()["share"]["releases"][version] == recorded["share"]["releases"][version]


@pytest.mark.parametrize("name", shares.MARKERS)
def test_markers_mean_the_same(name: str, pod: ForkedPod) -> None:
    """A marker names the release that it named, and the same ones before it."""
    mark(pod, name)
    recorded = json.loads((HOME / "markers" / f"{name}.status.json").read_bytes())["share"]
    today = pod.status()["share"]
    assert {key: today[key] for key in recorded} == recorded | {"address": str(pod.share)}


def test_markers_are_written_the_same(pod: ForkedPod) -> None:
    """The same commands one after another write the same markers, but for who and when."""
    for name, command in shares.MARKERS.items():
        pod.run(*command)
        written = (pod.share / "VERSION").read_bytes()
        assert without_author(written) == without_author((HOME / "markers" / name).read_bytes())


def test_a_marker_allows_another_space(pod: ForkedPod) -> None:
    """v3 embeds into another space: it is taken with 0.1.0's word on that, and else refused."""
    mark(pod, "plain")
    pod.run("init", "--no-warm")
    mark(pod, "new-space")
    marker = pod.share / "VERSION"
    allowed = marker.read_bytes()
    marker.write_bytes(allowed.replace(b"# allow-new-space\n", b""))
    assert "another space" in pod.run("init", "--no-warm").named("init.fell_back")[0]["reason"]
    assert pod.active == "v2"
    marker.write_bytes(allowed)
    pod.run("init", "--no-warm")
    assert pod.active == "v3"


def test_the_chain_is_fallen_back_on(pod: ForkedPod) -> None:
    """Where v3 is damaged, an empty store gets what 0.1.0's marker names first after it."""
    mark(pod, "new-space")
    flip(next(pod.share.joinpath("releases/v3").rglob("model.onnx")))
    assert pod.run("init", "--no-warm").named("init.fell_back")
    assert pod.active == "v2"


def test_a_signature_is_right(pod: ForkedPod) -> None:
    """A release that 0.1.0 signed is let in by its key; one that it did not sign is not."""
    mark(pod, "previous")
    assert not pod.run("init", "--no-warm", "--no-fallback", *SIGNER).named("release.unsigned")
    assert pod.active == "v2"
    pod.run("verify", "v2", *SIGNER)
    pod.run("verify", "v1", "--on", "share", *SIGNER, code=5)


def test_a_bundle_is_published(pod: ForkedPod, scratch: Path) -> None:
    """A bundle of 0.1.0's becomes the very release, signature and all, or is known to be there."""
    bundle = lay_out("bundle", scratch / "bundle")
    assert any(
        line.startswith("Already published: v2")
        for line in pod.run("publish", "--from", bundle).lines
    )
    shutil.rmtree(pod.share / "releases" / "v2")
    pod.run("publish", "--from", bundle)
    assert snapshot(pod.share / "releases" / "v2") == snapshot(bundle)


def test_a_release_is_known(pod: ForkedPod, scratch: Path) -> None:
    """To publish what 0.1.0 published, from the same files, finds it published already."""
    tree = sources.write(scratch / "tree")
    said = pod.run("publish", "--from", tree, "--version", "v1").lines
    assert any(line.startswith("Already published: v1") for line in said)


def test_a_lock_is_respected(crasher: Crasher, scratch: Path) -> None:
    """A publisher of 0.1.0 that may still be at it is named, and nothing of its is touched."""
    lay_out("interrupted", scratch / "share")
    pod = ForkedPod(scratch, crasher)
    lock = pod.share / ".locks" / "publish-v4"
    holder = json.loads(lock.read_bytes())
    # On the machine that it was recorded on, one could see that this publisher is gone.
    there, elsewhere = holder["machine"].encode(), b"x" * len(holder["machine"])
    lock.write_bytes(lock.read_bytes().replace(there, elsewhere))
    before = snapshot(pod.share)
    tree = sources.write(scratch / "tree")
    command = ("publish", "--from", tree, "--version", "v4", "--lock-timeout", "0s")
    refused = pod.run(*command, code=9)
    assert f"{holder['host']} (since {holder['since']})" in refused.sentence
    pod.run("prune", "--on", "share")
    assert {path: snapshot(pod.share)[path] for path in before} == before


def test_a_hand_made_tree_is_still_known(crasher: Crasher, scratch: Path) -> None:
    """Beside a release, `ADOPTED` says which version the tree is: one can go back to it."""
    lay_out("by-hand-published", scratch / "share")
    pod = ForkedPod(scratch, crasher)
    pod.run("init", "--no-warm")
    assert pod.active == "v1"
    pod.run("promote", "unversioned")
    pod.run("init", "--no-warm")
    assert pod.active == "unversioned"
    recorded = json.loads((HOME / "stores" / "adopted.status.json").read_bytes())["store"]
    assert pod.status()["store"]["releases"]["unversioned"] == recorded["releases"]["unversioned"]
