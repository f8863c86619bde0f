"""Makes the catalog's own release when a pod needs it and the share lacks it."""

from __future__ import annotations

import shutil
from time import monotonic as clock
from typing import TYPE_CHECKING

from agent.files import durable
from agent.files.durable import writing
from agent.publish import makers, publish
from agent.release import pickles
from agent.store import room, stage
from agent.store.stage import Staged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.context import Context
    from agent.release.manifest import Manifest


def into_share(context: Context) -> Manifest:
    """Publish it, or wait for who does; give its manifest on the share.

    Raises:
        AgentError: As `publish.from_hub` raises.
    """
    return publish.populate(context).manifest


def into_store(context: Context, version: str, spare: Sequence[str]) -> Staged:
    """Make it in the store, for this store alone. The caller holds the store's lock.

    What was fetched is kept for the next try if this one fails. `spare` is as for `stage.stage`.

    Raises:
        NoSpaceError: It does not fit.
        AgentError: As `makers.fetch_and_build` raises.
    """
    store, began = context.store, clock()
    directory, downloads = store.staging / version, store.agent / "hub"
    store.sweep()
    with writing(version):
        durable.make_directory(directory)
        durable.make_directory(downloads)
    release = makers.fetch_and_build(
        context,
        downloads,
        version,
        directory,
        need=lambda wanted: room.require_and_make(store, wanted + stage.OVERHEAD_BYTES, spare),
    )
    pickles.refuse(release, allowed=context.settings.allow_pickle)
    stage.publish(store, release, directory)
    shutil.rmtree(downloads, ignore_errors=True)
    return Staged(release, {"hub": release.size}, clock() - began)
