"""A listed tree: names, kinds and sizes, and the bytes of a few small files. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

NodeKind = Literal[
    "file", "directory", "linked directory", "dangling", "outside", "unreadable", "special"
]

# A link as mounts with `mfsymlinks` write it: a file of so many bytes, with this beginning.
LINK_BYTES: Final = 1067
LINK_MAGIC: Final = b"XSym\n"


@dataclass(frozen=True)
class Node:
    """One entry of a listed tree.

    A link to a file counts as that file. One to a directory is not followed.
    """

    kind: NodeKind
    size: int = 0


@dataclass(frozen=True)
class Tree:
    """A listed tree.

    Attributes:
        nodes: Its nodes by path.
        texts: The bytes of small files, by path: those that were asked for and could be read.
    """

    nodes: Mapping[str, Node]
    texts: Mapping[str, bytes] = field(default_factory=dict)

    def under(self, directory: str) -> dict[str, Node]:
        """The nodes below `directory`, by their path in it."""
        prefix = directory + "/"
        return {p.removeprefix(prefix): n for p, n in self.nodes.items() if p.startswith(prefix)}

    def texts_under(self, directory: str) -> dict[str, bytes]:
        """The bytes of small files below `directory`, by their path in it."""
        prefix = directory + "/"
        return {p.removeprefix(prefix): t for p, t in self.texts.items() if p.startswith(prefix)}
