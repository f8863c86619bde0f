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


class NotRunError(Exception):
    """Nothing here can run a model; the rest of a sentence says why."""


def inspect(ref: ModelRef, release: Path) -> tuple[int, int]:
    """Return the dimension and the longest text, in tokens, of a model whose files fit together.

    Raises:
        AgentError: A file is damaged.
        Exception: A file is missing, or they do not fit together.
    """
    directory = release / layout.snapshot_directory(ref)
    config = _json(directory, "config.json")
    dim = int(config["hidden_size"])
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as file:
            _check_shapes(safetensors.safetensors_header(file), dim, config)
    pooling = directory / "1_Pooling" / "config.json"
    if pooling.exists():
        dim = int(json.loads(pooling.read_bytes()).get("word_embedding_dimension", dim))
    for dense in sorted(directory.glob("*_Dense/config.json")):
        dim = int(json.loads(dense.read_bytes())["out_features"])
    found = [_json(directory, n).get(key) for n, key in _LIMITS if (directory / n).exists()]
    return dim, next((int(value) for value in found if value), _USUAL_LENGTH)


def _check_shapes(tensors: dict[str, Any], dim: int, config: dict[str, Any]) -> None:
    for name, info in tensors.items():
        if name.endswith("word_embeddings.weight") and info["shape"] != [config["vocab_size"], dim]:
            raise ValueError(f"{name} has the shape {info['shape']}, which is not config.json's")


def _json(directory: Path, name: str) -> dict[str, Any]:
    whole.check(directory / name, name)
    value = json.loads((directory / name).read_bytes())
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not a JSON object")  # noqa: TRY004 - damaged data
    return value
