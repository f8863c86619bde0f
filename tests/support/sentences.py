"""Writes sentence-transformers models: a small one in any of its forms, and variants of MiniLM."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

from tests.support import models
from tests.support.bert import BertConfig, weight_shapes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.bert import Array

Numbers: TypeAlias = Literal["F32", "F16", "BF16"]

MODULES: Final = "sentence_transformers.models"
TANH: Final = "torch.nn.modules.activation.Tanh"


def write(
    directory: Path, *, seed: int = 0, pooling: str = "mean", numbers: Numbers = "F32"
) -> BertConfig:
    """Write a model of 150 KB whose weights are random, and return its sizes.

    It has texts of at most 128 tokens and vectors of 32 numbers, at length 1.
    """
    models.write_tiny(directory, seed=seed)
    (directory / "model.onnx").unlink()
    vocab = json.loads((directory / "config.json").read_bytes())["vocab_size"]
    config = BertConfig(layers=2, hidden=32, heads=2, intermediate=64, vocab=vocab)
    write_weights(directory, weights(config, seed=seed), numbers)
    write_json(directory, "sentence_bert_config.json", {"max_seq_length": 128})
    write_pooling(directory, pooling, config.hidden)
    write_modules(directory, "1_Pooling", "2_Normalize")
    return config


def weights(config: BertConfig, *, seed: int = 0) -> dict[str, Array]:
    """The random weights of such a model, none of which is all zeros or ones."""
    random = np.random.default_rng(seed)
    made: Mapping[str, Array] = models.RandomWeights(config, seed=seed)
    return {
        name: made[name] + random.normal(0, 0.05, shape).astype(np.float32)
        for name, shape in weight_shapes(config).items()
    }


def write_minilm(directory: Path, *, pooling: str = "mean", numbers: Numbers = "F32") -> None:
    """Write the real MiniLM with another pooling, or with its weights rounded."""
    models.write_minilm_safetensors(directory)
    write_pooling(directory, pooling, models.MINILM_CONFIG.hidden)
    if numbers != "F32":
        write_weights(directory, models.minilm_weights(), numbers)


def add_dense(directory: Path, inputs: int, outputs: int, **more: object) -> dict[str, Array]:
    """Put a Dense module between the pooling and the normalization; return its weights."""
    random = np.random.default_rng(5)
    made = {
        "linear.weight": random.normal(0, inputs**-0.5, (outputs, inputs)).astype(np.float32),
        "linear.bias": random.normal(0, 0.1, outputs).astype(np.float32),
    }
    config = {"in_features": inputs, "out_features": outputs, "bias": True}
    write_json(directory, "2_Dense/config.json", config | {"activation_function": TANH} | more)
    write_weights(directory / "2_Dense", made)
    write_modules(directory, "1_Pooling", "2_Dense", "3_Normalize")
    return made


def write_pooling(directory: Path, mode: str, hidden: int) -> None:
    """Write the pooling's config as sentence-transformers up to 5 does."""
    known = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens"}
    modes = {f"pooling_mode_{name}": mode == known_as for known_as, name in known.items()}
    write_json(directory, "1_Pooling/config.json", {"word_embedding_dimension": hidden} | modes)


def write_modules(directory: Path, *folders: str) -> None:
    """Write `modules.json`: the encoder, then modules that are named like their folders."""
    kinds = {"": "Transformer"} | {folder: folder.partition("_")[2] for folder in folders}
    listed = [
        {"idx": index, "name": str(index), "path": path, "type": f"{MODULES}.{kind}"}
        for index, (path, kind) in enumerate(kinds.items())
    ]
    write_json(directory, "modules.json", listed)


def write_weights(directory: Path, tensors: Mapping[str, Array], numbers: Numbers = "F32") -> None:
    """Write `model.safetensors`."""
    header, data, at = {}, [], 0
    for name, tensor in tensors.items():
        data.append(_encoded(tensor, numbers))
        end = at + len(data[-1])
        header[name] = {"dtype": numbers, "shape": tensor.shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "model.safetensors"
    path.unlink(missing_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data))


def _encoded(tensor: Array, numbers: Numbers) -> bytes:
    if numbers == "F16":
        return tensor.astype(np.float16).tobytes()
    whole = np.ascontiguousarray(tensor, np.float32)
    if numbers == "F32":
        return whole.tobytes()
    rounded = whole.view(np.uint32) + np.uint32(0x8000)
    return (rounded >> np.uint32(16)).astype(np.uint16).tobytes()


def change_json(directory: Path, name: str, **fields: Any) -> None:
    """Change fields of a JSON file; one that becomes None is taken out."""
    path = directory / name
    new = (json.loads(path.read_bytes()) if path.exists() else {}) | fields
    write_json(directory, name, {key: value for key, value in new.items() if value is not None})


def write_json(directory: Path, name: str, value: object) -> None:
    """Write a JSON file anew."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(value))
