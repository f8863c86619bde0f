"""Finds how the share has a release: with a manifest, as a hand-made tree, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import ReleaseMissingError
from agent.publish import adopted
from agent.release import layout
from agent.release.manifest import Manifest
from agent.signing import policy

if TYPE_CHECKING:
    from agent.context import Context


@dataclass(frozen=True)
class HandMadeTree:
    """A release made by hand: the tree at the share's root whose directories have this suffix."""

    suffix: str


@dataclass(frozen=True)
class Catalogued:
    """A release that the share lacks, but that can be made: it is the catalog's own."""

    to_share: bool


Found = Manifest | HandMadeTree | Catalogued


def populatable(context: Context, version: str) -> Catalogued | None:
    """How a release that the share lacks can be made, if the settings let it: no pod signs."""
    where = context.settings.populate
    if version != context.catalog.version or where == "never" or context.settings.require_signature:
        return None
    return Catalogued(to_share=where == "share")


def locate(context: Context, version: str) -> Manifest | HandMadeTree:
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
                return HandMadeTree(suffix)
        raise
    policy.on_share(context, release)
    return release


def _adopted(context: Context) -> str | None:
    data = context.read(adopted.ADOPTED)
    return data.decode(errors="replace").strip() if data else None
