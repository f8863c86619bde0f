"""Today's agent reads the shares, markers and bundles that 0.1.0 made, and makes them as it did."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Final

import pytest

from tests.compatibility import shares, sources
from tests.compatibility.pods import stand, status
from tests.compatibility.trees import HOME, lay_out
from tests.support.agents import assert_failed
from tests.support.shares import flip, snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.pods import Pod

SIGNER: Final = ("--verify-key", HOME / "signer.pub", "--require-signature")


@pytest.fixture
def pod(scratch: Path) -> Pod:
    """A pod with the recorded share, no marker, and an empty store."""
    lay_out("share", scratch / "share")
    return stand(scratch)


def mark(pod: Pod, name: str) -> None:
    """Have a recorded marker on the share."""
    shutil.copyfile(HOME / "markers" / name, pod.share.root / "VERSION")


def without_author(marker: bytes) -> list[bytes]:
    """A marker's lines but the one that says who wrote it when; with its size."""
    lines = [line for line in marker.split(b"\n") if line and not line.startswith(b"# promoted: ")]
    return [*lines, str(len(marker)).encode()]


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_releases_are_sound(version: str, pod: Pod) -> None:
    """Every byte of a release is what its manifest says, and its digest is what it was."""
    pod.agent("verify", version, "--on", "share")
    recorded = json.loads((HOME / "markers" / "plain.status.json").read_bytes())
    assert status(pod)["share"]["releases"][version] == recorded["share"]["releases"][version]


@pytest.mark.parametrize("name", shares.MARKERS)
def test_markers_mean_the_same(name: str, pod: Pod) -> None:
    """A marker names the release that it named, and the same ones before it."""
    mark(pod, name)
    recorded = json.loads((HOME / "markers" / f"{name}.status.json").read_bytes())["share"]
    today = status(pod)["share"]
    assert {key: today[key] for key in recorded} == recorded | {"address": str(pod.share.root)}


def test_markers_are_written_the_same(pod: Pod) -> None:
    """The same commands one after another write the same markers, but for who and when."""
    for name, command in shares.MARKERS.items():
        pod.agent(*command)
        written = (pod.share.root / "VERSION").read_bytes()
        assert without_author(written) == without_author((HOME / "markers" / name).read_bytes())


def test_a_marker_allows_another_space(pod: Pod) -> None:
    """v3 embeds into another space: it is taken with 0.1.0's word on that, and else refused."""
    mark(pod, "plain")
    pod.init().ok()
    mark(pod, "new-space")
    marker = pod.share.root / "VERSION"
    allowed = marker.read_bytes()
    marker.write_bytes(allowed.replace(b"# allow-new-space\n", b""))
    assert "another space" in pod.init().ok().named("init.fell_back")[0]["reason"]
    assert pod.active() == "v2"
    marker.write_bytes(allowed)
    pod.init().ok()
    assert pod.active() == "v3"


def test_the_chain_is_fallen_back_on(pod: Pod) -> None:
    """Where v3 is damaged, an empty store gets what 0.1.0's marker names first after it."""
    mark(pod, "new-space")
    flip(next(pod.share.release("v3").rglob("model.onnx")))
    assert pod.init().ok().named("init.fell_back")
    assert pod.active() == "v2"


def test_a_signature_is_right(pod: Pod) -> None:
    """A release that 0.1.0 signed is let in by its key; one that it did not sign is not."""
    mark(pod, "previous")
    assert not pod.init("--no-fallback", *SIGNER).ok().named("release.unsigned")
    assert pod.active() == "v2"
    pod.agent("verify", "v2", *SIGNER)
    assert_failed(pod.run("verify", "v1", "--on", "share", *SIGNER), 5, "it is not signed")


def test_a_bundle_is_published(pod: Pod, scratch: Path) -> None:
    """A bundle of 0.1.0's becomes the very release, signature and all, or is known to be there."""
    bundle = lay_out("bundle", scratch / "bundle")
    assert pod.agent("publish", "--from", bundle).startswith("Already published: v2")
    shutil.rmtree(pod.share.release("v2"))
    pod.agent("publish", "--from", bundle)
    assert snapshot(pod.share.release("v2")) == snapshot(bundle)


def test_a_release_is_known(pod: Pod, scratch: Path) -> None:
    """To publish what 0.1.0 published, from the same files, finds it published already."""
    tree = sources.write(scratch / "tree")
    said = pod.publish_tree("v1", tree).ok().stdout
    assert said.startswith("Already published: v1")


def test_a_lock_is_respected(scratch: Path) -> None:
    """A publisher of 0.1.0 that may still be at it is named, and nothing of its is touched."""
    lay_out("interrupted", scratch / "share")
    pod = stand(scratch)
    lock = pod.share.root / ".locks" / "publish-v2"
    holder = json.loads(lock.read_bytes())
    # On the machine that it was recorded on, one could see that this publisher is gone.
    there, elsewhere = holder["machine"].encode(), b"x" * len(holder["machine"])
    lock.write_bytes(lock.read_bytes().replace(there, elsewhere))
    before = snapshot(pod.share.root)
    bundle = lay_out("bundle", scratch / "bundle")
    refused = pod.run("publish", "--from", bundle, "--lock-timeout", "0s")
    assert_failed(refused, 9, f"{holder['host']} (since {holder['since']})")
    assert {path: snapshot(pod.share.root)[path] for path in before} == before


def test_a_hand_made_tree_is_still_known(scratch: Path) -> None:
    """Beside a release, `ADOPTED` says which version the tree is: one can go back to it."""
    lay_out("by-hand-published", scratch / "share")
    pod = stand(scratch)
    pod.init().ok()
    assert pod.active() == "v1"
    pod.agent("promote", "unversioned")
    pod.init().ok()
    assert pod.active() == "unversioned"
    recorded = json.loads((HOME / "stores" / "adopted.status.json").read_bytes())["store"]
    assert status(pod)["store"]["releases"]["unversioned"] == recorded["releases"]["unversioned"]
