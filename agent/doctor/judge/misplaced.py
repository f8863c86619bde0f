"""Finds models that lie where no loader looks for them. Pure: a listing in, sentences out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.release import layout
from agent.release.loaders import fastembed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from agent.release.tree import Node
    from agent.release.wanted import Wanted

_SAFETENSORS: Final = "model.safetensors"


def home(want: Wanted, suffix: str = "") -> str:
    """Return the directory of a tree that the files of a model belong in."""
    top, _, rest = layout.repo_directory(want.ref).partition("/")
    return f"{top}{suffix}/{rest}"


def expected(want: Wanted, suffix: str = "") -> str:
    """Return the files that the loader expects, and their directory, as one clause."""
    if want.model_file:
        *most, last = fastembed.needs(want)
        return f"FastEmbed wants {', '.join(most)} and {last} in {home(want, suffix)}/"
    files = f"modules.json and what it names, config.json, {_SAFETENSORS} and tokenizer.json"
    if want.ref.loader != "sentence-transformers":
        files = f"the files of {want.ref.repo}"
    return f"{want.ref.loader} wants {files} in {home(want, suffix)}/"


def sentences(
    nodes: Mapping[str, Node], absent: Sequence[Wanted], suffix: str = ""
) -> Iterator[str]:
    """Yield the places where weights of absent models lie instead, a sentence each.

    Args:
        nodes: Everything on the share but its releases, by path.
        absent: The models that are not where they belong.
        suffix: The ending that the tree's top directories should have.
    """
    for want in absent:
        found = _places(nodes, want)
        if found:
            where = home(want, suffix)
            yield f"{found[0]} belongs to {where}/ if it is {want.ref.name}."


def _places(nodes: Mapping[str, Node], want: Wanted) -> list[str]:
    """Return the files that may be its weights; first those with its name in their path."""
    wanted = (want.model_file or _SAFETENSORS).rpartition("/")[2]
    files = [p for p, n in nodes.items() if n.kind == "file" and p.rpartition("/")[2] == wanted]
    base = want.ref.name.rpartition("/")[2].casefold()
    return sorted(files, key=lambda path: (base not in path.casefold(), path))
