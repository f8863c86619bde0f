"""Adoption picks the files of a hand-made tree that make a release. Pure: listing in, plan out.

A tree is taken as operators left it: flat as documented, as a Hub cache with or without its links,
with the lower-case folder of older FastEmbed releases, or under a suffix (`fastembed-v2/`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from agent.release import layout, paths
from agent.release.wanted import Wanted, missing, pick

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.release.model_ref import ModelRef
    from agent.release.tree import Node, Tree

_REVISION_LENGTH: Final = 40
_COPY_REMEDY: Final = "copy the cache again with its links resolved (cp -rL, rsync -rL)"


@dataclass(frozen=True)
class Found:
    """One model that was found: its files by their name in the snapshot, with the paths to read."""

    ref: ModelRef
    files: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """The release that a tree gives.

    Attributes:
        files: Path in the release → path in the tree.
        written: Path in the release → bytes that the tree lacks.
        models: The models that the release holds.
        absent: Wanted models that the tree does not have at all.
        problems: A sentence for each model that is incomplete.
        optimize: Paths in the release of ONNX models whose weights are to be external data.
    """

    files: Mapping[str, str]
    written: Mapping[str, bytes]
    models: Sequence[ModelRef]
    absent: Sequence[Wanted] = ()
    problems: Sequence[str] = ()
    optimize: Sequence[str] = ()


def plan(tree: Tree, wanted: Iterable[Wanted], *, suffix: str = "") -> Plan:
    """Find each wanted model in `tree`, whose top directories carry `suffix`."""
    files: dict[str, str] = {}
    written: dict[str, bytes] = {}
    models: list[ModelRef] = []
    absent: list[Wanted] = []
    problems: list[str] = []
    optimize: list[str] = []
    for want in wanted:
        found = _find(tree, want, suffix)
        if found is None:
            absent.append(want)
        elif isinstance(found, str):
            problems.append(found)
        else:
            folder = layout.snapshot_directory(found.ref)
            files |= {f"{folder}/{name}": path for name, path in found.files.items()}
            written[layout.refs_main(found.ref)] = found.ref.revision.encode()
            models.append(found.ref)
            optimize += [f"{folder}/{want.model_file}"] if want.optimize else []
    return Plan(files, written, tuple(models), tuple(absent), tuple(problems), tuple(optimize))


def _find(tree: Tree, want: Wanted, suffix: str) -> Found | str | None:
    """Return the first complete candidate, else what the first one lacks, else None."""
    problem: str | None = None
    for directory in _candidates(tree, want.ref, suffix):
        found = _examine(tree, want, directory)
        if isinstance(found, Found):
            return found
        problem = problem or found
    return problem


def _candidates(tree: Tree, ref: ModelRef, suffix: str) -> list[str]:
    org, _, base = ref.name.rpartition("/")
    if ref.loader == "fastembed":
        root = layout.FASTEMBED + suffix
        names = [layout.repo_folder(ref.repo), layout.repo_folder(ref.name)]
        names += [f"fast-{base}", ref.name, base]
    elif ref.loader == "huggingface":
        root, names = f"{layout.HUGGINGFACE}{suffix}/hub", [layout.repo_folder(ref.repo)]
    else:
        root = layout.SENTENCE_TRANSFORMERS + suffix
        names = [layout.repo_folder(ref.repo), base, f"{org}_{base}", ref.name]
    paths = [f"{root}/{name}" for name in names]
    if ref.loader == "sentence-transformers":
        paths.append(f"{layout.HUGGINGFACE}{suffix}/hub/{layout.repo_folder(ref.repo)}")
    by_folded = {path.casefold(): path for path, n in tree.nodes.items() if n.kind == "directory"}
    found = [p if p in tree.nodes else by_folded.get(p.casefold()) for p in paths]
    return [path for path in dict.fromkeys(found) if path]


def _examine(tree: Tree, want: Wanted, directory: str) -> Found | str:
    nodes = tree.under(directory)
    revision, inside = layout.UNKNOWN_REVISION, ""
    if "snapshots" in nodes:
        chosen = _snapshot(nodes, tree.refs.get(f"{directory}/refs/main", ""))
        if chosen is None:
            return _no_snapshot(directory, nodes)
        inside = f"snapshots/{chosen}/"
        revision = chosen if _is_revision(chosen) else revision
    names = {p.removeprefix(inside): n for p, n in nodes.items() if p.startswith(inside)}
    return _assemble(want, f"{directory}/{inside}".rstrip("/"), revision, names)


def _assemble(want: Wanted, directory: str, revision: str, nodes: dict[str, Node]) -> Found | str:
    bad = {name: node.kind for name, node in nodes.items() if node.kind in {"dangling", "outside"}}
    files = [name for name, node in nodes.items() if node.kind == "file"]
    picked = pick(want, [name for name in files if not paths.problem(name)])
    absent = missing(want, picked)
    dangling = [name for name, kind in bad.items() if kind == "dangling"]
    lost = absent if absent in bad else next(iter(pick(want, dangling)), None)
    if lost:
        return f"{directory}/{lost} is a link that leads nowhere here: {_COPY_REMEDY}"
    if absent and absent in nodes:
        return f"{directory}/{absent} is not a regular file"
    if absent:
        return f"{directory}/{absent} is missing ({want.ref.repo} on the Hub has it)"
    ref = replace(want.ref, revision=revision)
    return Found(ref, {name: f"{directory}/{name}" for name in picked})


def _snapshot(nodes: Mapping[str, Node], ref: str) -> str | None:
    """Return the snapshot that `refs/main` names, else the only one that holds files."""
    held = {
        path.split("/")[1]
        for path, node in nodes.items()
        if path.startswith("snapshots/") and path.count("/") > 1 and node.kind != "directory"
    }
    if ref.strip() in held:
        return ref.strip()
    return held.pop() if len(held) == 1 else None


def _no_snapshot(directory: str, nodes: Mapping[str, Node]) -> str:
    files = [path for path, node in nodes.items() if node.kind != "directory"]
    if any(path.count("/") > 1 and path.startswith("snapshots/") for path in files):
        return f"{directory}/refs/main is missing and there are several snapshots: write it"
    return f"{directory}/snapshots holds no files (AzCopy leaves links out): {_COPY_REMEDY}"


def _is_revision(text: str) -> bool:
    return len(text) == _REVISION_LENGTH and set(text) <= set("0123456789abcdef")
