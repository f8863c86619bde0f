"""A Hub for real `model-agent` processes: the loopback double, with a tiny model in it."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.support import agents, models
from tests.support.hub_double import Hub, name_branch, running_hub
from tests.support.shares import REVISION, built

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.agents import Result
    from tests.support.certificates import Certificate

VERSION: Final = "2026-11-25"
NEWER: Final = "f" * 40
CATALOG: Final = f"""\
version = "{VERSION}"
[[model]]
name = "{models.MINILM}"
loader = "fastembed"
revision = "{REVISION}"
optimize = true
"""


@dataclass(frozen=True)
class Site:
    """Where a catalog is made a release: a Hub, a share in a directory, a store.

    Attributes:
        root: A directory for all of it.
        hub: The Hub, with its faults and counters.
    """

    root: Path
    hub: Hub

    @property
    def repo(self) -> Path:
        """The model's files on the Hub, at the pinned revision."""
        return self.root / "hub" / models.MINILM_REPO / REVISION

    @property
    def catalog(self) -> Path:
        """The catalog that names the model."""
        return self.root / "catalog.toml"

    @property
    def share(self) -> Path:
        """An empty share."""
        return self.root / "share"

    @property
    def store(self) -> Path:
        """An empty store."""
        return self.root / "store"

    def env(self, **more: str) -> dict[str, str]:
        """The environment of an agent here."""
        return {
            "MODEL_AGENT_SHARE": str(self.share),
            "MODEL_AGENT_STORE": str(self.store),
            "MODEL_AGENT_CATALOG": str(self.catalog),
            "MODEL_AGENT_DEVICE": "cpu",
            "HF_ENDPOINT": self.hub.url,
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "NO_PROXY": "127.0.0.1",
        } | more

    def run(self, *args: str | Path, env: Mapping[str, str] | None = None, **more: Any) -> Result:
        """Run `model-agent` to its end; `env` replaces variables."""
        return agents.run(*args, env=self.env(**dict(env or {})), **more)

    def publish(self, *args: str | Path, env: Mapping[str, str] | None = None) -> Result:
        """Run `publish` on the catalog."""
        return self.run("publish", self.catalog, *args, env=env)

    def fetched(self) -> int:
        """Requests for the bytes of files, and not for what they are."""
        counted = self.hub.counters()["operations"]
        return sum(counted.get(name, {}).get("requests", 0) for name in ("Resolve", "Content"))


@contextmanager
def site(root: Path, *flags: str, certificate: Certificate | None = None) -> Iterator[Site]:
    """A Hub with a tiny model at a pinned revision, while the block runs."""
    for name in ("share", "store", "tmp", "home", "hub"):
        (root / name).mkdir()
    (root / "catalog.toml").write_text(CATALOG)
    repo = root / "hub" / models.MINILM_REPO
    shutil.copytree(built(), repo / REVISION)
    (repo / REVISION / "README.md").write_text("# A tiny model\n")
    name_branch(root / "hub", models.MINILM_REPO, "main", REVISION)
    with running_hub(root / "hub", *flags, certificate=certificate) as hub:
        yield Site(root, hub)
