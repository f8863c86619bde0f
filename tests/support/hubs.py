"""A pod beside a Hub: the loopback double, with a tiny model in it."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from tests.support import models
from tests.support.hub_double import Hub, name_branch, running_hub
from tests.support.pods import Pod
from tests.support.shares import REVISION, TestShare, built

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.agents import Result
    from tests.support.certificates import Certificate
    from tests.support.hub_double import Hub

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


class HubPod(Pod):
    """A pod whose catalog names a model on a Hub; its share and its store are empty.

    Args:
        root: A directory for all of it.
        hub: The Hub, with its faults and counters.
    """

    def __init__(self, root: Path, hub: Hub) -> None:
        env = {
            "HF_ENDPOINT": hub.url,
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(root / "home"),
            "TMPDIR": str(root / "tmp"),
            "NO_PROXY": "127.0.0.1",
        }
        share = TestShare(root / "share", catalog=root / "catalog.toml", bare=True)
        super().__init__(root, share, env=env)
        self.hub = hub

    @property
    def repo(self) -> Path:
        """The model's files on the Hub, at the pinned revision."""
        return self.root / "hub" / models.MINILM_REPO / REVISION

    @property
    def catalog(self) -> Path:
        """The catalog that names the model."""
        return self.share.catalog

    def publish(self, *args: str | Path, **more: Any) -> Result:
        """Run `publish` on the catalog."""
        return self.run("publish", self.catalog, *args, **more)

    def fetched(self) -> int:
        """Requests for the bytes of files, and not for what they are."""
        counted = self.hub.counters()["operations"]
        return sum(counted.get(name, {}).get("requests", 0) for name in ("Resolve", "Content"))


@contextmanager
def hub_pod(root: Path, *flags: str, certificate: Certificate | None = None) -> Iterator[HubPod]:
    """A pod beside a Hub with a tiny model at a pinned revision, while the block runs."""
    for name in ("tmp", "home", "hub"):
        (root / name).mkdir()
    (root / "catalog.toml").write_text(CATALOG)
    repo = root / "hub" / models.MINILM_REPO
    shutil.copytree(built(), repo / REVISION)
    (repo / REVISION / "README.md").write_text("# A tiny model\n")
    name_branch(root / "hub", models.MINILM_REPO, "main", REVISION)
    with running_hub(root / "hub", *flags, certificate=certificate) as hub:
        yield HubPod(root, hub)
