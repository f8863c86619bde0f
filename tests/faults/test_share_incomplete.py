"""A release that is not complete when it is promoted, and is later: nobody touches the marker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.support.workers import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.serving import Serving
    from tests.support.pods import Pod


def release_of(pod: Pod) -> Path:
    """Where v2 is on the share."""
    return pod.share.release("v2")


def weights_of(pod: Pod) -> Path:
    """The weights of v2, a file that no other release has."""
    return next(release_of(pod).rglob("*.onnx.data"))


def wait_for_error(running: Serving, said: str) -> None:
    """Wait until `/status` says this of v2, and see that the release before it stays."""
    until(lambda: said in (running.sidecar.status()["last_error"] or ""))
    assert "v2" in running.sidecar.status()["last_error"]
    assert running.sidecar.metric('model_agent_syncs_total{status="error"}') >= 1
    assert not (running.pod.store / "releases" / "v2").exists()
    running.assert_active("v1")


def settle(running: Serving) -> None:
    """Wait until v2 is served, and nothing is held against it."""
    running.settle("v2")
    assert running.sidecar.status()["last_error"] is None
    assert running.sidecar.status()["quarantined"] == {}
    assert running.sidecar.metric("model_agent_quarantined_releases") == 0


@case("share", "release missing now, there later")
def test_the_release_arrives(pod: Pod) -> None:
    """The old release stays, `/status` says what is missing, and the next poll finds it."""
    aside = release_of(pod).rename(pod.root / "aside")
    with serving(pod) as running:
        running.mark("v2\n")
        wait_for_error(running, "v2 is missing")
        aside.rename(release_of(pod))
        settle(running)


@case("share", "release incomplete now, complete later: its manifest comes last")
def test_the_manifest_comes_last(pod: Pod) -> None:
    """Without a manifest it is not complete; the next poll after it came stages the release."""
    manifest = release_of(pod) / "manifest.json"
    aside = manifest.rename(pod.root / "manifest.json")
    with serving(pod) as running:
        running.mark("v2\n")
        wait_for_error(running, "v2 is not complete")
        aside.rename(manifest)
        settle(running)


@case("share", "release incomplete now, complete later: files come after the manifest")
def test_files_come_after_the_manifest(pod: Pod) -> None:
    """What is missing is named, nothing is quarantined, and it is tried again by itself."""
    weights = weights_of(pod)
    aside = weights.rename(pod.root / "weights")
    with serving(pod) as running:
        running.mark("v2\n")
        wait_for_error(running, f"{weights.name} is missing")
        assert running.sidecar.status()["quarantined"] == {}
        aside.rename(weights)
        settle(running)


@case("share", "release incomplete now, complete later: a file still grows")
def test_a_file_that_grows(pod: Pod) -> None:
    """A file that is shorter than the manifest says is not a bad one: it is waited for."""
    weights = weights_of(pod)
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with serving(pod) as running:
        running.mark("v2\n")
        wait_for_error(running, f"shorter than its {len(whole)} bytes")
        assert running.sidecar.status()["quarantined"] == {}
        with weights.open("ab") as file:
            file.write(whole[len(whole) // 2 :])
        settle(running)


@case("share", "release incomplete now, complete later: its manifest is torn")
def test_a_torn_manifest(pod: Pod) -> None:
    """It is quarantined with the reason; another manifest is another release and ends that."""
    manifest = release_of(pod) / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[: len(whole) // 2])
    with serving(pod) as running:
        running.mark("v2\n")
        running.sidecar.wait_for("release.quarantined", version="v2")
        assert "manifest.json is refused" in running.sidecar.status()["quarantined"]["v2"]["reason"]
        running.assert_active("v1")
        manifest.write_bytes(whole)
        settle(running)
