"""Where each loader looks for a model: pure rules from names to paths.

Sources: FastEmbed 0.9 and sentence-transformers resolve names through huggingface_hub's cache
(`models--ORG--NAME/{refs/main,snapshots/<revision>/…}`); older releases of FastEmbed spelled its
own organisation in lower case; sentence-transformers before 2.3 used `ORG_NAME/`, and its users
load the bare directory by path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from agent.release.manifest import Manifest

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


class Placed(Protocol):
    """What says where a model stands in a release."""

    @property
    def loader(self) -> str: ...  # noqa: D102 - the fields of a manifest's model
    @property
    def repo(self) -> str: ...  # noqa: D102
    @property
    def revision(self) -> str: ...  # noqa: D102


def suffix(names: Collection[str], version: str) -> str:
    """What the top directories of a hand-made tree end in: `-v2`, if it has some for this version.

    Args:
        names: What is at the top.
        version: What the tree is wanted as.
    """
    return f"-{version}" if any(f"{root}-{version}" in names for root in ROOTS) else ""


def repo_folder(repo: str) -> str:
    """The folder of a model in a Hub cache, e.g. `models--BAAI--bge-large-en-v1.5`."""
    return "models--" + repo.replace("/", "--")


def repo_directory(loader: str, repo: str) -> str:
    """Where in a release the Hub cache folder of `repo` stands."""
    return f"{_LOADER_ROOT.get(loader, f'{HUGGINGFACE}/hub')}/{repo_folder(repo)}"


def snapshot_directory(model: Placed) -> str:
    """Where in a release the files of `model` stand."""
    return f"{repo_directory(model.loader, model.repo)}/snapshots/{model.revision}"


def ref_path(loader: str, repo: str) -> str:
    """The file of a release that holds the name of the snapshot to load."""
    return f"{repo_directory(loader, repo)}/refs/main"


def views(manifest: Manifest) -> dict[str, str]:
    """The further paths under which a store offers a release's files, each with its original.

    They are hard links, so they cost no space. A path that the release holds itself stays as it is.
    """
    own = {file.path for file in manifest.files}
    bases = [_base(model) for model in manifest.models if model.loader == "sentence-transformers"]
    links = {
        link: file.path
        for model in manifest.models
        for file in manifest.files
        for link in _view_paths(model, file.path, alone=bases.count(_base(model)) < 2)  # noqa: PLR2004
    }
    return {link: path for link, path in links.items() if link not in own}


def roots(paths: Iterable[str]) -> tuple[str, ...]:
    """The top-level directories of a release that a worker's environment points to."""
    first = {path.split("/", 1)[0] for path in paths}
    return tuple(root for root in ROOTS if root in first)


def _base(model: Placed) -> str:
    return model.repo.rpartition("/")[2]


def _view_paths(model: Placed, path: str, *, alone: bool) -> Iterator[str]:
    """The views of one file; one by the bare name only if no other model would share it."""
    folder = repo_directory(model.loader, model.repo)
    inside = path.removeprefix(folder + "/")
    if inside == path:
        return
    org, _, base = model.repo.rpartition("/")
    if model.loader == "fastembed":
        yield f"{FASTEMBED}/{repo_folder(f'{org.lower()}/{base}')}/{inside}"
    if model.loader == "sentence-transformers":
        yield f"{HUGGINGFACE}/hub/{repo_folder(model.repo)}/{inside}"
        flat = path.removeprefix(snapshot_directory(model) + "/")
        if flat != path:
            if alone:
                yield f"{SENTENCE_TRANSFORMERS}/{base}/{flat}"
            yield f"{SENTENCE_TRANSFORMERS}/{org}_{base}/{flat}"
