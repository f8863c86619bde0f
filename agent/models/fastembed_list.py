"""Finds the files of the catalog's models by FastEmbed's own list.

A child process reads the list, since importing FastEmbed takes a second and 100 MB.
"""

from __future__ import annotations

import json
from dataclasses import replace
from difflib import get_close_matches
from subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING, Final

from agent.errors import ConfigError
from agent.machine import children
from agent.release import layout
from agent.release.wanted import Kind, Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.release.catalog import Catalog, Entry

_CHILD: Final = "agent.models.fastembed_list_child"
_SECONDS: Final = 120.0

# Repository, weights file, further files, kind.
Listed = tuple[str, str, list[str], Kind]


def wanted(catalog: Catalog) -> tuple[Wanted, ...]:
    """Return what each entry of `catalog` needs: its repository, and the file FastEmbed loads.

    Raises:
        ConfigError: FastEmbed does not know a name, or is not installed.
    """
    known: dict[str, Listed] = {}
    if any(entry.loader == "fastembed" for entry in catalog.model):
        known = _ask()
    found = tuple(_resolve(entry, known) for entry in catalog.model)
    _refuse_two_revisions(found)
    return found


def _refuse_two_revisions(found: Sequence[Wanted]) -> None:
    """Refuse two models of one repository at two revisions: a loader looks for one of them only."""
    seen: dict[str, Wanted] = {}
    for want in found:
        other = seen.setdefault(layout.repo_directory(want.ref), want)
        if other.ref.revision != want.ref.revision:
            raise ConfigError(
                f"The catalog has {other.ref.name} and {want.ref.name} at two revisions, and both "
                f"are of the repository {want.ref.repo}, of which {want.ref.loader} reads one.",
                remedy="Give both the same revision, or ship them in releases of their own.",
            )


def _resolve(entry: Entry, known: dict[str, Listed]) -> Wanted:
    want = Wanted(entry.ref, allow=entry.allow)
    if entry.loader != "fastembed":
        return want
    if entry.name not in known:
        near = get_close_matches(entry.name, known, n=3, cutoff=0.3)
        raise ConfigError(
            f"FastEmbed has the model {entry.name!r} in none of its lists.",
            remedy=f"Name one that it has, such as {', '.join(near) or 'those of its lists'}; the "
            "loader huggingface ships any model for code of your own.",
        )
    repo, model_file, additional, kind = known[entry.name]
    if (entry.repo or repo).lower() != repo.lower():
        raise ConfigError(
            f"The catalog has {entry.name} from {entry.repo}, and FastEmbed looks for {repo}.",
            remedy="Leave repo out: for the loader fastembed its own list says it.",
        )
    return replace(
        want,
        ref=replace(want.ref, repo=repo),
        model_file=model_file,
        additional=tuple(additional),
        kind=kind,
        optimize=bool(entry.optimize),
    )


def _ask() -> dict[str, Listed]:
    with children.started(_CHILD, stdin=DEVNULL, stdout=PIPE, stderr=PIPE) as child:
        answer, said = child.communicate(timeout=_SECONDS)
    if child.returncode:
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        raise ConfigError(
            f"FastEmbed could not be asked for its models: {last}.",
            remedy="Install model-agent with the extra cpu or gpu.",
        )
    listed: dict[str, Listed] = json.loads(answer)
    return listed
