"""What stands in a store besides what the agent has put there, and how the store is reached."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.support.shares import snapshot
from tests.support.workers import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.pods import Pod


def fill(directory: Path, *names: str) -> None:
    """Make files with something in them."""
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("left over")


@case("store", "leftover temporary links and staging")
def test_leftovers(pod: Pod) -> None:
    """A sidecar that starts over what a crash left clears it, and goes on."""
    agent = pod.store / ".agent"
    (pod.store / ".current.0123abcd").symlink_to("releases/v2")
    fill(agent, ".state.json.4567cdef", "verified/.v1.json.89abcdef", "verified/v0.json")
    fill(agent / "staging", "v9/manifest.json", "trash-v0-01234567/x", ".repair/fastembed/x")
    with serving(pod) as running:
        running.settle("v1")
        assert list((agent / "staging").iterdir()) == []
        left = [*pod.store.rglob(".*.????????"), agent / "verified" / "v0.json"]
        assert [path for path in left if os.path.lexists(path)] == []
        running.mark("v2\n")
        running.settle("v2")


@case("store", "half-staged by someone else, with wrong bytes")
def test_staging_of_another(pod: Pod) -> None:
    """What lies in staging is never trusted: the release that comes out of it is right."""
    half = pod.store / ".agent" / "staging" / "v2"
    with serving(pod) as running:
        running.settle("v1")  # it has swept what it found at its start
        shutil.copytree(pod.share.release("v2"), half)
        for path in half.rglob("*.onnx*"):
            path.write_bytes(bytes(path.stat().st_size))
        fill(half, "fastembed/stranger", "manifest.json")
        running.mark("v2\n")
        running.settle("v2")
        pod.agent("verify", "v2")
        assert not (pod.store / "releases" / "v2" / "fastembed" / "stranger").exists()


@case("store", "foreign files")
def test_foreign_files(pod: Pod) -> None:
    """They are left alone through bumps, sweeps and pruning, and they do not disturb."""
    store = pod.store
    names = [
        *("notes.txt", ".hidden", "lost+found/#12", ".agent/other.json"),
        *("releases/README", "releases/no version/x", "releases/v7/fastembed/x"),
    ]
    fill(store, *names)
    (store / "dangling").symlink_to("nowhere")
    strange = {path: snapshot(store)[path] for path in (*names, "dangling")}
    with serving(pod) as running:
        running.allowed.add("v3")
        for version in ("v2", "v3", "v1", "v2"):
            running.mark(f"{version}\n")
            running.settle(version)
        after = snapshot(store)
    assert {path: after.get(path) for path in strange} == strange


@case("store", "a symlink as the root")
def test_a_link_as_the_root(fresh: Pod) -> None:
    """Init, sidecar and worker work through it, and leave the link as it is."""
    real = fresh.root / "volume" / "models"
    real.parent.mkdir()
    fresh.store.rename(real)
    fresh.store.symlink_to("volume/models")
    fresh.agent("promote", "v1")
    fresh.agent("init")
    with serving(fresh) as running:
        running.settle("v1")
        running.mark("v2\n")
        running.settle("v2")
        until(lambda: "no other release" in running.sidecar.status()["doing"])
    assert fresh.store.is_symlink()
    assert (real / "current").resolve() == real / "releases" / "v2"
