"""`model-agent catalog pin`: writes the revisions that models have today into a catalog."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import tomlkit

from agent.files import durable
from agent.files.durable import writing
from agent.publish import makers

if TYPE_CHECKING:
    from pathlib import Path

    from agent.context import Context


@dataclass(frozen=True)
class Pinned:
    """A model of the catalog, and its revision now; `new` if that was written."""

    name: str
    repo: str
    revision: str
    new: bool


def pin(context: Context, path: Path, *, update: bool = False) -> tuple[Pinned, ...]:
    """Pin the models of the catalog `path` that have no revision; all else in it stays as it is.

    Args:
        context: What to work with; its catalog is this one.
        path: The file.
        update: Whether to pin those anew that have one.

    Raises:
        ConfigError: The catalog is refused, or cannot be written.
        AgentError: As `Hub.resolve` raises.
    """
    wanted = context.wanted
    asked = [replace(want, revision=None) if update else want for want in wanted]
    resolved = makers.hub(context).resolve(asked)
    document = tomlkit.parse(path.read_text())
    pinned = []
    for table, want, found in zip(document["model"], wanted, resolved, strict=True):
        new = want.revision != found.revision
        if new:
            table["revision"] = found.revision
        pinned.append(Pinned(want.name, want.repo, found.revision, new))
    if any(each.new for each in pinned):
        with writing(str(path)):
            durable.write(path, tomlkit.dumps(document).encode())
    return tuple(pinned)
