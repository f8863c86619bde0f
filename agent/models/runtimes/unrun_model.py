"""Looks at a model that is not run here: its files, its config, the shapes of its weights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from agent.models.formats import safetensors, whole
from agent.release import layout

if TYPE_CHECKING:
    from pathlib import Path

    from agent.release.model_ref import ModelRef

_LIMITS: Final = (
    ("sentence_bert_config.json", "max_seq_length"),
    ("config.json", "max_position_embeddings"),
)
_USUAL_LENGTH: Final = 512
# A manifest has a dimension for each model; models of a worker's own need not say theirs.
_UNKNOWN_DIM: Final = 1


class NotRunError(Exception):
    """Nothing here can run a model; the rest of a sentence says why.

    Args:
        why: The sentence.
        dim: The model's dimension, where a list says it.
    """

    def __init__(self, why: str, dim: int | None = None) -> None:
        super().__init__(why)
        self.dim = dim


def inspect(ref: ModelRef, release: Path, dim: int | None = None) -> tuple[int, int]:
    """Return the dimension and the longest text, in tokens, of a model whose files fit together.

    Args:
        ref: The model.
        release: The directory of the release.
        dim: The dimension, where a list says it; else the model's config does.

    Raises:
        AgentError: A file is damaged.
        Exception: The files do not fit together.
    """
    directory = release / layout.snapshot_directory(ref)
    config = _json(directory, "config.json")
    width = _number(config, "hidden_size", "d_model", "n_embd", "dim")
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as file:
            _check_shapes(safetensors.safetensors_header(file), config, width)
    pooled = _number(_json(directory, "1_Pooling/config.json"), "word_embedding_dimension")
    denses = (f"{path.parent.name}/{path.name}" for path in directory.glob("*_Dense/config.json"))
    out = [_number(_json(directory, name), "out_features") for name in sorted(denses)]
    lengths = (_number(_json(directory, name), key) for name, key in _LIMITS)
    length = next(filter(None, lengths), _USUAL_LENGTH)
    return next(filter(None, [dim, *reversed(out), pooled, width]), _UNKNOWN_DIM), length


def _check_shapes(tensors: dict[str, Any], config: dict[str, Any], width: int | None) -> None:
    words = config.get("vocab_size")
    for name, info in tensors.items():
        known = width and words and name.endswith("word_embeddings.weight")
        if known and info["shape"] != [words, width]:
            raise ValueError(f"{name} has the shape {info['shape']}, which is not config.json's")


def _json(directory: Path, name: str) -> dict[str, Any]:
    """Return what a config says; nothing if there is none."""
    if not (directory / name).is_file():
        return {}
    whole.check(directory / name, name)
    value = json.loads((directory / name).read_bytes())
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not a JSON object")  # noqa: TRY004 - damaged data
    return value


def _number(config: dict[str, Any], *keys: str) -> int | None:
    """Return the first of these that the config has as a positive number."""
    found = (config.get(key) for key in keys)
    return next((n for n in found if isinstance(n, int) and n > 0), None)
