"""Checks a release where it lies: `model-agent verify` its bytes, `warm` its models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.errors import ConfigError
from agent.files import verify as verifying
from agent.release import version as versions
from agent.release.layout import RELEASES
from agent.signing import stored
from agent.store import intact

if TYPE_CHECKING:
    import threading

    from structlog.typing import FilteringBoundLogger

    from agent.context import Context
    from agent.release.manifest import Manifest
    from agent.shares.base import Share
    from agent.store.store import Store
    from agent.warmup.protocol import Measured

_REMEDY: Final = "See model-agent status."


def verify(context: Context, version: str | None, *, on: str) -> Manifest:
    """Hash every byte of a release where it lies, and return its manifest.

    Args:
        context: The run.
        version: The release; None for the active one of the store, or the marker's of the share.
        on: `store` or `share`.

    Raises:
        ConfigError: It is no version, or nothing is active.
        VerificationError: It is not what its manifest says, or not signed as the settings want it.
        ReleaseMissingError: It is not there.
        UnreachableError: The share does not answer.
    """
    if version is not None:
        versions.require(version, remedy=_REMEDY)
    stop, log = context.stop, context.log
    if on == "store":
        release = _held(context.store, version)
        path = context.store.path(release.version)
        context.policy.hold(release, stored.read(path), where="in the store")
        intact.require(release, path, stop=stop, log=log, whole=True)
        return release
    release = context.reader.manifest(version or context.reader.required().version)
    context.policy.hold_on(context.reader, release)
    verify_on_share(context.share, release, stop=stop, log=log)
    return release


def warm(context: Context, version: str | None) -> tuple[Manifest, tuple[Measured, ...]]:
    """Load a release of the store, run it, and hold it to its canary; nothing is written.

    Raises:
        ConfigError: It is no version, or nothing is active.
        ReleaseMissingError: The store does not hold it.
        WarmupError: A model does not load, is not right, or does not run on the device.
    """
    if version is not None:
        versions.require(version, remedy=_REMEDY)
    release = _held(context.store, version)
    return release, context.warmer.warm(release, context.store.path(release.version))


def verify_on_share(
    share: Share, release: Manifest, *, stop: threading.Event, log: FilteringBoundLogger
) -> None:
    """Hash every byte of a release on a share.

    Raises:
        VerificationError: It is not what its manifest says.
        ReleaseMissingError: A file is not there.
        UnreachableError: The share does not answer.
    """
    prefix = f"{RELEASES}/{release.version}/"
    verifying.verify(release, share, prefix, stop=stop, log=log, whole=True)


def _held(store: Store, version: str | None) -> Manifest:
    """Return the manifest of a release of the store, by default of the active one."""
    store.require()
    chosen = version or store.active()
    if chosen is None:
        raise ConfigError("Nothing is active in the store.", remedy="Name a version.")
    return store.manifest(chosen)
