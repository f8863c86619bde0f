"""Makes the catalog's own release when a pod needs it and the share lacks it."""

from __future__ import annotations

import shutil
from time import monotonic as clock
from typing import TYPE_CHECKING

from agent.files import durable
from agent.files.durable import writing
from agent.publish import makers
from agent.publish.hub_maker import fetch_and_build
from agent.store import room, stage
from agent.store.stage import Staged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.publish.publisher import Publisher
    from agent.publish.workshop import Workshop
    from agent.release.manifest import Manifest
    from agent.store.store import Store


def into_share(workshop: Workshop, publisher: Publisher) -> Manifest:
    """Publish the release, or wait for another publisher of it; return its manifest on the share.

    Raises:
        AgentError: As `Publisher.publish` raises.
    """
    return publisher.publish(makers.of_catalog(workshop, None), take_any=True).manifest


def into_store(workshop: Workshop, store: Store, version: str, spare: Sequence[str]) -> Staged:
    """Make the release in a store, for that store alone. The caller holds the store's lock.

    What was fetched is kept for the next try if this one fails. `spare` is as for `stage.stage`.

    Raises:
        NoSpaceError: It does not fit.
        AgentError: As `fetch_and_build` raises.
    """
    began = clock()
    directory, downloads = store.staging / version, store.agent / "hub"
    store.sweep()
    with writing(version):
        durable.make_directory(directory)
        durable.make_directory(downloads)

    def need(wanted: int) -> None:
        room.require_and_make(store, wanted + stage.OVERHEAD_BYTES, spare)

    release = fetch_and_build(workshop, downloads, version, directory, need=need)
    stage.publish(store, release, directory)
    shutil.rmtree(downloads, ignore_errors=True)
    return Staged(release, {"hub": release.size}, clock() - began)
