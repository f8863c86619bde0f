"""Gets a release into the store, with its manifest or out of a tree made by hand."""

from __future__ import annotations

from time import monotonic as clock
from typing import TYPE_CHECKING

from agent.files import durable, progress
from agent.files.durable import writing
from agent.files.progress import ByteCounter
from agent.publish import populate
from agent.publish.build import Builder
from agent.publish.source import TreeSource
from agent.release import pickles
from agent.signing import policy
from agent.store import stage
from agent.store.stage import Staged
from agent.sync.locate import Catalogued, Found, HandMadeTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.context import Context


def acquire(
    context: Context,
    version: str,
    found: Found,
    *,
    spare: Sequence[str] = (),
    moved: ByteCounter | None = None,
) -> Staged:
    """Bring `version` into the store, verified. The caller holds the store's lock.

    Args:
        context: What to work with.
        version: The release.
        found: How the share has it.
        spare: As for `stage.stage`.
        moved: Counts bytes as they come, but for those that are made from the Hub.

    Raises:
        RefusedError: It holds pickles.
        VerificationError: It is not signed as the settings want it.
        AgentError: As `stage.stage`, `Builder.build` and `populate` raise.
    """
    moved = moved or ByteCounter()
    if isinstance(found, HandMadeTree):
        return _adopt(context, version, found, moved, spare)
    if isinstance(found, Catalogued):
        if not found.to_share:
            policy.unsigned(context, version)
            return populate.into_store(context, version, spare)
        found = populate.into_share(context)
    pickles.refuse(context, found)
    signature = policy.on_share(context, found)
    with progress.shown(context.log, "stage", moved, found.size):
        return stage.stage(
            context.share,
            found,
            context.store,
            stop=context.stop,
            spare=spare,
            moved=moved,
            signature=signature,
        )


def _adopt(
    context: Context, version: str, tree: HandMadeTree, moved: ByteCounter, spare: Sequence[str]
) -> Staged:
    store = context.store
    source = TreeSource(context.share, context.wanted, tree.suffix, strict=context.strict)
    plan = source.plan()
    for want in plan.absent:
        context.log.warning("adopt.absent", model=want.name, loader=want.loader)
    directory = store.staging / version
    store.sweep()
    total = source.size(plan)
    store.have_room(total + stage.OVERHEAD_BYTES, spare)
    with writing(version):
        durable.make_directory(directory)
    builder = Builder(context.warmer, context.stop, moved.add)
    with progress.shown(context.log, "adopt", moved, total):
        began = clock()
        release = builder.build(source, plan, version, directory)
    for path in release.pickles:
        context.log.warning("adopt.pickle", path=path, reason="it is what the worker loads today")
    stage.publish(store, release, directory)
    return Staged(release, dict(moved.by_source), clock() - began)
