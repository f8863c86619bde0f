"""`model-agent publish`: a release on the share, complete and verified, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import structs

from agent.errors import RefusedError, ReleaseMissingError
from agent.publish import adopted, makers
from agent.publish.sign import Signing
from agent.release import canary, pickles
from agent.release.layout import RELEASES
from agent.shares import lock as locking
from agent.shares import reader
from agent.shares.base import Publication

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.context import Context
    from agent.publish.makers import Maker
    from agent.release.manifest import Manifest


@dataclass(frozen=True)
class Published:
    """The release on the share.

    Attributes:
        manifest: What it holds.
        new: Whether it was not there before.
        signed: Whether it has a signature that it had not before.
    """

    manifest: Manifest
    new: bool
    signed: bool = False


def from_directory(context: Context, directory: Path, version: str | None) -> Published:
    """Make a release out of a tree as operators make it by hand, or take a bundle as it is.

    Raises:
        ConfigError: The version is no version, or `directory` is none.
        ReleaseMissingError: The tree lacks a file; it is named.
        VerificationError: A file of the bundle is not what its manifest says.
        RefusedError: The version exists with other content, or holds pickles.
        AgentError: As `Builder.build` raises.
    """
    return _publish(context, makers.of_directory(context, directory, version))


def from_hub(context: Context, version: str | None = None) -> Published:
    """Make a release of the catalog's models, as the Hub has them.

    Raises:
        RefusedError: The version exists with other models, or holds pickles.
        AgentError: As `Hub.fetch` and `Builder.build` raise.
    """
    maker = makers.of_catalog(context, version)
    return _publish(context, maker, there=maker.is_published)


def populate(context: Context) -> Published:
    """Make the catalog's own release, unless another did meanwhile: then that one is taken.

    Raises:
        AgentError: As `from_hub` raises.
    """
    return _publish(context, makers.of_catalog(context, None), there=lambda _: True)


def bundle(context: Context, maker: Maker, target: Path) -> Manifest:
    """Make a release in a directory, for a site that neither the Hub nor the share reaches.

    Raises:
        RefusedError: There is something in `target`, or the release holds pickles.
        AgentError: As `Maker.make` raises.
    """

    def make(directory: Path) -> Manifest:
        release = maker.make(directory)
        pickles.refuse(release, allowed=context.settings.allow_pickle)
        _signing(context).put(release, directory)
        return release

    made = makers.into(target, make)
    maker.done()
    return made


def _publish(
    context: Context, maker: Maker, *, there: Callable[[Manifest], bool] = lambda _: False
) -> Published:
    """Publish what `maker` makes; `there` may know a release for the same before it is made."""
    version = maker.version
    made: list[Manifest] = []

    def make(target: Path) -> Manifest:
        release = maker.make(target)
        made.append(release)
        pickles.refuse(release, allowed=context.settings.allow_pickle)
        _stop_if_there(_published(context, version), release)
        _signing(context).put(release, target)
        adopted.name_tree(context)
        return release

    file = context.share.lock_file(f"publish-{version}")
    timeout = context.settings.lock_timeout
    try:
        with locking.held(file, timeout=timeout, stop=context.stop, log=context.log) as lock:
            known = _published(context, version)
            if known:  # by one that may have been killed right after
                context.share.tidy()
            # What is signed was made here: that the share has something like it is not enough.
            if known and not _signing(context).is_due(context.reader, known) and there(known):
                context.policy.hold_on(context.reader, known)
                return Published(known, new=False)
            context.share.publish(Publication(version, make, lock.check, context.stop))
        maker.done()
    except _AlreadyThereError as found:
        signed = _sign(context, found.release, made[0])
        return Published(found.release, new=False, signed=signed)
    return Published(made[0], new=True, signed=context.settings.sign_key is not None)


class _AlreadyThereError(Exception):
    """The share has this very release: there is nothing to do."""

    def __init__(self, release: Manifest) -> None:
        super().__init__(release.version)
        self.release = release


def _published(context: Context, version: str) -> Manifest | None:
    """The complete release of this version on the share, if there is one."""
    if version not in context.reader.names(RELEASES):
        return None
    try:
        return reader.read_manifest(context.share, version)
    except ReleaseMissingError:
        raise RefusedError(
            f"{RELEASES}/{version} is on the share without a manifest.",
            remedy="Remove that directory, or publish under another version.",
        ) from None


def _stop_if_there(there: Manifest | None, release: Manifest) -> None:
    if there is None:
        return
    if _content(there) == _content(release):
        raise _AlreadyThereError(there)
    raise RefusedError(
        f"The release {there.version} is on the share with other content.",
        remedy="Releases never change: publish under another version.",
    )


def _sign(context: Context, there: Manifest, made: Manifest) -> bool:
    """Sign a release that is on the share if that is due; give whether it was.

    Raises:
        RefusedError: Its canaries are not those of the models here, which is all that could differ.
    """
    signing = _signing(context)
    due = signing.is_due(context.reader, there)
    if due:
        for one, other in zip(there.models, made.models, strict=True):
            if not canary.agree(one.canary, other.canary):
                raise RefusedError(
                    f"The release {there.version} is on the share with another canary for "
                    f"{one.name} than is made here, so it is not signed.",
                    remedy="Publish under another version.",
                )
        signing.add(context.share, there)
    context.policy.hold_on(context.reader, there)
    return due


def _signing(context: Context) -> Signing:
    return Signing(context.settings.sign_key, context.policy)


def _content(release: Manifest) -> tuple[object, ...]:
    """What makes two releases the same.

    Canaries are left out: the same files give vectors that differ in the last digits between kinds
    of CPU, so that another machine could never find its own release published already.
    """
    models = tuple(structs.replace(model, canary=None) for model in release.models)
    return release.chunk_size, release.files, models
