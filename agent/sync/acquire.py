"""Gets a release into the store, with its manifest or out of a tree made by hand."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic as clock
from typing import TYPE_CHECKING

from agent.errors import ReleaseMissingError
from agent.files import durable, progress
from agent.files.copy import writing
from agent.files.progress import ByteCounter
from agent.publish import adopted, build, populate
from agent.publish.build import Builder, Source
from agent.release import layout, pickles
from agent.release.manifest import Manifest
from agent.signing import policy
from agent.store import stage
from agent.store.stage import Staged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.context import Context


@dataclass(frozen=True)
class Tree:
    """A release made by hand: the tree at the share's root whose directories have this suffix."""

    suffix: str


@dataclass(frozen=True)
class Catalogued:
    """A release that the share lacks, but that can be made: it is the catalog's own."""

    to_share: bool


Found = Manifest | Tree | Catalogued


def populatable(context: Context, version: str) -> Catalogued | None:
    """How a release that the share lacks can be made, if the settings let it: no pod signs."""
    where = context.settings.populate
    if version != context.catalog.version or where == "never" or context.settings.require_signature:
        return None
    return Catalogued(to_share=where == "share")


def locate(context: Context, version: str) -> Manifest | Tree:
    """How the share has `version`.

    A tree is taken for it if its directories carry the version (`fastembed-v2/`). One without a
    suffix is the version that `ADOPTED` says; where there are no releases yet, it is any.

    Raises:
        ReleaseMissingError: It has not, or not completely.
        VerificationError: Its manifest or its signature is refused.
        UnreachableError: The share does not answer.
    """
    try:
        release = context.manifest(version)
    except ReleaseMissingError:
        names = () if context.settings.require_manifest else context.names("")
        releases = context.names("releases")
        if version not in releases:
            suffix = layout.suffix(names, version)
            bare = any(root in names for root in layout.ROOTS)
            if suffix or (bare and (not releases or version == _adopted(context))):
                policy.unsigned(context, version)
                return Tree(suffix)
        raise
    policy.on_share(context, release)
    return release


def _adopted(context: Context) -> str | None:
    data = context.read(adopted.ADOPTED)
    return data.decode(errors="replace").strip() if data else None


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
    if isinstance(found, Tree):
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
    context: Context, version: str, tree: Tree, moved: ByteCounter, spare: Sequence[str]
) -> Staged:
    store = context.store
    source = Source(context.share, context.wanted, tree.suffix, strict=context.strict)
    plan = source.plan()
    for want in plan.absent:
        context.log.warning("adopt.absent", model=want.name, loader=want.loader)
    directory = store.staging / version
    store.sweep()
    total = build.size(plan, source)
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
