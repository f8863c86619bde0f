"""Makes shares with releases on them, quickly: each kind of tiny model is published once.

A release of a tiny model loads and has a true canary; a synthetic one is just files, for tests that
do not load anything.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agent.release import layout, manifest
from tests.support import agents, models

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from agent.release.manifest import Manifest

REVISION: Final = "0123456789abcdef0123456789abcdef01234567"
FOLDER: Final = f"fastembed/{layout.repo_folder(models.MINILM_REPO)}"
SNAPSHOT: Final = f"{FOLDER}/snapshots/{REVISION}"
CATALOG: Final = f"""\
version = "catalogued"
[[model]]
name = "{models.MINILM}"
loader = "fastembed"
"""

_cache = tempfile.TemporaryDirectory(prefix="model-agent-releases-")
atexit.register(_cache.cleanup)


@dataclass(frozen=True)
class Tiny:
    """A kind of tiny model: its embedding space is its seed's, however the weights are kept."""

    seed: int = 0
    weights: models.Weights = "inline"


# Three releases of one embedding space, and one of another; all differ in their weights' bytes.
INLINE: Final = Tiny()
EXTERNAL: Final = Tiny(weights="external")
HALF: Final = Tiny(weights="fp16")
ELSEWHERE: Final = Tiny(seed=1)


class TestShare:
    """A share in a directory, and a catalog beside it.

    Args:
        root: Where the share is; made if it is missing.
        catalog: Where the catalog is; one that names a tiny MiniLM is made if it is missing.
        bare: Do not make `releases/`.
    """

    __test__ = False

    def __init__(self, root: Path, *, catalog: Path | None = None, bare: bool = False) -> None:
        self.root = root
        (root if bare else root / "releases").mkdir(parents=True, exist_ok=True)
        self.catalog = catalog or root.with_name(f"{root.name}-catalog.toml")
        if not self.catalog.exists():
            self.catalog.write_text(CATALOG)

    def release(self, version: str) -> Path:
        """Where a release is."""
        return self.root / "releases" / version

    def add(self, version: str, kind: Tiny = INLINE) -> Manifest:
        """Add a release of a tiny model, as `model-agent publish --from` makes it."""
        shutil.copytree(_published(kind), self.release(version), copy_function=shutil.copyfile)
        return self.sign(version, lambda raw: raw.update(version=version))

    def fill_from(self, other: Path) -> None:
        """Add what another share has."""
        shutil.copytree(other, self.root, dirs_exist_ok=True)

    def add_plain(self, *versions: str) -> None:
        """Add releases of one file of 100 KB each, which nobody loads."""
        for version in versions:
            self.add_files(version, {"model.onnx": version.encode() * 50_000})

    def add_files(
        self, version: str, files: Mapping[str, bytes], *, chunk_size: int = 64 * 1024
    ) -> Manifest:
        """Add a synthetic release: `files` by their name in the snapshot of one FastEmbed model."""
        held = {f"{SNAPSHOT}/{name}": data for name, data in files.items()}
        held[f"{FOLDER}/refs/main"] = REVISION.encode()
        for path, data in held.items():
            target = self.release(version) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        made = manifest.build(
            version=version,
            created="2026-01-01T00:00:00Z",
            generator="tests",
            chunk_size=chunk_size,
            files=[_file(path, data, chunk_size) for path, data in held.items()],
            models=[
                manifest.Model(
                    name=models.MINILM,
                    loader="fastembed",
                    repo=models.MINILM_REPO,
                    revision=REVISION,
                    dim=32,
                    max_length=512,
                )
            ],
        )
        (self.release(version) / manifest.FILE_NAME).write_bytes(made.encoded)
        return made

    def sign(self, version: str, change: Callable[[dict[str, Any]], object]) -> Manifest:
        """Change a release's manifest, and make it whole and canonical again."""
        path = self.release(version) / manifest.FILE_NAME
        raw = json.loads(path.read_bytes())
        change(raw)
        signed = manifest.parse(manifest.canonical(raw))
        path.write_bytes(signed.encoded)
        return signed

    def manifest(self, version: str) -> Manifest:
        """A release's manifest."""
        return manifest.parse((self.release(version) / manifest.FILE_NAME).read_bytes())

    def mark(self, version: str, *comments: str) -> None:
        """Write the marker: a version, and comment lines such as `previous: v1`."""
        lines = [version, *(f"# {comment}" for comment in comments)]
        new = self.root / ".VERSION.new"
        new.write_text("\n".join(lines) + "\n")
        new.replace(self.root / "VERSION")


@contextmanager
def in_memory() -> Iterator[Path]:
    """A directory in memory while the block runs: thousands of syncs of a disk take minutes."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        yield Path(scratch)


def tree(directory: Path, kind: Tiny | Path = INLINE) -> Path:
    """Lay a MiniLM, a tiny one or what a directory holds, out as `publish --from` takes it.

    Its files are in `directory/fastembed/models--…` then.
    """
    source = built(kind) if isinstance(kind, Tiny) else kind
    models.as_hub_cache(directory / "fastembed", models.MINILM_REPO, REVISION, source)
    return directory


def flip(path: Path, offset: int = -1) -> None:
    """Flip one bit of a file, in place: its size stays."""
    with path.open("r+b") as file:
        file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def rot(path: Path) -> None:
    """Flip one bit of a file under its times, as a disk does."""
    status = path.stat()
    flip(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def snapshot(root: Path) -> dict[str, str]:
    """All that is under `root`: each path with a file's digest, a link's target, or nothing."""
    return {str(path.relative_to(root)): _content(path) for path in sorted(root.rglob("*"))}


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "directory"


def _file(path: str, data: bytes, chunk_size: int) -> manifest.File:
    chunks = (data[at : at + chunk_size] for at in range(0, len(data), chunk_size))
    return manifest.File(
        path=path,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        chunks=tuple(hashlib.sha256(chunk).hexdigest() for chunk in chunks),
    )


@functools.cache
def built(kind: Tiny = INLINE) -> Path:
    """The directory of a tiny model; not to be changed."""
    directory = Path(_cache.name) / f"model-{kind.seed}-{kind.weights}"
    models.write_tiny(directory, seed=kind.seed, weights=kind.weights)
    return directory


@functools.cache
def _published(kind: Tiny) -> Path:
    """The release of a kind, as the real command makes it."""
    directory = Path(_cache.name) / f"release-{kind.seed}-{kind.weights}"
    share = TestShare(directory / "share")
    source = tree(directory / "tree", kind)
    flags = ("--share", share.root, "--catalog", share.catalog)
    agents.run("publish", *flags, "--from", source, "--version", "cached").ok()
    return share.release("cached")
