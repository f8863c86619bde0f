"""A share with two releases of bge-large, and what the programs of a pod do on it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Final

from agent.release import layout
from tests.support import models
from tests.support.pods import Pod
from tests.support.rest import NAME
from tests.support.shares import REVISION, TestShare
from tests.support.workers import worker

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.support.workers import Worker

VERSIONS: Final = ("v1", "v2")
FOLDER: Final = layout.repo_folder(models.BGE_LARGE_REPO)
_CATALOG: Final = f"""
version = "v1"
[[model]]
name = "{models.BGE_LARGE}"
loader = "fastembed"
"""


class LargePod(Pod):
    """A pod on a share with two releases of bge-large.

    The share's `fastembed/` is v1 as an operator has it from the Hub.
    """

    seconds = 600.0

    def promote(self, version: str) -> None:
        """Have the marker name a version; the two share no embedding space."""
        self.agent("promote", version, "--allow-new-space")

    def worker(
        self, *flags: str, model: str = models.BGE_LARGE, **more: Any
    ) -> AbstractContextManager[Worker]:
        """Run the embeddings worker, on all cores, while the block runs."""
        log = self.root / f"{self.store.name}.log"
        return worker(self.store, *flags, model=model, log=log, **more)


def publish(room: Path) -> LargePod:
    """Publish both releases with optimised weights, and v1's tree as the Hub has it beside them."""
    share = TestShare(room / "account" / NAME, catalog=room / "catalog.toml")
    share.catalog.write_text(_CATALOG)
    made = LargePod(room, share)
    for seed, version in enumerate(VERSIONS):
        files, tree = room / "files", room / version
        models.write_bge_large(files, seed=seed)
        models.as_hub_cache(tree / "fastembed", models.BGE_LARGE_REPO, REVISION, files)
        shutil.rmtree(files)
        made.publish_tree(version, tree, "--optimize").ok()
    (room / VERSIONS[0] / "fastembed").rename(share.root / "fastembed")
    shutil.rmtree(room / VERSIONS[1])
    made.promote(VERSIONS[0])
    return made
