"""Has the marker name another release: `model-agent promote` and `rollback`."""

from __future__ import annotations

import getpass
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from agent.errors import ReleaseMissingError, VerificationError
from agent.machine.clock import utc_now
from agent.operate.status import distances
from agent.operate.verify import verify_on_share
from agent.publish.source import TreeSource
from agent.release import canary, marker
from agent.release import version as versions
from agent.release.manifest import Manifest
from agent.shares.reader import require_whole
from agent.sync.locate import HandMadeTree, Locator

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.context import Context
    from agent.release.marker import Marker
    from agent.release.space import Guard
    from agent.shares.base import Share
    from agent.shares.reader import ShareReader

_REMEDY: Final = "See model-agent status."


def promote(
    context: Context, version: str, *, check: bool = False, say: Callable[[str], None]
) -> Marker:
    """Have the marker name `version`, which must be complete on the share; return the new marker.

    Args:
        context: The run.
        version: The release.
        check: Whether to read every byte of it first.
        say: Told, line by line, how far its vectors are from those of the release promoted now,
            and which of its models have none to compare.

    Raises:
        ConfigError: It is no version.
        ReleaseMissingError: It is not on the share, or not complete.
        VerificationError: It has other bytes than its manifest says.
        NewSpaceError: It embeds into another space than the one promoted now.
    """
    versions.require(version, remedy=_REMEDY)
    locator = Locator.of(context)
    found = locator.locate(version)
    _require_whole(context, found)
    if check and isinstance(found, Manifest):
        verify_on_share(context.share, found, stop=context.stop, log=context.log)
    for line in canary.missing(found) if isinstance(found, Manifest) else ():
        say(line)
    old = context.reader.understood()
    if old and isinstance(found, Manifest):
        _guard_space(context.guard, context.reader, old.version, found, say)
    # Promoted again, to lift a quarantine, it goes on to be allowed what it was.
    again = old is not None and old.version == version and old.allow_new_space
    allowed = again or context.settings.allow_new_space
    new = marker.promoted(_on_share(locator, old, say), version, allow_new_space=allowed)
    return _write(context.share, context.settings.marker, new)


def rollback(context: Context, version: str | None, *, say: Callable[[str], None]) -> Marker:
    """Have the marker name the release before, or `version`; return the new marker.

    One that the marker does not remember was never served before it: it is held to what `promote`
    holds it to.

    Args:
        context: The run.
        version: The release to go back to; None for the one before.
        say: As for `promote`.

    Raises:
        ConfigError: It is no version.
        ReleaseMissingError: There is no marker, nothing to go back to, or it is not on the share.
        NewSpaceError: It is none of those before, and embeds into another space.
    """
    if version is not None:
        versions.require(version, remedy=_REMEDY)
    old = context.reader.required()
    new = marker.rolled_back(old, version)
    found = Locator.of(context).locate(new.version)
    if new.version not in old.previous:
        _require_whole(context, found)
    if new.version not in old.previous and isinstance(found, Manifest):
        _guard_space(context.guard, context.reader, old.version, found, say)
    return _write(context.share, context.settings.marker, new)


def _require_whole(context: Context, found: Manifest | HandMadeTree) -> None:
    """Refuse what pods could not take: a release that lacks a file, a tree that gives none."""
    if isinstance(found, Manifest):
        require_whole(context.share, found)
    else:
        TreeSource.of(context.share, context.contents, found.suffix).plan()


def _on_share(locator: Locator, old: Marker | None, say: Callable[[str], None]) -> Marker | None:
    """Return the old marker without what the share lacks, which nobody could go back to."""
    if old is None:
        return None
    chain: list[str] = []
    for version in old.chain:
        try:
            locator.locate(version)
        except (ReleaseMissingError, VerificationError) as error:
            say(f"{version} cannot be gone back to: {error.what}")
        else:
            chain.append(version)
    return replace(old, version=chain[0], previous=tuple(chain[1:])) if chain else None


def _guard_space(
    guard: Guard, reader: ShareReader, active: str, new: Manifest, say: Callable[[str], None]
) -> None:
    """Show how far the two are apart, and refuse what every pod would refuse."""
    try:
        old = reader.manifest(active)
    except (ReleaseMissingError, VerificationError):
        return
    for line in distances(old, new):
        say(line)
    guard.check(old, new)


def _write(share: Share, path: str, new: Marker) -> Marker:
    share.write(path, marker.render(new, by=f"{_user()}@{socket.gethostname()}", at=utc_now()))
    return new


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an arbitrary uid has no name
        return "unknown"
