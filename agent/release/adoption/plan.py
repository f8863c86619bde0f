"""Plans the release that a hand-made tree gives.

A tree is taken as operators left it: flat as documented, as a Hub cache with or without its links,
with the lower-case folder of older FastEmbed releases, or under a suffix (`fastembed-v2/`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from agent.release import layout, paths
from agent.release.adoption import snapshot
from agent.release.adoption.candidates import candidates, roots
from agent.release.loaders import choice
from agent.release.manifest import FASTEMBED_METADATA
from agent.release.model_ref import MAIN
from agent.release.tree import LINK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.release.loaders.selection import Selection
    from agent.release.model_ref import ModelRef
    from agent.release.tree import Node, Tree
    from agent.release.wanted import Wanted

_LINK_REMEDY: Final = "copy the tree again with its links resolved (cp -rL, rsync -rL)"


@dataclass(frozen=True)
class Plan:
    """The release that a tree gives.

    Attributes:
        files: Path in the release → path in the tree.
        written: Path in the release → bytes that the tree lacks.
        models: The models that the release holds.
        homes: Directory in the release → the directory of the tree that a model's files are from.
        beside: ONNX graph in the release → the files beside it in the release, of which those
            belong to it that the graph names as its weights.
        absent: Wanted models that the tree does not have at all.
        incomplete: Wanted models that are there, but not whole.
        problems: A sentence for each of these.
        unreadable: Paths of directories that must be read and cannot be.
        strays: Paths of files beside the models that no loader reads.
        optimize: Paths in the release of ONNX models whose weights are to be external data.
    """

    files: Mapping[str, str]
    written: Mapping[str, bytes]
    models: Sequence[ModelRef]
    homes: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, Sequence[str]] = field(default_factory=dict)
    absent: Sequence[Wanted] = ()
    incomplete: Sequence[Wanted] = ()
    problems: Sequence[str] = ()
    unreadable: Sequence[str] = ()
    strays: Sequence[str] = ()
    optimize: Sequence[str] = ()

    def origin(self, path: str) -> str | None:
        """Return the path in the tree of a file in the release; None for one it does not give."""
        if path in self.files:
            return self.files[path]
        for home, directory in self.homes.items():
            if path.startswith(home + "/"):
                return directory + path.removeprefix(home)
        return None


@dataclass(frozen=True)
class _Found:
    """One model that is there: where, what its loader reads of it, and what it does not."""

    want: Wanted
    revision: str
    directory: str
    selection: Selection
    strays: tuple[str, ...]

    @property
    def ref(self) -> ModelRef:
        """The model, at the revision of the tree."""
        return replace(self.want.ref, revision=self.revision)

    @property
    def home(self) -> str:
        """The directory in the release that its files belong in."""
        return layout.snapshot_directory(self.ref)


@dataclass(frozen=True)
class _Unreadable:
    path: str


def plan(tree: Tree, wanted: Iterable[Wanted], *, suffix: str = "", pinned: bool = False) -> Plan:
    """Find each wanted model in `tree`.

    Args:
        tree: The tree, with the texts of `candidates.asks`.
        wanted: The models.
        suffix: What the top directories of the tree end in.
        pinned: Whether a revision of `wanted` is the operator's, who means that snapshot.
    """
    looked = _apart([(want, _find(tree, want, suffix, pinned=pinned)) for want in wanted])
    found = [each for _, each in looked if isinstance(each, _Found)]
    return Plan(
        files={f"{f.home}/{n}": f"{f.directory}/{n}" for f in found for n in f.selection.files},
        written={layout.refs_main(f.ref): f.revision.encode() for f in found},
        models=tuple(f.ref for f in found),
        homes={f.home: f.directory for f in found},
        beside={
            f"{f.home}/{f.want.model_file}": [f"{f.home}/{n}" for n in f.selection.beside]
            for f in found
            if f.selection.beside
        },
        absent=tuple(want for want, each in looked if each is None),
        incomplete=tuple(want for want, each in looked if isinstance(each, str)),
        problems=tuple(each for _, each in looked if isinstance(each, str)),
        unreadable=tuple(each.path for _, each in looked if isinstance(each, _Unreadable)),
        strays=_strays(found),
        optimize=tuple(f"{f.home}/{f.want.model_file}" for f in found if f.want.optimize),
    )


_Looked: TypeAlias = "list[tuple[Wanted, _Found | _Unreadable | str | None]]"


def _apart(looked: _Looked) -> _Looked:
    """Return what was found, but for a model that lies elsewhere than another of its repository.

    In a release they have one directory, in which the files of two would be mixed.
    """
    places: dict[str, _Found] = {}
    told: _Looked = []
    for want, found in looked:
        first = found
        if isinstance(found, _Found):
            first = places.setdefault(layout.repo_directory(found.ref), found)
        if isinstance(found, _Found) and isinstance(first, _Found):
            apart = (found.directory, found.revision) != (first.directory, first.revision)
            told.append((want, _of_one_repository(first, found) if apart else found))
        else:
            told.append((want, found))
    return told


def _of_one_repository(one: _Found, other: _Found) -> str:
    return (
        f"{one.want.ref.name} and {other.want.ref.name} are of one repository, {one.ref.repo}, "
        f"and lie in {one.directory} and {other.directory}: put the files of both into one of them"
    )


def _strays(found: Sequence[_Found]) -> tuple[str, ...]:
    """Return the files beside models that none of them takes."""
    taken = {f"{f.directory}/{n}" for f in found for n in f.selection.files}
    strays = (f"{f.directory}/{n}" for f in found for n in f.strays)
    return tuple(dict.fromkeys(path for path in strays if path not in taken))


def _find(
    tree: Tree, want: Wanted, suffix: str, *, pinned: bool
) -> _Found | _Unreadable | str | None:
    """Return the first complete candidate, else what the first one lacks, else None."""
    problem: _Unreadable | str | None = None
    for directory in candidates(tree, want.ref, suffix):
        found = _examine(tree, want, directory, pinned=pinned)
        if isinstance(found, _Found):
            return found
        problem = problem or found
    there = (root for root in roots(want.ref, suffix) if root in tree.nodes)
    closed = (root for root in there if tree.nodes[root].kind == "unreadable")
    return problem or next(map(_Unreadable, closed), None)


def _examine(
    tree: Tree, want: Wanted, directory: str, *, pinned: bool
) -> _Found | _Unreadable | str:
    kind = tree.nodes[directory].kind
    if kind == "unreadable":
        return _Unreadable(directory)
    if kind != "directory":
        return _no_directory(directory, tree.nodes[directory])
    nodes, texts = tree.under(directory), tree.texts_under(directory)
    revision = want.ref.revision if pinned and want.ref.revision != MAIN else None
    chosen = snapshot.choose(directory, nodes, texts, revision)
    if isinstance(chosen, str):
        return chosen
    inside = chosen.prefix
    names = {p.removeprefix(inside): n for p, n in nodes.items() if p.startswith(inside)}
    texts = {p.removeprefix(inside): t for p, t in texts.items() if p.startswith(inside)}
    return _assemble(want, f"{directory}/{inside}".rstrip("/"), chosen.revision, names, texts)


def _assemble(
    want: Wanted,
    directory: str,
    revision: str,
    nodes: Mapping[str, Node],
    texts: Mapping[str, bytes],
) -> _Found | _Unreadable | str:
    files = [n for n, node in nodes.items() if node.kind == "file" and not paths.problem(n)]
    selection = choice.select(want, files, texts)
    if lost := _lost(want, nodes, texts, selection.missing):
        return f"{directory}/{lost} is a link that leads nowhere here: {snapshot.COPY_REMEDY}"
    if selection.missing is not None:
        return _lacking(want, directory, selection.missing, nodes)
    read = {*selection.files, *selection.beside}
    strays = (n for n in files if n not in read and not _is_known(n))
    # What a catalog leaves out by `allow`, a loader may read.
    return _Found(want, revision, directory, selection, () if want.allow else tuple(strays))


def _lost(
    want: Wanted, nodes: Mapping[str, Node], texts: Mapping[str, bytes], missing: str | None
) -> str | None:
    """Return a link that leads nowhere, in the place of a file that is read; None if none does.

    A link out of the share counts only where the loader cannot do without the file.
    """
    bad = {name: node.kind for name, node in nodes.items() if node.kind in {"dangling", "outside"}}
    if missing in bad:
        return missing
    there = [n for n, node in nodes.items() if node.kind == "file" or n in bad]
    read = choice.select(want, there, texts).files
    return next((name for name in read if bad.get(name) == "dangling"), None)


def _lacking(
    want: Wanted, directory: str, name: str, nodes: Mapping[str, Node]
) -> _Unreadable | str:
    """Say why a file is not there that the loader cannot do without."""
    if want.allow:
        return f"{directory} holds nothing for {name!r}, which the catalog allows"
    path, node = f"{directory}/{name}", nodes.get(name)
    above = name.rpartition("/")[0]
    if above and above in nodes and nodes[above].kind != "directory":
        name, node, path = above, nodes[above], f"{directory}/{above}"
    if node is None:
        return f"{path} is missing ({want.ref.repo} on the Hub has it)"
    if node.kind == "unreadable":
        return _Unreadable(path)
    return _no_directory(path, node) if name == above else f"{path} is not a regular file"


def _no_directory(path: str, node: Node) -> str:
    """Say what stands in the place of a directory."""
    if node.kind == "linked directory":
        return f"{path} is a link to a directory, which is not followed: {_LINK_REMEDY}"
    if node.kind == "file" and node.size == LINK_BYTES:
        return (
            f"{path} is a file, as a link looks without the mount option mfsymlinks: {_LINK_REMEDY}"
        )
    if node.kind in {"dangling", "outside"}:
        return f"{path} is a link that leads nowhere here: {_LINK_REMEDY}"
    return f"{path} is not a directory"


def _is_known(name: str) -> bool:
    """Return true for what lies in every good tree besides, and is not worth a word."""
    hidden = any(part.startswith(".") for part in name.split("/"))
    return hidden or name.endswith(".md") or name == FASTEMBED_METADATA
