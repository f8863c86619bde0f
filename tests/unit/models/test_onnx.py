"""The walk over an ONNX model finds what a reader of protobuf would, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx as reference
import pytest

from agent.models.formats import onnx

if TYPE_CHECKING:
    from pathlib import Path

# Fields of the numbers of a graph, of operators, of an initializer, that hold a number instead.
NO_GRAPH, NO_OPSETS, NO_INITIALIZER = b"\x38\x01", b"\x40\x01", b"\x28\x01"
GRAPH, OPSETS = b"\x3a\x00", b"\x42\x00"


def written(path: Path, content: bytes) -> Path:
    """Write a file."""
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "complete"),
    [
        (GRAPH + OPSETS, True),
        (OPSETS + NO_GRAPH + GRAPH, True),
        (NO_GRAPH + OPSETS, False),
        (GRAPH + NO_OPSETS, False),
    ],
)
def test_what_a_model_is_made_of(content: bytes, complete: bool, tmp_path: Path) -> None:
    """It has a graph, and says which operators are in it; numbers there are unknown fields."""
    with written(tmp_path / "model.onnx", content).open("rb") as file:
        assert onnx.is_complete(file) == complete


def test_the_weights_of_the_main_graph(tmp_path: Path) -> None:
    """Each is found, wherever else a tensor stands; `tensors` finds all of them."""
    model = reference.ModelProto()
    for name in ("first", "second"):
        model.graph.initializer.add(name=name)
    model.graph.node.add().attribute.add().t.name = "constant"
    content = model.SerializeToString() + b"\x3a\x02" + NO_INITIALIZER
    with written(tmp_path / "model.onnx", content).open("rb") as file:
        weights = [content[tensor.start : tensor.end] for tensor in onnx.initializers(file)]
        everything = [content[tensor.start : tensor.end] for tensor in onnx.tensors(file)]
    parsed = [reference.TensorProto.FromString(each).name for each in everything]
    assert [reference.TensorProto.FromString(each).name for each in weights] == ["first", "second"]
    assert sorted(parsed) == ["constant", "first", "second"]


@pytest.mark.parametrize("beside", [True, False])
def test_where_the_data_of_a_tensor_is(beside: bool, tmp_path: Path) -> None:
    """What it says of a file is given as it stands there."""
    model = reference.ModelProto()
    tensor = model.graph.initializer.add(data_location=reference.TensorProto.DEFAULT)
    said = {"location": "weights", "offset": "4096"} if beside else {}
    for key, value in said.items():
        tensor.external_data.add(key=key, value=value)
    with written(tmp_path / "model.onnx", model.SerializeToString()).open("rb") as file:
        (found,) = onnx.initializers(file)
        assert onnx.external(file, found) == said
        assert onnx.is_external(file, found) == beside
