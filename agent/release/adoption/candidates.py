"""Finds the directories of a tree in which a model may lie, by the names that loaders gave them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.release import layout
from agent.release.loaders import choice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.release.model_ref import ModelRef
    from agent.release.tree import Tree
    from agent.release.wanted import Wanted

REFS_MAIN: Final = "refs/main"


def candidates(tree: Tree, ref: ModelRef, suffix: str) -> list[str]:
    """Return where a model may lie, the likeliest first; upper and lower case do not count.

    They are directories, or what stands in the place of one: a link, or a file.
    """
    by_folded: dict[str, str] = {}
    for path in tree.nodes:
        by_folded.setdefault(path.casefold(), path)
    paths = [*_paths(ref, suffix)]
    found = [path if path in tree.nodes else by_folded.get(path.casefold()) for path in paths]
    return [path for path in dict.fromkeys(found) if path]


def roots(ref: ModelRef, suffix: str) -> tuple[str, ...]:
    """Return the top directories of a tree in which a model may lie."""
    return tuple(dict.fromkeys(path.partition("/")[0] for path in _paths(ref, suffix)))


def asks(tree: Tree, wanted: Iterable[Wanted], *, suffix: str = "") -> tuple[str, ...]:
    """Return the small files that must be read before a plan can be made."""
    found = (
        f"{directory}/{name}"
        for want in wanted
        for directory in candidates(tree, want.ref, suffix)
        for name in _small(tree, want, directory)
    )
    return tuple(dict.fromkeys(found))


def _small(tree: Tree, want: Wanted, directory: str) -> Iterator[str]:
    nodes = tree.under(directory)
    files = [name for name, node in nodes.items() if node.kind == "file"]
    if REFS_MAIN in files:
        yield REFS_MAIN
    by_snapshot: dict[str, list[str]] = {}
    for name in files:
        by_snapshot.setdefault(snapshot_prefix(name), []).append(name)
    for prefix, names in by_snapshot.items():
        inside = choice.asks(want, [name.removeprefix(prefix) for name in names])
        yield from (prefix + name for name in inside)


def snapshot_prefix(name: str) -> str:
    """Return `snapshots/REVISION/` of a name in a Hub cache; nothing of any other name."""
    parts = name.split("/", 2)
    return f"snapshots/{parts[1]}/" if parts[0] == "snapshots" and len(parts) > 2 else ""  # noqa: PLR2004


def _paths(ref: ModelRef, suffix: str) -> Iterator[str]:
    org, _, base = ref.name.rpartition("/")
    folder = layout.repo_folder(ref.repo)
    root = layout.SENTENCE_TRANSFORMERS
    names = [folder, base, f"{org}_{base}", ref.name]
    if ref.loader == "fastembed":
        root = layout.FASTEMBED
        names = [folder, layout.repo_folder(ref.name), f"fast-{base}", ref.name, base]
    if ref.loader != "huggingface":
        yield from (f"{root}{suffix}/{name}" for name in names)
    if ref.loader != "fastembed":
        yield f"{layout.HUGGINGFACE}{suffix}/hub/{folder}"
