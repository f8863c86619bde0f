"""Pods that tests and recordings stand on: their releases are of three kinds of loaders."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.compatibility import old, sources
from tests.support.pods import Pod
from tests.support.shares import TestShare

if TYPE_CHECKING:
    from pathlib import Path


def stand(root: Path, *, first: bool = False) -> Pod:
    """Return a pod in `root`, with what is there already.

    Args:
        root: Where it is; made if it is missing.
        first: Have the agent be 0.1.0's.
    """
    root.mkdir(parents=True, exist_ok=True)
    catalog = root / "catalog.toml"
    catalog.write_text(sources.CATALOG)
    share = TestShare(root / "share", catalog=catalog, bare=True)
    made = Pod(root, share, env=old.ALONE if first else None)
    if first:
        made.program = old.AGENT
    return made


def status(pod: Pod) -> dict[str, Any]:
    """Return what `status --json` says."""
    said: dict[str, Any] = json.loads(pod.agent("status", "--json"))
    return said


def digest(pod: Pod, version: str) -> str:
    """Return the digest of a release in the store."""
    found: str = status(pod)["store"]["releases"][version]
    return found
