"""Writes releases and stores as the agent leaves them, without the agent."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agent.release import layout, manifest, space
from agent.release.manifest import Canary, File, Manifest, Model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CREATED: Final = "2026-01-01T00:00:00Z"
REVISION: Final = "0123456789abcdef0123456789abcdef01234567"
_CHUNK: Final = 1024 * 1024


def write_release(
    directory: Path, files: Mapping[str, bytes], models: Sequence[Model], *, version: str = ""
) -> Manifest:
    """Write `files` and a true manifest of all that then stands under `directory`.

    The version is the directory's name unless it is given.
    """
    for path, content in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return write_manifest(directory, models, version=version)


def write_manifest(directory: Path, models: Sequence[Model], *, version: str = "") -> Manifest:
    """Write a true manifest of the files that stand under `directory`."""
    (directory / manifest.FILE_NAME).unlink(missing_ok=True)
    built = manifest.build(
        version=version or directory.name,
        created=CREATED,
        generator="tests",
        chunk_size=_CHUNK,
        files=[_file(directory, path) for path in directory.rglob("*") if path.is_file()],
        models=list(models),
    )
    (directory / manifest.FILE_NAME).write_bytes(built.encoded)
    return built


def bare_release(store: Path, version: str, content: str = "") -> Manifest:
    """Stage a release that holds one small file: `content`, else its version."""
    file = {"fastembed/model": (content or version).encode()}
    return write_release(store / "releases" / version, file, [a_model()])


def fastembed_release(
    store: Path,
    version: str,
    source: Path,
    *,
    name: str,
    repo: str,
    canary: Canary | None = None,
    dim: int = 32,
) -> Manifest:
    """Stage a release with one FastEmbed model whose files stand in `source`."""
    from tests.support.models import as_hub_cache

    directory = store / "releases" / version
    as_hub_cache(directory / layout.FASTEMBED, repo, REVISION, source)
    return write_manifest(directory, [a_model(name=name, repo=repo, canary=canary, dim=dim)])


def a_model(**fields: Any) -> Model:
    """A manifest's entry for a model; what is not given is made up."""
    made_up: dict[str, Any] = {
        "name": "Org/name",
        "loader": "fastembed",
        "repo": "Org/name-onnx",
        "revision": REVISION,
        "dim": 32,
        "max_length": 256,
    }
    return Model(**(made_up | fields))


def canary_of(
    source: Path, *, name: str, repo: str, scratch: Path, min_cosine: float = 0.999
) -> Canary:
    """The canary of the model in `source`, made by stock FastEmbed, one text at a time."""
    from fastembed import TextEmbedding

    from tests.support.models import as_hub_cache

    as_hub_cache(scratch, repo, REVISION, source)
    stock = TextEmbedding(
        name,
        cache_dir=str(scratch),
        local_files_only=True,
        threads=1,
        providers=["CPUExecutionProvider"],  # the GPU build would take CUDA
    )
    vectors = [tuple(map(float, next(iter(stock.embed([t]))))) for t in space.CANARY_TEXTS]
    return Canary(texts=space.CANARY_TEXTS, vectors=tuple(vectors), min_cosine=min_cosine)


def activate(store: Path, version: str) -> None:
    """Flip `current` to `version`, as the agent does: by one rename."""
    link = store / f".current-{secrets.token_hex(4)}"
    link.symlink_to(Path("releases") / version)
    os.replace(link, store / "current")  # noqa: PTH105 - a rename of the link itself


def _file(directory: Path, path: Path) -> File:
    data = path.read_bytes()
    chunks = [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)]
    return File(
        path=str(path.relative_to(directory)),
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        chunks=tuple(hashlib.sha256(chunk).hexdigest() for chunk in chunks),
    )
