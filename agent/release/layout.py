"""Rules for where each loader looks for a model: from names to paths. Pure.

Sources: FastEmbed 0.9 and sentence-transformers resolve names through huggingface_hub's cache
(`models--ORG--NAME/{refs/main,snapshots/<revision>/…}`); older releases of FastEmbed spelled its
own organisation in lower case; sentence-transformers before 2.3 used `ORG_NAME/`, and its users
load the bare directory by path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from agent.release.manifest import Manifest
    from agent.release.model_ref import ModelRef

# Releases stand in this directory of a share, and of a store.
RELEASES: Final = "releases"
# The link of a store to its active release, and the directory of what the agent itself keeps there.
CURRENT: Final = "current"
AGENT: Final = ".agent"

FASTEMBED: Final = "fastembed"
HUGGINGFACE: Final = "huggingface"
SENTENCE_TRANSFORMERS: Final = "sentence_transformers"
ROOTS: Final = (FASTEMBED, HUGGINGFACE, SENTENCE_TRANSFORMERS)

# What stands for a revision that nobody knows: git's null id.
UNKNOWN_REVISION: Final = "0" * 40

_LOADER_ROOT: Final = {
    "fastembed": FASTEMBED,
    "sentence-transformers": SENTENCE_TRANSFORMERS,
    "huggingface": f"{HUGGINGFACE}/hub",
}


def suffix(names: Collection[str], version: str) -> str:
    """Return what the top directories of a hand-made tree end in: `-v2`, if it has some for v2.

    Args:
        names: What is at the top.
        version: What the tree is wanted as.
    """
    return f"-{version}" if any(f"{root}-{version}" in names for root in ROOTS) else ""


def repo_folder(repo: str) -> str:
    """Return the folder of a model in a Hub cache, e.g. `models--BAAI--bge-large-en-v1.5`."""
    return "models--" + repo.replace("/", "--")


def repo_directory(ref: ModelRef) -> str:
    """Return where in a release a model's Hub cache folder stands."""
    return f"{_LOADER_ROOT.get(ref.loader, f'{HUGGINGFACE}/hub')}/{repo_folder(ref.repo)}"


def snapshot_directory(ref: ModelRef) -> str:
    """Return where in a release the files of a model stand."""
    return f"{repo_directory(ref)}/snapshots/{ref.revision}"


def refs_main(ref: ModelRef) -> str:
    """Return the file of a release that holds the name of the snapshot to load."""
    return f"{repo_directory(ref)}/refs/main"


def views(manifest: Manifest) -> dict[str, str]:
    """Return the paths under which a store offers a release's files too, each with its original.

    They are hard links, so they cost no space. A path that the release holds itself stays as it is.
    """
    own = {file.path for file in manifest.files}
    refs = [model.ref for model in manifest.models]
    bases = [_base(ref) for ref in refs if ref.loader == "sentence-transformers"]
    links = {
        link: file.path
        for ref in refs
        for file in manifest.files
        for link in _view_paths(ref, file.path, alone=bases.count(_base(ref)) < 2)  # noqa: PLR2004
    }
    return {link: path for link, path in links.items() if link not in own}


def roots(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the top-level directories of a release that a worker's environment points to."""
    first = {path.split("/", 1)[0] for path in paths}
    return tuple(root for root in ROOTS if root in first)


def _base(ref: ModelRef) -> str:
    return ref.repo.rpartition("/")[2]


def _view_paths(ref: ModelRef, path: str, *, alone: bool) -> Iterator[str]:
    """Yield the views of one file; one by the bare name only if no other model would share it."""
    folder = repo_directory(ref)
    inside = path.removeprefix(folder + "/")
    if inside == path:
        return
    org, _, base = ref.repo.rpartition("/")
    if ref.loader == "fastembed":
        yield f"{FASTEMBED}/{repo_folder(f'{org.lower()}/{base}')}/{inside}"
    if ref.loader == "sentence-transformers":
        yield f"{HUGGINGFACE}/hub/{repo_folder(ref.repo)}/{inside}"
        flat = path.removeprefix(snapshot_directory(ref) + "/")
        if flat != path:
            if alone:
                yield f"{SENTENCE_TRANSFORMERS}/{base}/{flat}"
            yield f"{SENTENCE_TRANSFORMERS}/{org}_{base}/{flat}"
