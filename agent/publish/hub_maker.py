"""Makes a release of the catalog's models, as the Hub has them at their revisions."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from agent.files import disk, progress, scratch
from agent.files.progress import ByteCounter
from agent.publish.source import TreeSource
from agent.shares.directory import DirectoryShare

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from agent.hub.protocol import Resolved
    from agent.publish.workshop import Workshop
    from agent.release.manifest import Manifest


class HubMaker:
    """Makes a release of the catalog's models.

    What is fetched stays in TMPDIR until `done`, so that another try goes on with it.

    Args:
        workshop: Has the catalog and the Hub, and builds the release.
        version: The version of the release.

    Raises:
        ConfigError: The catalog is refused, or a model is not known.
    """

    def __init__(self, workshop: Workshop, version: str) -> None:
        self.version = version
        self._workshop = workshop
        self._wanted = workshop.wanted
        self._kept = ExitStack()

    def would_make(self, there: Manifest) -> bool:
        """Return whether a release holds the very models that would be fetched now."""
        held = {model.ref for model in there.models}
        return held == {found.ref for found in self._workshop.hub.resolve(self._wanted)}

    def make(self, target: Path) -> Manifest:
        """Fetch the models and build the release; see `Maker`."""
        downloads = self._kept.enter_context(scratch.kept("hub"))
        return fetch_and_build(self._workshop, downloads, self.version, target)

    def done(self) -> None:
        """Delete what was fetched."""
        self._kept.close()


def fetch_and_build(
    workshop: Workshop,
    downloads: Path,
    version: str,
    target: Path,
    *,
    need: Callable[[int], None] | None = None,
) -> Manifest:
    """Fetch the catalog's models into `downloads`, and make the release of them in `target`.

    Args:
        workshop: Has the catalog and the Hub, and builds the release.
        downloads: Where to; what is there already is used.
        version: The version of the release.
        target: An empty directory.
        need: Refuses if so many bytes are too many, before the first one is fetched.

    Raises:
        AgentError: As `Hub.fetch` and `Workshop.build` raise.
    """
    wanted, moved = workshop.wanted, ByteCounter()
    resolved = workshop.hub.resolve(wanted)
    for each in resolved:
        workshop.log.info("hub.resolved", repo=each.ref.repo, revision=each.ref.revision)
    total = _total(resolved)
    # Weights that are optimised stand there twice for a while.
    times = 2 if any(want.optimize for want in wanted) else 1
    (need or partial(disk.require, downloads))(max(0, times * total - disk.own_bytes(downloads)))
    with progress.shown(workshop.log, "fetch", moved, total):
        workshop.hub.fetch(resolved, downloads, moved)
    tree = TreeSource(DirectoryShare(downloads), wanted, owned=downloads)
    expected = workshop.contents.catalog.expected
    return workshop.build(tree, tree.plan(), version, target, expected=expected)


def _total(resolved: Sequence[Resolved]) -> int:
    """Return the bytes of all files that are fetched."""
    return sum(file.size for model in resolved for file in model.files)
