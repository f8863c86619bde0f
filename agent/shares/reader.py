"""Reads and writes the marker on a share, so that no half-written one ever counts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from agent.errors import ReleaseMissingError, UnreachableError, VerificationError
from agent.release import manifest, marker

if TYPE_CHECKING:
    from agent.context import Context
    from agent.release.manifest import Manifest
    from agent.release.marker import Marker
    from agent.shares.base import Share

# Between the two reads that must agree; they count only if they are at most 0.5 s apart.
_PAUSE_SECONDS: Final = 0.1
_APART_SECONDS: Final = 0.5
# A retry in between takes longer than that; then, and where they differ, it is read once more.
_READS: Final = 5


class UnsettledMarkerError(marker.UnknownMarkerError):
    """Two reads in a row differed: somebody is writing."""


def read(share: Share, path: str, *, known: str | None = None) -> bytes | None:
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


def current(context: Context, *, known: str | None = None) -> Marker | None:
    """What the marker says; None where there is none.

    Raises:
        UnknownMarkerError: It says nothing sound.
        UnreachableError: The share does not answer.
    """
    data = context.marker_bytes(known=known)
    return None if data is None else marker.parse(data)


def understood(context: Context, *, known: str | None = None) -> Marker | None:
    """What the marker says; None where there is none, or, with a warning, nothing sound in it.

    With the digest that is `known`, it is read once; see `read`.

    Raises:
        UnreachableError: The share does not answer.
    """
    try:
        return current(context, known=known)
    except UnsettledMarkerError as error:
        raise _unsettled(context, error) from None
    except marker.UnknownMarkerError as error:
        context.log.warning("marker.unknown", reason=str(error))
        return None


def required(context: Context) -> Marker:
    """What the marker says.

    Raises:
        ReleaseMissingError: There is none, or it says nothing sound.
        UnreachableError: The share does not answer.
    """
    try:
        found = current(context)
        reason = "there is none"
    except UnsettledMarkerError as error:
        raise _unsettled(context, error) from None
    except marker.UnknownMarkerError as error:
        found, reason = None, str(error)
    if found is None:
        raise ReleaseMissingError(
            f"The marker {_place(context)} names no release: {reason}.",
            remedy="Write one: model-agent promote VERSION.",
        )
    return found


def _unsettled(context: Context, error: UnsettledMarkerError) -> UnreachableError:
    """It is neither missing nor unsound, so nothing may be built on that."""
    return UnreachableError(
        f"What the marker {_place(context)} says is not sure: {error}.",
        remedy="Try again once the share is quick, and nobody writes the marker.",
    )


def _place(context: Context) -> str:
    return f"{context.settings.marker} on {context.share.address}"


def read_manifest(share: Share, version: str) -> Manifest:
    """The manifest of a release on the share.

    Raises:
        ReleaseMissingError: There is none: the release is missing or not complete yet.
        VerificationError: It is refused, or says another version.
        UnreachableError: The share does not answer.
    """
    path = f"releases/{version}/{manifest.FILE_NAME}"
    data = share.read(path, manifest.MAX_BYTES)
    if data is None:
        there = version in share.names("releases")
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
    home = f"releases/{release.version}"
    nodes = share.tree((home,)).nodes
    for file in release.files:
        node = nodes.get(f"{home}/{file.path}")
        if node is None or node.kind != "file" or node.size != file.size:
            size = "missing" if node is None else f"{node.size} bytes long instead of {file.size}"
            raise ReleaseMissingError(
                f"{file.path} of {release.version} is {size} on the share {share.address}.",
                remedy="Publish the release again under a new version.",
            )
