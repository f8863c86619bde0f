"""`model-agent publish --from DIR`: a release on the share, complete and verified, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent import acquire, building, progress, staging
from agent.building import Builder, Source
from agent.errors import ConfigError, RefusedError, ReleaseMissingError
from agent.shares.directory import DirectoryShare
from agent.staging import Moved
from agent.version import is_version

if TYPE_CHECKING:
    from pathlib import Path

    from agent.context import Context
    from agent.manifest import Manifest


@dataclass(frozen=True)
class Published:
    """The release on the share; `new` unless the same content was there already."""

    manifest: Manifest
    new: bool


def from_directory(context: Context, directory: Path, version: str) -> Published:
    """Make the release `version` out of a tree as operators make it by hand.

    Raises:
        ConfigError: The version is no version, or `directory` is none.
        ReleaseMissingError: The tree lacks a file; it is named.
        RefusedError: The version exists with other content, or holds pickles.
        AgentError: As `Builder.build` raises.
    """
    if not is_version(version):
        raise ConfigError(
            f"{version!r} is not a version.",
            remedy="Use letters, digits, dots, dashes and underscores, at most 63 of them.",
        )
    if not directory.is_dir():
        raise ConfigError(f"{directory} is not a directory.", remedy="Check --from.")
    source = Source(DirectoryShare(directory), context.wanted, strict=context.strict)
    plan = source.plan()
    moved = Moved()
    builder = Builder(context.warmer, context.stop, moved.add)
    made: list[Manifest] = []

    def make(target: Path) -> None:
        made.append(builder.build(source, plan, version, target))
        acquire.refuse_pickles(context, made[0])
        _stop_if_there(context, made[0])
        acquire.name_tree(context)

    try:
        with progress.shown(context.log, "publish", moved, building.size(plan, source)):
            context.share.publish(version, make)
    except _AlreadyThereError:
        return Published(made[0], new=False)
    return Published(made[0], new=True)


class _AlreadyThereError(Exception):
    """The share has this very release: there is nothing to do."""


def _stop_if_there(context: Context, release: Manifest) -> None:
    if release.version not in context.names("releases"):
        return
    try:
        there = staging.read_manifest(context.share, release.version)
    except ReleaseMissingError:
        raise RefusedError(
            f"releases/{release.version} is on the share without a manifest.",
            remedy="Remove that directory, or publish under another version.",
        ) from None
    if there.digest == release.digest:
        raise _AlreadyThereError
    raise RefusedError(
        f"The release {release.version} is on the share with other content.",
        remedy="Releases never change: publish under another version.",
    )
