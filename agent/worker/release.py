"""Finds a release in the store and checks that it is the requested one.

The agent verified the files when it staged them. This module makes sure that version, directory and
manifest belong together, and that nothing outside the store is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import AgentError, RefusedError, ReleaseMissingError, VerificationError
from agent.release import manifest
from agent.release.layout import AGENT, CURRENT, RELEASES
from agent.release.target import Target
from agent.release.version import is_version

if TYPE_CHECKING:
    from pathlib import Path

    from agent.release.manifest import Manifest

_REMEDY: Final = f"Ask for path {RELEASES}/<version> of a release that is staged in this store."


@dataclass(frozen=True)
class Release:
    """A release in the store, ready to be loaded.

    Attributes:
        version: The release's version.
        digest: The digest in its manifest.
        path: Its own directory, never `current`, which may point elsewhere a moment later.
        manifest: Its manifest.
        inodes: The inodes of its files, in the manifest's order. They change when the agent repairs
            a file, which it replaces by a new one. -1 for a file that is missing.
    """

    version: str
    digest: str
    path: Path
    manifest: Manifest
    inodes: tuple[int, ...] = ()

    @property
    def agent(self) -> Path:
        """The directory of the agent's records in the store."""
        return self.path.parent.parent / AGENT

    @property
    def target(self) -> Target:
        """The version and digest, which identify the release."""
        return Target(self.version, self.digest)

    def is_same(self, other: Release) -> bool:
        """Return true if it is the same release with the same files, none of them replaced."""
        return self.target == other.target and self.inodes == other.inodes


def resolve_current(store: Path) -> Release:
    """Return the release that `current` names at this moment.

    Raises:
        ReleaseMissingError: There is no `current`.
        RefusedError: It does not point at a release of this store.
        VerificationError: The release has no manifest, or another release's.
    """
    try:
        # Read once: two reads could see two releases, and a model would be loaded from both.
        path = str((store / CURRENT).readlink())
    except OSError:
        raise ReleaseMissingError(
            f"{store / CURRENT} is not a link to a release.",
            remedy="Run model-agent init on this store, or ask for a release on /reload.",
        ) from None
    return _open(store, _version_of(path))


def from_request(store: Path, *, version: str, path: str, digest: str) -> Release:
    """Return the release that a `/reload` requests.

    Args:
        store: The store as this process sees it.
        version: The version that the release must have.
        path: The release's path relative to the store; exactly `releases/<version>`.
        digest: The digest that its manifest must have.

    Raises:
        RefusedError: Path, version and digest do not name one release of this store.
        VerificationError: The release has no manifest, or another release's.
    """
    if _version_of(path) != version:
        raise _refused(f"Path {path[:200]!r} is not that of version {version[:80]!r}.")
    release = _open(store, version)
    if release.digest != digest:
        raise RefusedError(
            f"Release {version} has the digest {release.digest} and {digest[:80]!r} was asked for.",
            remedy="Stage the release again, or ask for the digest in its manifest.",
        )
    return release


def _version_of(path: str) -> str:
    parent, _, version = path.partition("/")
    if parent != RELEASES or not is_version(version):
        raise _refused(f"{path[:200]!r} is not the path of a release.")
    return version


def _open(store: Path, version: str) -> Release:
    directory = store / RELEASES / version
    # A symbolic link in the path could lead out of the store.
    if directory.resolve() != store.resolve() / RELEASES / version or not directory.is_dir():
        raise _refused(f"{directory} is not a directory of this store.")
    found = manifest.parse(_read(directory / manifest.FILE_NAME), where=f"{version}'s manifest")
    if found.version != version:
        raise VerificationError(
            f"Release {version} carries the manifest of {found.version}.",
            remedy="Stage the release again.",
        )
    inodes = tuple(_inode(directory / file.path) for file in found.files)
    return Release(version, found.digest, directory, found, inodes)


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:  # The load of the model will report it.
        return -1


def _read(path: Path) -> bytes:
    # To open a FIFO in its place would wait for a writer for ever.
    if path.is_symlink() or not path.is_file():
        raise _unreadable(path, "it is not a file")
    try:
        with path.open("rb") as file:
            return file.read(manifest.MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error.strerror or error) from None


def _unreadable(path: Path, reason: object) -> VerificationError:
    return VerificationError(f"{path} cannot be read: {reason}.", remedy="Stage the release again.")


def _refused(what: str) -> AgentError:
    return RefusedError(what, remedy=_REMEDY)
