"""Writes the revisions that models have on the Hub today into a catalog."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import tomlkit

from agent.files import durable
from agent.files.durable import writing
from agent.models.contents import Contents

if TYPE_CHECKING:
    from pathlib import Path

    from agent.hub.hub import Hub


@dataclass(frozen=True)
class Pinned:
    """A model of the catalog.

    Attributes:
        name: Its name.
        repo: Where the Hub has it.
        revision: Its revision now.
        new: Whether that was written.
    """

    name: str
    repo: str
    revision: str
    new: bool


def pin(path: Path, hub: Hub, *, update: bool = False) -> tuple[Pinned, ...]:
    """Pin the models of the catalog `path` that have no revision; all else in it stays as it is.

    Args:
        path: The file.
        hub: Knows the revisions of today.
        update: Whether models that have a revision get that of today, too.

    Raises:
        ConfigError: The catalog is refused, or cannot be written.
        AgentError: As `Hub.resolve` raises.
    """
    wanted = Contents(path).wanted
    asked = [replace(want, revision=None) if update else want for want in wanted]
    resolved = hub.resolve(asked)
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
