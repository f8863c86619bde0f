"""Deletes releases that nobody needs any more, from the store or from the share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import RefusedError, ReleaseMissingError, VerificationError
from agent.release import retention
from agent.release.layout import RELEASES
from agent.shares import lock
from agent.shares.base import STAGING, staged_version
from agent.sync.record import Record, may_go

if TYPE_CHECKING:
    import threading

    from structlog.typing import FilteringBoundLogger

    from agent.context import Context
    from agent.shares.base import Share
    from agent.shares.reader import ShareReader


@dataclass(frozen=True)
class Pruned:
    """The things that were deleted, or would be.

    Attributes:
        releases: The releases.
        left_over: The names of what killed publishers left in `.staging`.
    """

    releases: tuple[str, ...]
    left_over: tuple[str, ...] = ()


def prune_store(context: Context, *, dry_run: bool = False) -> Pruned:
    """Delete the releases that the store keeps beyond `--keep`.

    Raises:
        RefusedError: Another agent holds the store's lock.
    """
    store, keep = context.store, context.settings.keep
    store.prepare()
    with store.lock(context.stop):
        record = Record(store.agent, context.log)
        spare = may_go(store, record.state, keep=keep, desired=record.state.desired)
        for version in () if dry_run else spare:
            store.remove(version)
            record.removed(version)
    return Pruned(spare)


def prune_share(context: Context, *, dry_run: bool = False) -> Pruned:
    """Delete the releases of the share that neither the marker nor its chain names.

    One that was published after the marker's is kept, since it may be promoted next, and so is one
    without a manifest: somebody may be uploading it by hand.

    Raises:
        ReleaseMissingError: There is no marker, so nobody knows what is needed.
        UnreachableError: The share does not answer.
    """
    share, reader, log = context.share, context.reader, context.log
    marker = reader.required()
    held = {version: _created(reader, version) for version in reader.releases()}
    spare = retention.spare_on_share(held, needed=marker.chain)
    left_over = tuple(name for name in reader.names(STAGING) if staged_version(name))
    if not dry_run:
        for version in spare:
            share.remove(f"{RELEASES}/{version}")
            log.info("share.pruned", version=version)
        left_over = tuple(n for n in left_over if _clear(share, n, stop=context.stop, log=log))
    return Pruned(spare, left_over)


def _created(reader: ShareReader, version: str) -> str | None:
    try:
        return reader.manifest(version).created
    except (ReleaseMissingError, VerificationError):
        return None


def _clear(share: Share, name: str, *, stop: threading.Event, log: FilteringBoundLogger) -> bool:
    """Delete what a publisher left, unless one is at it right now; return whether it is deleted."""
    file = share.lock_file(f"publish-{staged_version(name)}")
    try:
        with lock.held(file, timeout=0, stop=stop, log=log):
            share.remove(f"{STAGING}/{name}")
    except RefusedError:
        return False
    return True
