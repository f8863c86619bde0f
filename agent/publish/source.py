"""A tree without a manifest: what a release is built from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from agent.errors import (
    ForbiddenError,
    ReleaseMissingError,
    VerificationError,
    forbidden,
)
from agent.files.source import beginning
from agent.models.formats import whole
from agent.release import layout
from agent.release.adoption import candidates
from agent.release.adoption.plan import plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from agent.models.contents import Contents
    from agent.release.adoption.plan import Plan
    from agent.release.tree import Tree
    from agent.release.wanted import Wanted
    from agent.shares.base import Share

# Of `modules.json`, or the list of a model's shards: one of 100,000 tensors has 10 MB.
_SMALL_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True)
class TreeSource:
    """A tree to build a release from.

    Attributes:
        share: Where the tree is.
        wanted: The models to look for.
        suffix: What its top directories end in, e.g. `-v2`.
        strict: Whether every wanted model must be there, or only one.
        owned: The tree's directory, if it is ours, fetched and held to digests: its files are
            linked instead of copied, where links reach.
    """

    share: Share
    wanted: Sequence[Wanted]
    suffix: str = ""
    strict: bool = True
    owned: Path | None = None

    @classmethod
    def of(cls, share: Share, contents: Contents, suffix: str) -> TreeSource:
        """Return the tree on a share, as a catalog's models are looked for in it."""
        return cls(share, contents.wanted, suffix, strict=contents.strict)

    def plan(self) -> Plan:
        """Choose the files that make the release.

        Raises:
            ReleaseMissingError: A model is incomplete or missing; the missing file is named.
            ForbiddenError: A directory that a model needs may not be read.
        """
        found = self.look()
        self.require(found)
        return found

    def require(self, found: Plan) -> None:
        """Refuse what `look` found, if it makes no release; raises as `plan`."""
        if found.unreadable:
            raise forbidden(found.unreadable[0], self.share.address)
        absent = found.absent if self.strict or not (found.models or found.problems) else ()
        if found.problems or absent:
            raise self.incomplete(found.problems, absent)

    def look(self) -> Plan:
        """Return the release that the tree gives, with all that it lacks; see `plan`."""
        tree = self.share.tree(tuple(root + self.suffix for root in layout.ROOTS))
        asked = candidates.asks(tree, self.wanted, suffix=self.suffix)
        tree = replace(tree, texts=self._texts(asked, tree))
        return plan(tree, self.wanted, suffix=self.suffix, pinned=self.strict)

    def incomplete(self, problems: Sequence[str], absent: Sequence[Wanted]) -> ReleaseMissingError:
        """Return the error for a tree with these problems, which lacks these models altogether."""
        missing = [f"{_home(want, self.suffix)} is missing" for want in absent]
        return ReleaseMissingError(
            f"Models in {self.share.address} are incomplete: {'; '.join([*problems, *missing])}.",
            remedy="Complete them there, or name what the release holds in --catalog.",
        )

    def size(self, plan: Plan) -> int:
        """Return the bytes that building what was planned will take at most.

        Raises:
            ReleaseMissingError: A file has gone since it was planned.
        """
        return sum(self.sizes(plan).values())

    def sizes(self, plan: Plan) -> dict[str, int]:
        """Return the bytes of each file that may be read, by its path in the tree.

        Raises:
            ReleaseMissingError: A file has gone since it was planned.
        """
        nodes = self.share.tree(_tops(plan)).nodes
        for origin in plan.files.values():
            if origin not in nodes:
                raise ReleaseMissingError(
                    f"{origin} has gone from {self.share.address} while a release was made of it.",
                    remedy="Put the tree back, and leave it as it is until the release is made.",
                )
        beside = (plan.origin(path) for paths in plan.beside.values() for path in paths)
        read = {*plan.files.values(), *(path for path in beside if path in nodes)}
        return {path: nodes[path].size for path in read if path is not None}

    def refuse_holes(self, sizes: Mapping[str, int]) -> None:
        """Refuse files of which an upload left a range out, where the share tells it unread.

        Raises:
            VerificationError: There is one.
            UnreachableError: The share does not answer.
        """
        for path, size in sizes.items():
            if size >= whole.RANGE_BYTES:
                whole.refuse_hole(path, self.share.hole(path, size, whole.RANGE_BYTES))

    def _texts(self, paths: Sequence[str], tree: Tree) -> dict[str, bytes]:
        """Return the bytes of small files, but for a `refs/main` that cannot be read."""
        found: dict[str, bytes] = {}
        for path in paths:
            try:
                size = min(_SMALL_BYTES, tree.nodes[path].size)
                found[path] = beginning(self.share, path, size)
            except (ForbiddenError, VerificationError):
                # The plan says what to do without it. No other file may be left out of the plan.
                if not path.endswith(candidates.REFS_MAIN):
                    raise
        return found


def _tops(plan: Plan) -> tuple[str, ...]:
    return tuple(sorted({origin.split("/", 1)[0] for origin in plan.files.values()}))


def _home(want: Wanted, suffix: str) -> str:
    root, _, folder = layout.repo_directory(want.ref).rpartition("/")
    return f"{root}{suffix}/{folder} ({want.ref.name})"
