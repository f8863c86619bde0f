"""What is written is an ONNX model to the library of ONNX itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
from onnx import checker, numpy_helper

from agent.models.formats.onnx_graph import BFLOAT16, FLOAT, FLOAT16, Graph, Tensor
from agent.models.runtimes.bert.model import FOLDER

if TYPE_CHECKING:
    from pathlib import Path


def small() -> bytes:
    """A model with every kind of attribute, input and constant."""
    graph = Graph()
    ids = graph.input("ids", "batch", "tokens")
    numbers = graph.op("Cast", ids, to=FLOAT)
    rows = graph.op("Transpose", numbers, perm=(1, 0))
    rows = graph.op("Reshape", rows, graph.integers(-1, 2))
    rows = graph.op("LeakyRelu", rows, alpha=0.5)
    total = graph.op("Add", rows, graph.scalar(-4.0))
    graph.op("Identity", graph.op("Add", total, graph.scalar(-4.0)), output="out")
    graph.output("out", "rows", 2)
    return graph.model()


def test_it_is_valid_and_runs() -> None:
    """The library reads it, finds nothing wrong, and onnxruntime computes what it says."""
    model = onnx.load_model_from_string(small())
    checker.check_model(model, full_check=True)
    assert [each.name for each in model.graph.input] == ["ids"]
    (out,) = model.graph.output
    assert [d.dim_param or d.dim_value for d in out.type.tensor_type.shape.dim] == ["rows", 2]
    (found,) = ort.InferenceSession(small()).run(None, {"ids": np.array([[1, -2], [3, 4]])})
    assert found.tolist() == [[-7.0, -5.0], [-9.0, -4.0]]


def test_a_constant_is_stored_once() -> None:
    """However often it is asked for."""
    model = onnx.load_model_from_string(small())
    stored = {each.name: numpy_helper.to_array(each).tolist() for each in model.graph.initializer}
    assert len(model.graph.initializer) == len(stored)
    assert stored == {"integers_-1_2": [-1, 2], "scalar_-4.0": -4.0}


def test_weights_stay_in_their_files(tmp_path: Path) -> None:
    """They are read from any file of the folder, at any byte, and widened to float32."""
    values = np.array([[1.5, -2.0], [0.25, 3.0]], np.float32)
    half = values.astype(np.float16).tobytes()
    brain = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "f32").write_bytes(b"head" + values.tobytes())
    (tmp_path / "half").write_bytes(b"123" + half + brain)
    graph = Graph()
    ids = graph.input("ids", "rows")
    tensors = [
        Tensor("in/f32", FLOAT, (2, 2), 4, 16),
        Tensor("half", FLOAT16, (2, 2), 3, 8),
        Tensor("half", BFLOAT16, (2, 2), 11, 8),
    ]
    for number, tensor in enumerate(tensors):
        graph.op("Gather", graph.weight(f"w{number}", tensor), ids, output=f"out{number}")
        graph.op("Identity", graph.rows(f"t{number}", tensor, ids), output=f"rows{number}")
        graph.output(f"out{number}", "rows", 2)
        graph.output(f"rows{number}", "rows", 2)
    options = ort.SessionOptions()
    options.add_session_config_entry(FOLDER, str(tmp_path))
    session = ort.InferenceSession(graph.model(), options)
    for found in session.run(None, {"ids": np.array([1, 0])}):
        assert found.tolist() == values[::-1].tolist()
