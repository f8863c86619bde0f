"""Finds the weights of a sentence-transformers model in its safetensors files, and checks them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from agent.models.formats import safetensors
from agent.models.formats.onnx_graph import BFLOAT16, FLOAT, FLOAT16, Tensor
from agent.models.runtimes.unrun_model import NotRunError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from agent.models.runtimes.bert.files import Bert

FILE: Final = "model.safetensors"
# Types of safetensors, as onnx.proto has them, and the bytes of a number.
_KINDS: Final = {"F32": (FLOAT, 4), "F16": (FLOAT16, 2), "BF16": (BFLOAT16, 2)}
# What stands before every name if a model with a head was trained: `transformers` leaves it out.
_PREFIX: Final = "bert."


def shapes(config: Bert) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every weight of an encoder; matrices are [out, in]."""
    hidden, wide = config.hidden_size, config.intermediate_size
    found: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config.vocab_size, hidden),
        "embeddings.position_embeddings.weight": (config.max_position_embeddings, hidden),
        "embeddings.token_type_embeddings.weight": (config.type_vocab_size, hidden),
        **_pair("embeddings.LayerNorm", hidden),
    }
    for layer in (f"encoder.layer.{index}" for index in range(config.num_hidden_layers)):
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            found |= _pair(f"{layer}.attention.{part}", hidden, hidden)
        found |= _pair(f"{layer}.attention.output.LayerNorm", hidden)
        found |= _pair(f"{layer}.intermediate.dense", wide, hidden)
        found |= _pair(f"{layer}.output.dense", hidden, wide)
        found |= _pair(f"{layer}.output.LayerNorm", hidden)
    return found


def _pair(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def encoder(directory: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return the weights of the encoder, by name.

    Args:
        directory: The model's.
        shapes: The names and shapes that its config asks for.

    Raises:
        NotRunError: A weight is missing, or in numbers that are not understood.
        ValueError: A weight has another shape, or the file is damaged.
    """
    header = _header(directory, FILE)
    prefix = "" if next(iter(shapes)) in header else _PREFIX
    return {name: _tensor(header, FILE, prefix + name, shape) for name, shape in shapes.items()}


def dense(directory: Path, folder: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return the weights of a Dense module, by name, its folder before it; raises as `encoder`."""
    file = f"{folder}/{FILE}"
    header = _header(directory, file)
    return {f"{folder}.{name}": _tensor(header, file, name, s) for name, s in shapes.items()}


def _header(directory: Path, name: str) -> dict[str, Any]:
    """Return the header of a file, with the place of its first tensor as `""`."""
    if not (directory / name).is_file():
        raise NotRunError(f"{name} is missing, and no other form of weights is run")
    with (directory / name).open("rb") as file:
        header = safetensors.safetensors_header(file)
        file.seek(0)
        return header | {"": 8 + int.from_bytes(file.read(8), "little")}


def _tensor(header: Mapping[str, Any], file: str, name: str, shape: tuple[int, ...]) -> Tensor:
    info = header.get(name)
    if info is None:
        raise NotRunError(f"{file} has no {name}")
    if info["dtype"] not in _KINDS:
        raise NotRunError(f"{name} is in {info['dtype']}")
    kind, size = _KINDS[info["dtype"]]
    begin, end = info["data_offsets"]
    if tuple(info["shape"]) != shape or end - begin != size * math.prod(shape):
        raise ValueError(f"{name} has the shape {info['shape']}, and {list(shape)} is needed")
    return Tensor(file, kind, shape, header[""] + begin, end - begin)
