"""A share with two releases of bge-large, and what the programs of a pod do on it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.release import layout
from tests.support import agents, models
from tests.support.rest import NAME
from tests.support.shares import REVISION
from tests.support.workers import worker

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.support.agents import Result
    from tests.support.workers import Worker

VERSIONS: Final = ("v1", "v2")
FOLDER: Final = layout.repo_folder(models.BGE_LARGE_REPO)
_CATALOG: Final = f"""
version = "v1"
[[model]]
name = "{models.BGE_LARGE}"
loader = "fastembed"
"""
_SECONDS: Final = 600


@dataclass(frozen=True)
class Site:
    """A share, and room for stores.

    Attributes:
        room: For whatever pods leave.
        account: The directory that a double serves; the share is in it.
    """

    room: Path
    account: Path

    @property
    def share(self) -> Path:
        """The share as a directory. Its `fastembed/` is v1 as an operator has it from the Hub."""
        return self.account / NAME

    def env(self, store: Path, **more: str) -> dict[str, str]:
        """The environment of an agent on the share; `more` replaces variables."""
        own = {
            "MODEL_AGENT_SHARE": str(self.share),
            "MODEL_AGENT_STORE": str(store),
            "MODEL_AGENT_DEVICE": "cpu",
            "MODEL_AGENT_LOG_FORMAT": "json",
        }
        return own | more | {"MODEL_AGENT_CATALOG": str(self.room / "catalog.toml")}

    def agent(self, store: Path, *args: str | Path, **more: str) -> Result:
        """Run `model-agent` to its end.

        Raises:
            RuntimeError: It failed.
        """
        done = agents.run(*args, env=self.env(store, **more), timeout=_SECONDS)
        if done.code:
            raise RuntimeError(f"model-agent {args}: {done.sentence}")
        return done

    def promote(self, version: str) -> None:
        """Have the marker name a version; the two share no embedding space."""
        self.agent(self.room, "promote", version, "--allow-new-space")

    def worker(self, store: Path) -> AbstractContextManager[Worker]:
        """Run the embeddings worker on a store while the block runs."""
        log = self.room / f"{store.name}.log"
        return worker(store, model=models.BGE_LARGE, log=log)


def publish(room: Path) -> Site:
    """Publish both releases with optimised weights, and v1's tree as the Hub has it beside them."""
    site = Site(room, room / "account")
    site.share.mkdir(parents=True)
    (room / "catalog.toml").write_text(_CATALOG)
    for seed, version in enumerate(VERSIONS):
        files, tree = room / "files", room / version
        models.write_bge_large(files, seed=seed)
        models.as_hub_cache(tree / "fastembed", models.BGE_LARGE_REPO, REVISION, files)
        shutil.rmtree(files)
        site.agent(room, "publish", "--from", tree, "--version", version, "--optimize")
    (room / VERSIONS[0] / "fastembed").rename(site.share / "fastembed")
    shutil.rmtree(room / VERSIONS[1])
    site.promote(VERSIONS[0])
    return site
