"""The precision of a model's weights, as its files have it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from agent.models.formats import precision
from tests.support import bert, models
from tests.support.shares import in_memory

if TYPE_CHECKING:
    from pathlib import Path

    from agent.release.canary import Precision

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


COUNTS = st.integers(0, 1000)


@given(COUNTS, COUNTS, COUNTS)
def test_a_tenth_decides(floats: int, halves: int, short: int) -> None:
    """A trace of rounded weights changes nothing, and a little more than that does."""
    with in_memory() as directory:
        write(directory, (FLOAT, [floats]), (HALF, [halves]), (BYTE, [short]))
        found = precision.of(directory)
    tenth = (floats + halves + short) / 10
    assert found == ("int8" if short > tenth else "fp16" if halves > tenth else "fp32")


@pytest.mark.parametrize(("floats", "expected"), [(150_000, "fp16"), (200_001, "fp32")])
@pytest.mark.parametrize(
    "dims",
    [
        pytest.param(b"\x08\x64\x08\xc8\x01", id="one-by-one"),
        pytest.param(b"\x0a\x03\x64\xc8\x01", id="packed"),
    ],
)
def test_of_either_encoding_of_a_shape(
    dims: bytes, floats: int, expected: Precision, tmp_path: Path
) -> None:
    """Exporters write the sizes of a tensor in two ways; 20,000 halves are counted in both."""
    halves = dims + b"\x10\x0a"  # and the type
    read = TensorProto.FromString(halves)
    assert (list(read.dims), read.data_type) == ([100, 200], HALF)
    write(tmp_path, (FLOAT, [floats]))
    initializer = b"\x2a" + bytes([len(halves)]) + halves
    with (tmp_path / "model.onnx").open("ab") as file:  # a message that is repeated is merged
        file.write(b"\x3a" + bytes([len(initializer)]) + initializer)
    assert precision.of(tmp_path) == expected


@pytest.mark.parametrize(
    ("weights", "expected"),
    [("inline", "fp32"), ("external", "fp32"), ("fp16", "fp16"), ("int8", "int8")],
)
def test_of_a_real_graph(weights: models.Weights, expected: Precision, tmp_path: Path) -> None:
    """Wherever the weights are kept."""
    models.write_tiny(tmp_path / "model", weights=weights)
    assert precision.of(tmp_path / "model") == expected


def test_of_external_halves(tmp_path: Path) -> None:
    """The graph says what the weights are, though none of them is in it."""
    config = bert.BertConfig(layers=1, hidden=32, heads=2, intermediate=64, vocab=50)
    model = bert.build(config, models.RandomWeights(config, seed=0), half=True)
    bert.save(model, tmp_path / "model.onnx", external=True)
    assert (tmp_path / "model.onnx.data").stat().st_size > (tmp_path / "model.onnx").stat().st_size
    assert precision.of(tmp_path) == "fp16"


def test_of_a_graph_in_a_directory_of_its_own(tmp_path: Path) -> None:
    """Many repositories have `onnx/model.onnx`."""
    write(tmp_path / "onnx", (HALF, [10]))
    assert precision.of(tmp_path) == "fp16"


def safetensors(*tensors: tuple[str, int, int]) -> bytes:
    """A file with tensors of these types, bytes a number, and numbers, and with metadata."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for number, (dtype, size, count) in enumerate(tensors):
        offsets = [at, at + size * count]
        header[f"t{number}"] = {"dtype": dtype, "shape": [count], "data_offsets": offsets}
        at = offsets[1]
    encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + np.ones(at, np.uint8).tobytes()


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ([("F32", 4, 64)], "fp32"),
        ([("F64", 8, 64)], "fp32"),
        ([("F16", 2, 64)], "fp16"),
        ([("BF16", 2, 64)], "fp16"),
        ([("I8", 1, 64)], "int8"),
        ([("U8", 1, 64)], "int8"),
        ([("F8_E4M3", 1, 64)], "int8"),
        ([("F8_E5M2", 1, 64)], "int8"),
        ([("F16", 2, 64), ("I64", 8, 512)], "fp16"),
        ([("F16", 2, 50), ("F32", 4, 512)], "fp32"),
        ([("F16", 2, 64), ("I8", 1, 64)], "int8"),
    ],
)
def test_of_safetensors(
    tensors: list[tuple[str, int, int]], expected: Precision, tmp_path: Path
) -> None:
    """Its header says it."""
    (tmp_path / "model.safetensors").write_bytes(safetensors(*tensors))
    assert precision.of(tmp_path) == expected


@pytest.mark.parametrize("lost", ["dtype", "shape"])
def test_safetensors_that_do_not_say_what_they_hold(lost: str, tmp_path: Path) -> None:
    """It is an error that names the header, and no other."""
    content = safetensors(("F32", 4, 8)).replace(lost.encode(), b"x" * len(lost))
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="lists no dtype or shape"):
        precision.of(tmp_path)


def test_of_weights_in_several_files(tmp_path: Path) -> None:
    """They are counted together."""
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(safetensors(("F32", 4, 100)))
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(safetensors(("F16", 2, 10)))
    assert precision.of(tmp_path) == "fp32"
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(safetensors(("F16", 2, 20)))
    assert precision.of(tmp_path) == "fp16"


def test_a_directory_without_weights(tmp_path: Path) -> None:
    """What cannot be told is held to the narrowest tolerance."""
    (tmp_path / "config.json").write_text("{}")
    assert precision.of(tmp_path) == "fp32"


def test_a_tensor_whose_type_is_empty(tmp_path: Path) -> None:
    """A field of no bytes says nothing; the walk neither ends there nor raises."""
    tensor = b"\x12\x00" + b"\x08\x40"
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    (tmp_path / "model.onnx").write_bytes(b"\x3a" + bytes([len(graph)]) + graph)
    assert precision.of(tmp_path) == "fp32"


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_graph_that_is_cut_off(kept: float, tmp_path: Path) -> None:
    """It is an error, and no guess."""
    models.write_tiny(tmp_path)
    whole = (tmp_path / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ValueError, match="cut off"):
        precision.of(tmp_path)


@pytest.mark.parametrize("lost", [1, 64, 150])
def test_safetensors_that_are_cut_off(lost: int, tmp_path: Path) -> None:
    """Neither weights nor the header may be missing."""
    (tmp_path / "model.safetensors").write_bytes(safetensors(("F32", 4, 32))[:-lost])
    with pytest.raises(ValueError, match=r"its (tensors need|safetensors header)"):
        precision.of(tmp_path)
