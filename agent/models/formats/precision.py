"""Tells the precision of a model's weights from its files, without loading them."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, BinaryIO, Final

from agent.models.formats import onnx, protobuf, safetensors

if TYPE_CHECKING:
    from pathlib import Path

    from agent.models.formats.protobuf import Field
    from agent.release.canary import Precision

# Data types of onnx.proto.
_HALVES: Final = {10, 16}  # FLOAT16, BFLOAT16
_SHORT: Final = {2, 3, 17, 18, 19, 20, 21, 22}  # (U)INT8, FLOAT8 in its kinds, (U)INT4
_SAFETENSORS: Final = {"F16": 10, "BF16": 16, "I8": 3, "U8": 2, "F8_E4M3": 17, "F8_E5M2": 19}
# A model of mixed weights rounds as its shortest ones do, if there is more than a trace of them.
_TRACE: Final = 0.1


def of(directory: Path) -> Precision:
    """Return the precision of the weights in a model's directory; fp32 where it cannot be told.

    Raises:
        ValueError: A file is damaged.
    """
    numbers: Counter[int] = Counter()
    for path in directory.rglob("*"):
        if path.suffix == ".onnx":
            with path.open("rb") as file:
                for tensor in onnx.initializers(file):
                    _count_tensor(file, tensor, numbers)
        elif path.suffix == ".safetensors":
            with path.open("rb") as file:
                _count_safetensors(file, numbers)
    return _judge(numbers)


def _judge(numbers: Counter[int]) -> Precision:
    enough = _TRACE * numbers.total()
    if sum(numbers[kind] for kind in _SHORT) > enough:
        return "int8"
    return "fp16" if sum(numbers[kind] for kind in _HALVES) > enough else "fp32"


def _count_safetensors(file: BinaryIO, numbers: Counter[int]) -> None:
    try:
        for info in safetensors.safetensors_header(file).values():
            numbers[_SAFETENSORS.get(info["dtype"], 1)] += math.prod(map(int, info["shape"]))
    except (KeyError, TypeError, OverflowError, RecursionError):
        raise ValueError("its safetensors header lists no dtype or shape") from None


def _count_tensor(file: BinaryIO, tensor: Field, numbers: Counter[int]) -> None:
    kind, count = 0, 1
    for field in protobuf.fields(file, tensor.start, tensor.end):
        if field.number == onnx.DIMS:
            count *= math.prod(onnx.numbers(file, field))
        elif field.number == onnx.DATA_TYPE:
            kind = next(onnx.numbers(file, field), kind)
    numbers[kind] += count
