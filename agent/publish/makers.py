"""Chooses what makes a release: of a tree, of a bundle, or of the catalog's models on the Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from agent.errors import ConfigError
from agent.publish.bundle_maker import BundleMaker
from agent.publish.hub_maker import HubMaker
from agent.publish.tree_maker import TreeMaker
from agent.release import manifest
from agent.release import version as versions

if TYPE_CHECKING:
    from pathlib import Path

    from agent.publish.workshop import Workshop
    from agent.release.manifest import Manifest

_REMEDY: Final = "Use letters, digits, dots, dashes and underscores, at most 63 of them."


class Maker(Protocol):
    """Makes one release."""

    @property
    def version(self) -> str:
        """The version of the release."""
        ...

    def would_make(self, there: Manifest) -> bool:
        """Return whether a release on the share is known to be this one before it is made.

        Raises:
            AgentError: That cannot be found out.
        """
        ...

    def make(self, target: Path) -> Manifest:
        """Fill an empty directory with the release, its manifest last, and return the manifest.

        Raises:
            PickleError: The release holds pickles, and none are allowed.
            AgentError: It cannot be made.
        """
        ...

    def done(self) -> None:
        """Delete what was kept for another try: the release is out."""
        ...


def choose(workshop: Workshop, source: Path | None, version: str | None) -> Maker:
    """Return the maker for a directory; without one, that for the catalog's models.

    Raises:
        AgentError: As `of_directory` and `of_catalog` raise.
    """
    return of_directory(workshop, source, version) if source else of_catalog(workshop, version)


def of_directory(workshop: Workshop, directory: Path, version: str | None) -> Maker:
    """Return the maker for a tree, or for a bundle: a directory that has a manifest.

    Raises:
        ConfigError: It is no directory, or the version is missing or not the bundle's.
        VerificationError: The bundle's manifest is refused.
        ReleaseMissingError: The tree lacks a file.
        RefusedError: There are two trees, and either could be meant.
    """
    data = _manifest_of(directory)
    if data is not None:
        release = manifest.parse(data, where=str(directory / manifest.FILE_NAME))
        if version not in {None, release.version}:
            raise ConfigError(
                f"The bundle {directory} is the release {release.version}, not {version}.",
                remedy="Leave --version out.",
            )
        return BundleMaker(workshop, directory, release)
    if version is None:
        raise ConfigError("--version is missing.", remedy="See model-agent publish --help.")
    versions.require(version, remedy=_REMEDY)
    return TreeMaker(workshop, directory, version)


def of_catalog(workshop: Workshop, version: str | None) -> HubMaker:
    """Return the maker for the catalog's models; the version is the catalog's if none is given.

    Raises:
        ConfigError: The version is no version, the catalog is refused, or a model is not known.
    """
    version = version or workshop.contents.catalog.version
    versions.require(version, remedy=_REMEDY)
    return HubMaker(workshop, version)


def _manifest_of(directory: Path) -> bytes | None:
    """Return the bytes of a bundle's manifest; None for a tree, which has none."""
    path = directory / manifest.FILE_NAME
    try:
        there = directory.is_dir()
        data = path.read_bytes() if path.is_file() else None
    except OSError as error:
        what = f"{directory} cannot be read: {error.strerror}."
        raise ConfigError(what, remedy="Run as a user who may, or check --from.") from None
    if not there:
        raise ConfigError(f"{directory} is not a directory.", remedy="Check --from.")
    return data
