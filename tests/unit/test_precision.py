"""The precision of a model's weights, as its files have it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from agent import precision
from tests.support import models

if TYPE_CHECKING:
    from pathlib import Path

    from agent.precision import Precision

FLOAT, HALF, BF16, BYTE, NIBBLE = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
    TensorProto.INT8,
    TensorProto.UINT4,
)


def write(directory: Path, *tensors: tuple[int, list[int]]) -> None:
    """A model that holds tensors of these types and shapes, and nothing in them."""
    directory.mkdir(exist_ok=True)
    graph = helper.make_graph([], "graph", [], [])
    for number, (kind, dims) in enumerate(tensors):
        tensor = graph.initializer.add()
        tensor.name = f"t{number}"
        tensor.data_type = kind
        tensor.dims.extend(dims)
    onnx.save(helper.make_model(graph), directory / "model.onnx")


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        pytest.param([(FLOAT, [100, 100])], "fp32", id="floats"),
        pytest.param([(HALF, [100, 100])], "fp16", id="halves"),
        pytest.param([(BF16, [100, 100])], "fp16", id="bfloat16"),
        pytest.param([(BYTE, [100, 100])], "int8", id="bytes"),
        pytest.param([(NIBBLE, [100, 100])], "int8", id="half-bytes"),
        pytest.param([(FLOAT, [100, 100]), (BYTE, [10, 10])], "fp32", id="a-trace-of-bytes"),
        pytest.param([(FLOAT, [100, 100]), (BYTE, [50, 50])], "int8", id="embeddings-as-floats"),
        pytest.param([(HALF, [100, 100]), (BYTE, [50, 50])], "int8", id="the-shortest-counts"),
        pytest.param([(FLOAT, [])], "fp32", id="a-scalar"),
        pytest.param([], "fp32", id="nothing"),
    ],
)
def test_what_most_weights_are(
    tensors: list[tuple[int, list[int]]], expected: Precision, tmp_path: Path
) -> None:
    """Rounded weights count as soon as they are a tenth of all, the shortest first."""
    write(tmp_path / "model", *tensors)
    assert precision.of(tmp_path / "model") == expected


@pytest.mark.parametrize(
    ("weights", "expected"), [("inline", "fp32"), ("external", "fp32"), ("fp16", "fp16")]
)
def test_of_a_real_graph(weights: models.Weights, expected: Precision, tmp_path: Path) -> None:
    """Wherever the weights are kept."""
    models.write_tiny(tmp_path / "model", weights=weights)
    assert precision.of(tmp_path / "model") == expected


@pytest.mark.parametrize(
    ("dtype", "size", "expected"),
    [("F32", 4, "fp32"), ("F16", 2, "fp16"), ("BF16", 2, "fp16"), ("I8", 1, "int8")],
)
def test_of_safetensors(dtype: str, size: int, expected: Precision, tmp_path: Path) -> None:
    """Its header says it."""
    weights = np.ones(64 * size, np.uint8).tobytes()
    header = {"w": {"dtype": dtype, "shape": [8, 8], "data_offsets": [0, len(weights)]}}
    encoded = json.dumps(header).encode()
    data = len(encoded).to_bytes(8, "little") + encoded + weights
    (tmp_path / "model.safetensors").write_bytes(data)
    assert precision.of(tmp_path) == expected


def test_a_directory_without_weights(tmp_path: Path) -> None:
    """What cannot be told is held to the narrowest tolerance."""
    (tmp_path / "config.json").write_text("{}")
    assert precision.of(tmp_path) == "fp32"


def test_a_damaged_file(tmp_path: Path) -> None:
    """It is an error, and no guess."""
    (tmp_path / "model.onnx").write_bytes(b"\x3a\xff\xff\xff\xff\x0f")
    with pytest.raises(ValueError, match="cut off"):
        precision.of(tmp_path)
