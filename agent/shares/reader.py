"""Reads a share within deadlines: the marker, manifests, signatures and names."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from agent.errors import ReleaseMissingError, UnreachableError, VerificationError
from agent.machine.threads import Lane
from agent.release import manifest, marker
from agent.release.layout import RELEASES
from agent.release.version import is_version
from agent.signing import keys

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from agent.release.manifest import Manifest
    from agent.release.marker import Marker
    from agent.shares.base import Share

MARKER_SECONDS: Final = 10.0
MANIFEST_SECONDS: Final = 60.0
# Between the two reads that must agree; they count only if they are at most 0.5 s apart.
_PAUSE_SECONDS: Final = 0.1
_APART_SECONDS: Final = 0.5
# A retry in between takes longer than that; then, and where they differ, it is read once more.
_READS: Final = 5
_WRITE: Final = "Write one: model-agent promote VERSION."


class UnsettledMarkerError(marker.UnknownMarkerError):
    """Two reads in a row differed: somebody is writing."""


def read_marker(share: Share, path: str, *, known: str | None = None) -> bytes | None:
    """The marker's bytes, or None where there is no marker.

    New bytes count only once they were read twice: a writer may be half way. Bytes whose digest was
    `known` before count at once.

    Raises:
        UnsettledMarkerError: They changed between the two reads, or the reads took too long.
        UnreachableError: The share does not answer.
    """
    last = share.read(path, marker.MAX_BYTES)
    if last is None or marker.digest(last) == known:
        return last
    reason = ""
    for _ in range(_READS - 1):
        began = time.monotonic()
        time.sleep(_PAUSE_SECONDS)
        data = share.read(path, marker.MAX_BYTES)
        if data != last:
            reason = "it is being written"
        elif time.monotonic() - began > _APART_SECONDS:
            reason = "reading it twice took too long to be sure"
        else:
            return data
        last = data
    raise UnsettledMarkerError(reason)


class ShareReader:
    """What a share says, each answer within a deadline.

    Args:
        share: The share.
        marker: The marker's path on it.
        log: Told of a marker that says nothing sound.
    """

    def __init__(self, share: Share, marker: str, log: FilteringBoundLogger) -> None:
        self.share = share
        self._marker = marker
        self._log = log
        named = f"The share {share.address}"
        self._marker_lane = Lane(named, seconds=MARKER_SECONDS)
        self._lane = Lane(named, seconds=MANIFEST_SECONDS)

    @property
    def address(self) -> str:
        """The share, as people know it."""
        return self.share.address

    def marker_bytes(self, *, known: str | None = None) -> bytes | None:
        """Return the marker's bytes, or None where there is none; see `read_marker`."""
        return self._marker_lane.call(read_marker, self.share, self._marker, known=known)

    def marker(self, *, known: str | None = None) -> Marker | None:
        """Return what the marker says, or None where there is none.

        Raises:
            UnknownMarkerError: It says nothing sound.
            UnreachableError: The share does not answer.
        """
        data = self.marker_bytes(known=known)
        return None if data is None else marker.parse(data)

    def understood(self, *, known: str | None = None) -> Marker | None:
        """Return what the marker says, or None, with a warning if nothing in it is sound.

        Raises:
            UnreachableError: The share does not answer.
        """
        try:
            return self.marker(known=known)
        except UnsettledMarkerError as error:
            raise self._unsettled(error) from None
        except marker.UnknownMarkerError as error:
            self._log.warning("marker.unknown", reason=str(error))
            return None

    def sound(self) -> Marker | None:
        """Return what the marker says, or None where there is none.

        Raises:
            ReleaseMissingError: It says nothing sound.
            UnreachableError: The share does not answer.
        """
        try:
            return self.marker()
        except UnsettledMarkerError as error:
            raise self._unsettled(error) from None
        except marker.UnknownMarkerError as error:
            raise ReleaseMissingError(
                f"The marker {self._place} names no release: {error}.", remedy=_WRITE
            ) from None

    def required(self) -> Marker:
        """Return what the marker says.

        Raises:
            ReleaseMissingError: There is none, or it says nothing sound.
            UnreachableError: The share does not answer.
        """
        found = self.sound()
        if found is None:
            raise ReleaseMissingError(f"There is no marker {self._place}.", remedy=_WRITE)
        return found

    def manifest(self, version: str) -> Manifest:
        """Return the manifest of a release; see `read_manifest`."""
        return self._lane.call(read_manifest, self.share, version)

    def signature(self, version: str) -> bytes | None:
        """Return the signature beside the manifest of a release; None if there is none."""
        path = f"{RELEASES}/{version}/{manifest.SIGNATURE}"
        return self._lane.call(self.share.read, path, keys.MAX_BYTES)

    def names(self, path: str) -> tuple[str, ...]:
        """Return the names in a directory; none if it is not there."""
        return self._lane.call(self.share.names, path)

    def releases(self) -> tuple[str, ...]:
        """Return the releases, complete or not, without names that no release may have."""
        return tuple(name for name in self.names(RELEASES) if is_version(name))

    def read(self, path: str) -> bytes | None:
        """Return a small file; see `agent.shares.base.Share.read`."""
        return self._lane.call(self.share.read, path, marker.MAX_BYTES)

    @property
    def _place(self) -> str:
        return f"{self._marker} on {self.address}"

    def _unsettled(self, error: UnsettledMarkerError) -> UnreachableError:
        """It is neither missing nor unsound, so nothing may be built on that."""
        return UnreachableError(
            f"What the marker {self._place} says is not sure: {error}.",
            remedy="Try again once the share is quick, and nobody writes the marker.",
        )


def read_manifest(share: Share, version: str) -> Manifest:
    """The manifest of a release on the share.

    Raises:
        ReleaseMissingError: There is none: the release is missing or not complete yet.
        VerificationError: It is refused, or says another version.
        UnreachableError: The share does not answer.
    """
    path = f"{RELEASES}/{version}/{manifest.FILE_NAME}"
    data = share.read(path, manifest.MAX_BYTES)
    if data is None:
        there = version in share.names(RELEASES)
        raise ReleaseMissingError(
            f"The release {version} is {'not complete' if there else 'missing'} on the share "
            f"{share.address}: there is no {path}.",
            remedy="Publish it, or promote a version that is there.",
        )
    found = manifest.parse(data, where=path)
    if found.version != version:
        raise VerificationError(
            f"{path} says version {found.version}.",
            remedy="Publish the release under its own version.",
        )
    return found


def require_whole(share: Share, release: Manifest) -> None:
    """See that every file of a release is on the share with its size; its bytes are not read.

    Raises:
        ReleaseMissingError: A file is not there, or shorter or longer than the manifest says.
        UnreachableError: The share does not answer.
    """
    home = f"{RELEASES}/{release.version}"
    nodes = share.tree((home,)).nodes
    for file in release.files:
        node = nodes.get(f"{home}/{file.path}")
        if node is None or node.kind != "file" or node.size != file.size:
            size = "missing" if node is None else f"{node.size} bytes long instead of {file.size}"
            raise ReleaseMissingError(
                f"{file.path} of {release.version} is {size} on the share {share.address}.",
                remedy="Publish the release again under a new version.",
            )
