"""What operators do with a release that is on the share: promote, roll back, verify."""

from __future__ import annotations

import getpass
import socket
from typing import TYPE_CHECKING

from agent.errors import ConfigError, ReleaseMissingError, VerificationError
from agent.files import progress
from agent.files import verify as verifying
from agent.files.progress import ByteCounter
from agent.machine.clock import utc_now
from agent.operate import status
from agent.release import marker
from agent.release.layout import RELEASES
from agent.release.manifest import Manifest
from agent.release.version import is_version
from agent.shares import reader
from agent.signing import stored
from agent.store import intact
from agent.sync.locate import HandMadeTree, Locator

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.context import Context
    from agent.release.marker import Marker
    from agent.warmup.protocol import Measured


def promote(
    context: Context,
    version: str,
    *,
    check: bool = False,
    say: Callable[[str], None],
) -> Marker:
    """Have the marker name `version`, which must be complete on the share.

    Args:
        context: What to work with.
        version: The release.
        check: Whether to read every byte of it first.
        say: Told, line by line, how far its vectors are from those of the release promoted now.

    Raises:
        ConfigError: It is no version.
        ReleaseMissingError: It is not on the share, or not complete.
        VerificationError: It has other bytes than its manifest says.
        NewSpaceError: It embeds into another space than the one promoted now.
    """
    _require_version(version)
    found = Locator.of(context).locate(version)
    if not isinstance(found, HandMadeTree):
        reader.require_whole(context.share, found)
        if check:
            _verify_on_share(context, found)
    old = context.reader.understood()
    if old and isinstance(found, Manifest):
        _guard_space(context, old.version, found, say)
    # Promoted again, to lift a quarantine, it goes on to be allowed what it was.
    again = old is not None and old.version == version and old.allow_new_space
    allowed = again or context.settings.allow_new_space
    return _write(context, marker.promoted(old, version, allow_new_space=allowed))


def rollback(context: Context, version: str | None, *, say: Callable[[str], None]) -> Marker:
    """Have the marker name the release before, or `version`.

    One that the marker does not remember was never served before it: it is held to what `promote`
    holds it to.

    Raises:
        ReleaseMissingError: There is no marker, nothing to go back to, or it is not on the share.
        NewSpaceError: It is none of those before, and embeds into another space.
    """
    _require_version(version)
    old = context.reader.required()
    new = marker.rolled_back(old, version)
    found = Locator.of(context).locate(new.version)
    if new.version not in old.previous and isinstance(found, Manifest):
        reader.require_whole(context.share, found)
        _guard_space(context, old.version, found, say)
    return _write(context, new)


def verify(context: Context, version: str | None, *, on: str) -> tuple[str, int]:
    """Hash every byte of a release where it lies; give its version and bytes.

    Raises:
        VerificationError: It is not what its manifest says, or not signed as the settings want it.
        ReleaseMissingError: It is not there.
    """
    _require_version(version)
    if on == "store":
        moved = ByteCounter()
        context.store.require()
        chosen = version or _active(context)
        release, path = context.store.manifest(chosen), context.store.path(chosen)
        context.policy.hold(release, stored.read(path), where="in the store")
        with progress.shown(context.log, "verify", moved, release.size):
            intact.require(release, path, stop=context.stop, moved=moved, whole=True)
        return chosen, release.size
    chosen = version or context.reader.required().version
    release = context.reader.manifest(chosen)
    context.policy.hold_on(context.reader, release)
    _verify_on_share(context, release)
    return chosen, release.size


def warm(context: Context, version: str | None) -> tuple[Manifest, tuple[Measured, ...]]:
    """Load a release of the store, run it, and hold it to its canary; nothing is written.

    Raises:
        ConfigError: It is no version, or nothing is active.
        ReleaseMissingError: The store does not hold it.
        WarmupError: A model does not load, is not right, or does not run on the device.
    """
    _require_version(version)
    context.store.require()
    release = context.store.manifest(version or _active(context))
    return release, context.warmer.warm(release, context.store.path(release.version))


def _active(context: Context) -> str:
    chosen = context.store.active()
    if chosen is None:
        raise ConfigError("Nothing is active in the store.", remedy="Name a version.")
    return chosen


def _verify_on_share(context: Context, release: Manifest) -> None:
    moved = ByteCounter()
    with progress.shown(context.log, "verify", moved, release.size):
        prefix = f"{RELEASES}/{release.version}/"
        verifying.verify(release, context.share, prefix, stop=context.stop, moved=moved, whole=True)


def _require_version(version: str | None) -> None:
    if version is not None and not is_version(version):
        raise ConfigError(f"{version!r} is not a version.", remedy="See model-agent status.")


def _guard_space(context: Context, active: str, new: Manifest, say: Callable[[str], None]) -> None:
    """Show how far the two are apart, and refuse what every pod would refuse."""
    try:
        old = context.reader.manifest(active)
    except (ReleaseMissingError, VerificationError):
        return
    for line in status.distances(old, new):
        say(line)
    context.guard.check(old, new)


def _write(context: Context, new: Marker) -> Marker:
    record = marker.render(new, by=f"{_user()}@{socket.gethostname()}", at=utc_now())
    context.share.write(context.settings.marker, record)
    return new


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an arbitrary uid has no name
        return "unknown"
