"""What docs/migration.md has a team with a hand-filled share type, typed: it works as said."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

import pytest

from tests.support import agents
from tests.support.shares import snapshot
from tests.support.walkthrough import Terminal

if TYPE_CHECKING:
    from pathlib import Path

PAGE: Final = agents.REPO / "docs" / "migration.md"
# What writes manifests is tests/k8s/test_docs.py's.
MANIFESTS: Final = {"today", "with-agent", "hot"}


@pytest.mark.slow
def test_a_share_that_was_filled_by_hand(
    tmp_path: Path, tiny_dir: Path, minilm_safetensors_dir: Path
) -> None:
    """A flat tree is adopted without a byte of the share changing, then named, then published."""
    share = tmp_path / "share"
    shutil.copytree(tiny_dir, share / "fastembed/models--BAAI--bge-large-en-v1.5")
    shutil.copytree(minilm_safetensors_dir, share / "sentence_transformers/all-MiniLM-L6-v2")
    before = snapshot(share)
    path = f"{agents.PROGRAM.parent}:{os.environ['PATH']}"
    env = agents.environment({"PATH": path, "TMPDIR": str(tmp_path)})
    terminal = Terminal(PAGE, tmp_path, env, {"/mnt/share": str(share)})
    for name in ("look", "rehearse", "tidy"):
        terminal.type(name)
    assert snapshot(share) == before
    for name in ("marker", "publish", "back"):
        terminal.type(name)
    assert {name: snapshot(share)[name] for name in before} == before
    assert terminal.left == MANIFESTS
