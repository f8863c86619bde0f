"""The trees that releases are published from: three kinds of loaders, some 60 KB each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import numpy as np

from tests.support import models

if TYPE_CHECKING:
    from pathlib import Path

REVISION: Final = "0123456789abcdef0123456789abcdef01234567"
OTHER: Final = "sentence-transformers/paraphrase-MiniLM-L3-v2"
CATALOG: Final = f"""\
version = "catalogued"

[[model]]
name = "{models.MINILM}"
loader = "fastembed"

[[model]]
name = "{OTHER}"
loader = "sentence-transformers"

[[model]]
name = "{OTHER}"
loader = "huggingface"
"""
# What is embedded.
TEXTS: Final = ("A man is eating food.", "The sky is blue.")
_HIDDEN: Final = 8
_MODULES: Final = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]


def write(tree: Path, *, weights: models.Weights = "inline", seed: int = 0) -> Path:
    """Write a tree as `publish --from` takes it, and return it.

    The one of FastEmbed's is a model that loads, in the embedding space of its seed; the others are
    right in form, and their weights are noise.
    """
    built, noise = tree / "built", tree / "noise"
    models.write_tiny(built, hidden=_HIDDEN, weights=weights, seed=seed)
    models.as_hub_cache(tree / "fastembed", models.MINILM_REPO, REVISION, built)
    write_noise(noise)
    for root in ("sentence_transformers", "huggingface/hub"):
        models.as_hub_cache(tree / root, OTHER, REVISION, noise)
    return tree


def write_by_hand(tree: Path) -> Path:
    """Write a tree as the documentation had it before there was an agent, and return it."""
    folder = models.MINILM.replace("/", "--")
    models.write_tiny(tree / "fastembed" / f"models--{folder}", hidden=_HIDDEN)
    flat = tree / "sentence_transformers" / OTHER.rpartition("/")[2]
    write_noise(flat)
    models.as_hub_cache(tree / "huggingface" / "hub", OTHER, REVISION, flat)
    return tree


def write_noise(directory: Path) -> None:
    """Write what sentence-transformers reads, of a model that means nothing."""
    shape = [64, _HIDDEN]
    data = np.random.default_rng(0).standard_normal(shape, np.float32).tobytes()
    tensor = {"dtype": "F32", "shape": shape, "data_offsets": [0, len(data)]}
    header = json.dumps({"embeddings.word_embeddings.weight": tensor}).encode()
    config = {"hidden_size": _HIDDEN, "vocab_size": 64, "max_position_embeddings": 128}
    files = {
        "1_Pooling/config.json": json.dumps({"word_embedding_dimension": _HIDDEN}).encode(),
        "config.json": json.dumps(config).encode(),
        "model.safetensors": len(header).to_bytes(8, "little") + header + data,
        "modules.json": json.dumps(_MODULES).encode(),
        "sentence_bert_config.json": b'{"max_seq_length": 128}',
        "tokenizer.json": b'{"model": {}}',
    }
    for name, content in files.items():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
