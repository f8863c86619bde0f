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
    from agent.context import Context


@dataclass(frozen=True)
class Pruned:
    """What was deleted, or would be: releases, and what killed publishers left."""

    releases: tuple[str, ...]
    left_over: tuple[str, ...] = ()


def store(context: Context, *, dry_run: bool = False) -> Pruned:
    """Delete what the store keeps beyond `--keep`."""
    held = context.store
    held.prepare()
    with held.lock(context.stop):
        record = Record(held.agent, context.log)
        spare = may_go(held, record.state, keep=context.settings.keep, desired=record.state.desired)
        for version in () if dry_run else spare:
            held.remove(version)
            record.removed(version)
    return Pruned(spare)


def share(context: Context, *, dry_run: bool = False) -> Pruned:
    """Delete the releases of the share that neither the marker nor its chain names.

    One that was published after the marker's is kept, since it may be promoted next, and so is one
    without a manifest: somebody may be uploading it by hand.

    Raises:
        ReleaseMissingError: There is no marker, so nobody knows what is needed.
        UnreachableError: The share does not answer.
    """
    marker = context.reader.required()
    held = {version: _created(context, version) for version in context.reader.releases()}
    spare = retention.spare_on_share(held, needed=marker.chain)
    left_over = tuple(name for name in context.reader.names(STAGING) if staged_version(name))
    if not dry_run:
        for version in spare:
            context.share.remove(f"{RELEASES}/{version}")
            context.log.info("share.pruned", version=version)
        left_over = tuple(name for name in left_over if _clear(context, name))
    return Pruned(spare, left_over)


def _created(context: Context, version: str) -> str | None:
    try:
        return context.reader.manifest(version).created
    except (ReleaseMissingError, VerificationError):
        return None


def _clear(context: Context, name: str) -> bool:
    """Delete what a publisher left, unless one is at it right now."""
    file = context.share.lock_file(f"publish-{staged_version(name)}")
    try:
        with lock.held(file, timeout=0, stop=context.stop, log=context.log):
            context.share.remove(f"{STAGING}/{name}")
    except RefusedError:
        return False
    return True
