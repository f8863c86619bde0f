"""Gets a release into the store, with its manifest or out of a tree made by hand."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic as clock
from typing import TYPE_CHECKING, Final

from agent import building, durable, layout, marker, progress, staging
from agent.building import Builder, Source
from agent.copying import writing
from agent.errors import PickleError, ReleaseMissingError
from agent.staging import Moved, Staged
from agent.version import UNVERSIONED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.context import Context
    from agent.manifest import Manifest

ADOPTED: Final = "ADOPTED"


@dataclass(frozen=True)
class Tree:
    """A release made by hand: the tree at the share's root whose directories have this suffix."""

    suffix: str


def locate(context: Context, version: str) -> Manifest | Tree:
    """How the share has `version`.

    A tree is taken for it if its directories carry the version (`fastembed-v2/`). One without a
    suffix is the version that `ADOPTED` says; where there are no releases yet, it is any.

    Raises:
        ReleaseMissingError: It has not, or not completely.
        VerificationError: Its manifest is refused.
        UnreachableError: The share does not answer.
    """
    try:
        return context.manifest(version)
    except ReleaseMissingError:
        names = () if context.settings.require_manifest else context.names("")
        if version not in context.names("releases"):
            if any(f"{root}-{version}" in names for root in layout.ROOTS):
                return Tree(f"-{version}")
            bare = any(root in names for root in layout.ROOTS)
            if bare and ("releases" not in names or version == _adopted(context)):
                return Tree("")
        raise


def name_tree(context: Context) -> None:
    """Before the first release: write down which version the tree at the share's root is.

    Pods that start later would not know it for the marker's version, once there are releases.
    """
    names = context.names("")
    if "releases" in names or not any(root in names for root in layout.ROOTS):
        return
    try:
        data = context.marker_bytes()
        version = marker.parse(data).version if data else UNVERSIONED
    except marker.UnknownMarkerError:
        version = UNVERSIONED
    context.share.write(ADOPTED, f"{version}\n".encode())


def _adopted(context: Context) -> str | None:
    data = context.read(ADOPTED)
    return data.decode(errors="replace").strip() if data else None


def acquire(
    context: Context, version: str, found: Manifest | Tree, *, spare: Sequence[str] = ()
) -> Staged:
    """Bring `version` into the store, verified. The caller holds the store's lock.

    Raises:
        RefusedError: It holds pickles.
        AgentError: As `staging.stage` and `Builder.build` raise.
    """
    if isinstance(found, Tree):
        return _adopt(context, version, found)
    refuse_pickles(context, found)
    moved = Moved()
    with progress.shown(context.log, "stage", moved, found.size):
        return staging.stage(
            context.share, found, context.store, stop=context.stop, spare=spare, moved=moved
        )


def refuse_pickles(context: Context, release: Manifest) -> None:
    """Refuse a release that runs code when it is loaded, unless that is allowed.

    Raises:
        PickleError: It holds a pickle.
    """
    if release.pickles and not context.settings.allow_pickle:
        raise PickleError(
            f"The release {release.version} holds {release.pickles[0]}, a pickle, which runs code "
            "when it is loaded.",
            remedy="Publish safetensors instead, or allow it with --allow-pickle.",
        )


def _adopt(context: Context, version: str, tree: Tree) -> Staged:
    store, moved = context.store, Moved()
    source = Source(context.share, context.wanted, tree.suffix, strict=context.strict)
    plan = source.plan()
    for want in plan.absent:
        context.log.warning("adopt.absent", model=want.name, loader=want.loader)
    directory = store.staging / version
    store.sweep()
    total = building.size(plan, source)
    store.need(total + staging.OVERHEAD_BYTES)
    with writing(version):
        durable.make_directory(directory)
    builder = Builder(context.warmer, context.stop, moved.add)
    with progress.shown(context.log, "adopt", moved, total):
        began = clock()
        release = builder.build(source, plan, version, directory)
    for path in release.pickles:
        context.log.warning("adopt.pickle", path=path, reason="it is what the worker loads today")
    staging.publish(store, release, directory)
    return Staged(release, dict(moved.by_source), clock() - began)
