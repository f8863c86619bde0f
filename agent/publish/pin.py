"""Writes the revisions that models have on the Hub today into a catalog."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import tomlkit

from agent.files import durable
from agent.files.durable import writing
from agent.models.contents import Contents
from agent.release.model_ref import MAIN

if TYPE_CHECKING:
    from pathlib import Path

    from agent.hub.hub import Hub
    from agent.release.wanted import Wanted


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
    asked = [_at_main(want) if update else want for want in wanted]
    resolved = hub.resolve(asked)
    document = tomlkit.parse(path.read_text())
    pinned = []
    for table, want, found in zip(document["model"], wanted, resolved, strict=True):
        new = want.ref.revision != found.ref.revision
        if new:
            table["revision"] = found.ref.revision
        pinned.append(Pinned(want.ref.name, want.ref.repo, found.ref.revision, new))
    if any(each.new for each in pinned):
        with writing(str(path)):
            durable.write(path, tomlkit.dumps(document).encode())
    return tuple(pinned)


def _at_main(want: Wanted) -> Wanted:
    return replace(want, ref=replace(want.ref, revision=MAIN))
