"""Chooses the snapshot of a Hub cache that is meant, or says why none is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.release import layout
from agent.release.adoption.candidates import REFS_MAIN

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from agent.release.tree import Node

COPY_REMEDY: Final = "copy the cache again with its links resolved (cp -rL, rsync -rL)"
_REVISION_LENGTH: Final = 40
_SHOWN: Final = 3


@dataclass(frozen=True)
class Snapshot:
    """One snapshot: the prefix of its files' names, and its revision."""

    prefix: str
    revision: str


def choose(
    directory: str, nodes: Mapping[str, Node], texts: Mapping[str, bytes], pinned: str | None
) -> Snapshot | str:
    """Return the snapshot that is meant, or a sentence that says why it is not known.

    Args:
        directory: The model's directory, for the sentence.
        nodes: What is in it, by name.
        texts: The bytes of its small files.
        pinned: The revision that the operator's catalog names; None if it names none.
    """
    if "snapshots" not in nodes:
        return Snapshot("", layout.UNKNOWN_REVISION)
    held = _held(nodes)
    if linked := next((p for p, n in nodes.items() if _is_linked_snapshot(p, n)), None):
        return (
            f"{directory}/{linked} is a link to a directory, which is not followed: {COPY_REMEDY}"
        )
    if not held:
        emptied = f"{directory}/snapshots holds no files (AzCopy leaves links out)"
        return f"{emptied}: {COPY_REMEDY}"
    named = texts.get(REFS_MAIN, b"").decode(errors="replace").strip()
    for name in (pinned, named, held[0] if len(held) == 1 else None):
        if name in held:
            revision = name if _is_revision(name) else layout.UNKNOWN_REVISION
            return Snapshot(f"snapshots/{name}/", revision)
    return _undecided(directory, nodes, named, held)


def _is_linked_snapshot(path: str, node: Node) -> bool:
    return node.kind == "linked directory" and path.startswith("snapshots/")


def _held(nodes: Mapping[str, Node]) -> list[str]:
    """Return the snapshots that hold files, sorted."""
    files = (path for path, node in nodes.items() if node.kind != "directory")
    return sorted(
        {p.split("/")[1] for p in files if p.startswith("snapshots/") and p.count("/") > 1}
    )


def _undecided(directory: str, nodes: Mapping[str, Node], named: str, held: Collection[str]) -> str:
    """Say what keeps `refs/main` from naming one of several snapshots."""
    refs = f"{directory}/{REFS_MAIN}"
    if named.startswith("XSym"):
        what = f"{refs} is a link, as it looks without the mount option mfsymlinks"
    elif named:
        what = f"{refs} names {named[:_REVISION_LENGTH]}, which is not among the snapshots"
    elif REFS_MAIN in nodes:
        what = f"{refs} cannot be read, and there are several snapshots"
    else:
        what = f"{refs} is missing, and there are several snapshots"
    shown = ", ".join(list(held)[:_SHOWN])
    return f"{what} ({shown}): write the name of the right one to it"


def _is_revision(text: str) -> bool:
    return len(text) == _REVISION_LENGTH and set(text) <= set("0123456789abcdef")
