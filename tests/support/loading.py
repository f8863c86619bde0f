"""Loads models as workers do, and prints their vectors; a program for `confined.run`.

It imports nothing of this project, so that it runs wherever the loaders are installed:

python loading.py HOW NAME-OR-PATH TEXT
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def fastembed(name: str, text: str) -> list[float]:
    """Stock FastEmbed by its environment variable."""
    from fastembed import TextEmbedding

    model = TextEmbedding(name, local_files_only=True, threads=1)
    return [float(x) for x in next(iter(model.embed([text])))]


def fastembed_cache_dir(name: str, text: str) -> list[float]:
    """Stock FastEmbed by its argument, as code has it that knows no variable."""
    from fastembed import TextEmbedding

    cache = os.environ.pop("FASTEMBED_CACHE_PATH")
    model = TextEmbedding(name, cache_dir=cache, local_files_only=True, threads=1)
    return [float(x) for x in next(iter(model.embed([text])))]


def sentence_transformers(name: str, text: str) -> list[float]:
    """sentence-transformers, by a name or by a path."""
    from sentence_transformers import SentenceTransformer

    return [float(x) for x in SentenceTransformer(name, device="cpu").encode([text])[0]]


def vectors(name: str, text: str) -> list[list[list[float]]]:
    """sentence-transformers, by each path of a list in JSON, for each text of one, by itself."""
    from sentence_transformers import SentenceTransformer

    models = [SentenceTransformer(each, device="cpu") for each in json.loads(name)]
    texts = json.loads(text)
    return [[[float(x) for x in model.encode([t])[0]] for t in texts] for model in models]


def snapshot(name: str, text: str) -> list[float]:
    """huggingface_hub's own look at its cache: the snapshot is whole, and nothing is odd."""
    from huggingface_hub import scan_cache_dir, snapshot_download

    found = Path(snapshot_download(name, local_files_only=True))
    assert (found / "config.json").is_file(), found
    scanned = scan_cache_dir()
    assert not scanned.warnings, scanned.warnings
    assert name in {repo.repo_id for repo in scanned.repos}
    return []


HOW: dict[str, Callable[[str, str], object]] = {
    "fastembed": fastembed,
    "fastembed-cache-dir": fastembed_cache_dir,
    "sentence-transformers": sentence_transformers,
    "snapshot": snapshot,
    "vectors": vectors,
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    how, name, text = sys.argv[1:]
    print(json.dumps(HOW[how](name, text)))
