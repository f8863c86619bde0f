"""A listed tree: names, kinds and sizes, without any bytes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

NodeKind = Literal["file", "directory", "dangling", "outside", "special"]


@dataclass(frozen=True)
class Node:
    """One entry of a listed tree: a link counts as what it leads to, or as dangling or outside."""

    kind: NodeKind
    size: int = 0


@dataclass(frozen=True)
class Tree:
    """A listed tree: its nodes by path, and the text of each `refs/main`."""

    nodes: Mapping[str, Node]
    refs: Mapping[str, str] = field(default_factory=dict)

    def under(self, directory: str) -> dict[str, Node]:
        """The nodes below `directory`, by their path in it."""
        prefix = directory + "/"
        return {p.removeprefix(prefix): n for p, n in self.nodes.items() if p.startswith(prefix)}
