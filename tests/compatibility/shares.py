"""The shares that are recorded: releases, markers, a bundle, what a killed publisher leaves."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from tests.compatibility import sources
from tests.support.keys import make_key
from tests.support.workers import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.compatibility.trees import Keeper
    from tests.support.pods import Pod

# What is promoted, in turn, and how the marker of that is called.
MARKERS: Final = {
    "plain": ("promote", "v1"),
    "previous": ("promote", "v2"),
    "new-space": ("promote", "v3", "--allow-new-space"),
    "again": ("promote", "v3"),
    "rolled-back": ("rollback",),
    "rolled-back-to": ("rollback", "v1"),
}


def record(pod: Pod, keeper: Keeper) -> None:
    """Fill the pod's share with v1, v2 and v3, and keep it, its markers and a bundle.

    v2 is of v1's embedding space, and signed; v3 is of another space.
    """
    tree = {
        "v1": sources.write(pod.root / "v1"),
        "v2": sources.write(pod.root / "v2", weights="external"),
        "v3": sources.write(pod.root / "v3", weights="fp16", seed=1),
    }
    key = make_key(pod.root)
    signed = ("--sign-key", key.private)
    pod.publish_tree("v1", tree["v1"]).ok()
    interrupted = _interrupted(pod, tree["v2"])
    pod.publish_tree("v2", tree["v2"], *signed).ok()
    pod.publish_tree("v3", tree["v3"]).ok()
    keeper.say("catalog.toml", pod.share.catalog.read_bytes())
    keeper.say("signer.pub", key.public.read_bytes())
    keeper.keep(pod.share.root, "share")
    keeper.keep(interrupted, "interrupted")
    for name, command in MARKERS.items():
        pod.agent(*command)
        keeper.say(f"markers/{name}", (pod.share.root / "VERSION").read_bytes())
        keeper.say(f"markers/{name}.status.json", pod.agent("status", "--json"))
    bundle = pod.root / "bundle"
    pod.publish_tree("v2", tree["v2"], *signed, "--bundle", bundle).ok()
    keeper.keep(bundle, "bundle")


def record_by_hand(pod: Pod, keeper: Keeper) -> None:
    """Keep a hand-made tree, a store that adopted it, and the share once it has a release too."""
    tree = sources.write_by_hand(pod.share.root)
    keeper.keep(pod.share.root, "by-hand")
    pod.agent("init")
    keeper.say("stores/adopted.status.json", pod.agent("status", "--json"))
    keeper.keep(pod.store, "stores/adopted")
    pod.publish_tree("v1", tree).ok()
    pod.agent("promote", "v1")
    keeper.keep(pod.share.root, "by-hand-published")


def _interrupted(pod: Pod, tree: Path) -> Path:
    """Kill a publisher of v2; return a copy of the share with its lock and staging directory."""
    command = ("publish", "--from", tree, "--version", "v2")
    with pod.start(*command) as publisher:
        # Canaries are made once all files are there, and that takes a second or more.
        until(lambda: len(list(pod.share.root.glob(".staging/v2-*/**/model.onnx"))) or None)
        publisher.kill()
        publisher.communicate()
    return shutil.copytree(pod.share.root, pod.root / "interrupted")
