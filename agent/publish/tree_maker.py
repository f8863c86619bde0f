"""Makes a release of a tree as operators make it by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import RefusedError
from agent.publish.source import TreeSource
from agent.release import layout
from agent.shares.directory import DirectoryShare

if TYPE_CHECKING:
    from pathlib import Path

    from agent.publish.workshop import Workshop
    from agent.release.manifest import Manifest


class TreeMaker:
    """Makes a release of a tree.

    Args:
        workshop: Builds the release.
        directory: The directory that holds the tree.
        version: The version of the release.

    Raises:
        ReleaseMissingError: The tree lacks a file; it is named.
        RefusedError: There are two trees, and either could be meant.
    """

    def __init__(self, workshop: Workshop, directory: Path, version: str) -> None:
        self.version = version
        self._workshop = workshop
        suffix = _suffix(directory, version)
        tree, strict = DirectoryShare(directory), workshop.contents.strict
        self._source = TreeSource(tree, workshop.wanted, suffix, strict=strict)
        self._plan = self._source.plan()

    def would_make(self, _there: Manifest) -> bool:
        """Return False: that is known only once the release is made."""
        return False

    def make(self, target: Path) -> Manifest:
        """Build the release; see `Maker`."""
        expected = self._workshop.contents.expected
        return self._workshop.build(
            self._source, self._plan, self.version, target, expected=expected
        )

    def done(self) -> None:
        """Nothing was kept."""


def _suffix(directory: Path, version: str) -> str:
    """Return the end that the tree's directories have, as in adoption: `fastembed-v2/` is v2."""
    there = [root for root in layout.ROOTS if (directory / root).is_dir()]
    suffix = layout.suffix([path.name for path in directory.glob("*-*")], version)
    if suffix and there:
        raise RefusedError(
            f"{directory} holds {there[0]}/, and directories that end in {suffix}: either could be "
            f"meant by {version}.",
            remedy="Publish under another version, or from a directory that holds one tree.",
        )
    return suffix
