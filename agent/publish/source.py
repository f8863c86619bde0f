"""A tree without a manifest: what a release is built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import ReleaseMissingError
from agent.release import adoption, layout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agent.models.contents import Contents
    from agent.release.adoption import Plan
    from agent.release.wanted import Wanted
    from agent.shares.base import Share


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
        """
        tree = self.share.tree(tuple(root + self.suffix for root in layout.ROOTS))
        plan = adoption.plan(tree, self.wanted, suffix=self.suffix)
        absent = plan.absent if self.strict or not plan.models else ()
        if plan.problems or absent:
            raise self.incomplete(plan.problems, absent)
        return plan

    def incomplete(self, problems: Sequence[str], absent: Sequence[Wanted]) -> ReleaseMissingError:
        """Return the error for a tree with these problems, which lacks these models altogether."""
        missing = [f"{_home(want, self.suffix)} is missing" for want in absent]
        return ReleaseMissingError(
            f"Models in {self.share.address} are incomplete: {'; '.join([*problems, *missing])}.",
            remedy="Put the missing files there, or name what the release holds in --catalog.",
        )

    def size(self, plan: Plan) -> int:
        """Return the bytes that building what was planned will take.

        Raises:
            ReleaseMissingError: A file has gone since it was planned.
        """
        sizes = self.sizes(plan)
        return sum(sizes[origin] for origin in plan.files.values())

    def sizes(self, plan: Plan) -> dict[str, int]:
        """Return the bytes of each planned file, by its path in the tree.

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
        return {origin: nodes[origin].size for origin in plan.files.values()}


def _tops(plan: Plan) -> tuple[str, ...]:
    return tuple(sorted({origin.split("/", 1)[0] for origin in plan.files.values()}))


def _home(want: Wanted, suffix: str) -> str:
    root, _, folder = layout.repo_directory(want.ref).rpartition("/")
    return f"{root}{suffix}/{folder} ({want.ref.name})"
