"""Reads a share within deadlines: the marker, manifests, signatures and names."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from agent.errors import ReleaseMissingError, UnreachableError, VerificationError, forbidden
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
# The pause between the two reads that must agree. They count only if at most 0.5 s apart.
_PAUSE_SECONDS: Final = 0.1
_APART_SECONDS: Final = 0.5
# Reads at most. A retry in between takes longer than 0.5 s; the marker is then read once more, as
# it is after two reads that differ.
_READS: Final = 5
_WRITE: Final = "Write one: model-agent promote VERSION."


class MalformedMarkerError(ReleaseMissingError):
    """There is a marker, and it names no release: another one must not be taken in its place.

    Attributes:
        reason: Why it names none.
    """

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"The marker {place} names no release: {reason}.", remedy=_WRITE)
        self.reason = reason


class UnsettledMarkerError(marker.UnknownMarkerError):
    """Two reads in a row differed, or took too long to count: somebody may be writing."""


def read_marker(share: Share, path: str, *, known: str | None = None) -> bytes | None:
    """Return the marker's bytes, or None if there is no marker.

    New bytes count only if two reads agree: a writer may have written only a part. Bytes whose
    digest is `known` count after one read.

    Raises:
        UnsettledMarkerError: The bytes changed between the two reads, or the reads took too long.
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
    """Reads a share; each call has a deadline.

    Args:
        share: The share.
        marker: The marker's path on it.
        log: Receives a warning about a marker that cannot be parsed.
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
        """The share's address, for logs and errors."""
        return self.share.address

    def marker_bytes(self, *, known: str | None = None) -> bytes | None:
        """Return the marker's bytes, or None if there is no marker; see `read_marker`."""
        return self._marker_lane.call(read_marker, self.share, self._marker, known=known)

    def marker(self, *, known: str | None = None) -> Marker | None:
        """Return the parsed marker, or None if there is no marker.

        Raises:
            UnknownMarkerError: It cannot be parsed, or cannot be read reliably.
            UnreachableError: The share does not answer.
        """
        data = self.marker_bytes(known=known)
        return None if data is None else marker.parse(data)

    def understood(self) -> Marker | None:
        """Return the parsed marker, or None if there is none or, with a warning, it is malformed.

        Raises:
            UnreachableError: The share does not answer, or the marker cannot be read reliably.
        """
        try:
            return self.sound()
        except MalformedMarkerError as error:
            self._log.warning("marker.unknown", reason=error.reason)
            return None

    def sound(self, *, known: str | None = None) -> Marker | None:
        """Return the parsed marker, or None if there is no marker.

        Raises:
            MalformedMarkerError: The marker cannot be parsed.
            UnreachableError: The share does not answer, or the marker cannot be read reliably.
        """
        try:
            return self.marker(known=known)
        except UnsettledMarkerError as error:
            raise self._unsettled(error) from None
        except marker.UnknownMarkerError as error:
            raise MalformedMarkerError(self._place, str(error)) from None

    def required(self) -> Marker:
        """Return the parsed marker.

        Raises:
            ReleaseMissingError: There is no marker, or it cannot be parsed.
            UnreachableError: The share does not answer, or the marker cannot be read reliably.
        """
        found = self.sound()
        if found is None:
            raise ReleaseMissingError(f"There is no marker {self._place}.", remedy=_WRITE)
        return found

    def manifest(self, version: str) -> Manifest:
        """Return the manifest of a release; see `read_manifest`."""
        return self._lane.call(read_manifest, self.share, version)

    def signature(self, version: str) -> bytes | None:
        """Return the signature beside a release's manifest; None if there is none."""
        path = f"{RELEASES}/{version}/{manifest.SIGNATURE}"
        return self._lane.call(self.share.read, path, keys.MAX_BYTES)

    def names(self, path: str) -> tuple[str, ...]:
        """Return the names in a directory; empty if there is no such directory."""
        return self._lane.call(self.share.names, path)

    def releases(self) -> tuple[str, ...]:
        """Return the versions on the share, complete or not; other names are left out."""
        return tuple(name for name in self.names(RELEASES) if is_version(name))

    def read(self, path: str) -> bytes | None:
        """Return a small file's bytes; see `agent.shares.base.Share.read`."""
        return self._lane.call(self.share.read, path, marker.MAX_BYTES)

    @property
    def _place(self) -> str:
        return f"{self._marker} on {self.address}"

    def _unsettled(self, error: UnsettledMarkerError) -> UnreachableError:
        """Return the error for a marker that may be sound: it is unread, not malformed."""
        return UnreachableError(
            f"The marker {self._place} cannot be read reliably: {error}.",
            remedy="Try again once the share answers faster and nobody writes the marker.",
        )


def read_manifest(share: Share, version: str) -> Manifest:
    """Return the manifest of a release on the share.

    Raises:
        ReleaseMissingError: There is no manifest: the release is missing or not complete yet.
        VerificationError: The manifest is refused, or is for another version.
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
    """Raise unless every file of a release is on the share with its size; no file is read.

    Raises:
        ReleaseMissingError: A file is missing, or shorter or longer than the manifest says.
        UnreachableError: The share does not answer.
    """
    home = f"{RELEASES}/{release.version}"
    nodes = share.tree((home,)).nodes
    if closed := next((path for path, n in nodes.items() if n.kind == "unreadable"), None):
        raise forbidden(closed, share.address)
    for file in release.files:
        node = nodes.get(f"{home}/{file.path}")
        if node is None or node.kind != "file" or node.size != file.size:
            size = "missing" if node is None else f"{node.size} bytes long instead of {file.size}"
            raise ReleaseMissingError(
                f"{file.path} of {release.version} is {size} on the share {share.address}.",
                remedy="Publish the release again under a new version.",
            )
