"""A BERT encoder as an ONNX graph, from weights under the names that Hugging Face gives them.

The graph is that of `transformers.BertModel` without its pooler: learnt positions, post-layer
normalisation, the exact Gelu. Nothing in it depends on the clock, the machine or the order of a
dict, so that the same config and weights give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Array: TypeAlias = NDArray[Any]

# Gelu came with opset 20, which onnxruntime has read since 1.17; IR 9 is that opset's own.
_OPSET: Final = 20
_IR_VERSION: Final = 9
# Added to the attention score of a padding token; its weight is then exactly 0 in float32.
_MASKED: Final = 1e9
# Smaller tensors stay in model.onnx: onnxruntime reads shapes and axes from there only.
_EXTERNAL_FROM_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class BertConfig:
    """The sizes of a BERT encoder; the names are `config.json`'s, shortened."""

    layers: int
    hidden: int
    heads: int
    intermediate: int
    vocab: int
    positions: int = 512
    types: int = 2
    epsilon: float = 1e-12

    @property
    def head(self) -> int:
        """The width of one attention head."""
        return self.hidden // self.heads


def weight_shapes(config: BertConfig) -> dict[str, tuple[int, ...]]:
    """The name and shape of every weight that `build` asks for; dense weights are [out, in]."""
    hidden, wide = config.hidden, config.intermediate
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config.vocab, hidden),
        "embeddings.position_embeddings.weight": (config.positions, hidden),
        "embeddings.token_type_embeddings.weight": (config.types, hidden),
        **_pair("embeddings.LayerNorm", hidden),
    }
    for layer in (f"encoder.layer.{index}" for index in range(config.layers)):
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= _pair(f"{layer}.attention.{part}", hidden, hidden)
        shapes |= _pair(f"{layer}.attention.output.LayerNorm", hidden)
        shapes |= _pair(f"{layer}.intermediate.dense", wide, hidden)
        shapes |= _pair(f"{layer}.output.dense", hidden, wide)
        shapes |= _pair(f"{layer}.output.LayerNorm", hidden)
    return shapes


def _pair(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def build(
    config: BertConfig, weights: Mapping[str, Array], *, half: bool = False, int8: bool = False
) -> onnx.ModelProto:
    """The encoder as a model with its weights inside.

    Inputs `input_ids`, `attention_mask`, `token_type_ids`: int64 [batch, sequence]; output
    `last_hidden_state`: float32 [batch, sequence, hidden]. A weight is taken out of `weights` once
    and not kept, so that a mapping may make each as it is asked for.

    Args:
        config: the sizes; a sequence longer than `config.positions` fails when the model is run.
        weights: float arrays, by name, in the shapes of `weight_shapes`.
        half: store the weights as float16 and cast them to float32 when the model runs: half the
            size, nearly the same vectors.
        int8: store the matrices as int8 with a scale for each channel: a quarter of the size, the
            vectors a little further off.

    Raises:
        KeyError: a weight is missing.
    """
    graph = _Graph(config, weights, half=half, int8=int8)
    hidden = _embeddings(graph)
    mask = _mask(graph)
    for index in range(config.layers):
        hidden = _layer(graph, hidden, mask, f"encoder.layer.{index}")
    graph.op("Identity", hidden, output="last_hidden_state")
    return graph.model


def save(model: onnx.ModelProto, path: Path, *, external: bool = False) -> None:
    """Write the model to `path` as new files; what stood there is unlinked, not overwritten.

    With `external`, tensors from 1 KiB up go to `<path>.data` beside it, and leave `model` without
    them.
    """
    location = f"{path.name}.data"
    for stale in (path, path.with_name(location)):
        stale.unlink(missing_ok=True)
    onnx.save(
        model,
        path,
        save_as_external_data=external,
        location=location if external else None,
        size_threshold=_EXTERNAL_FROM_BYTES,
    )


class _Graph:
    """A graph under construction; a value is the name of the tensor that holds it."""

    def __init__(
        self, config: BertConfig, weights: Mapping[str, Array], *, half: bool, int8: bool
    ) -> None:
        self.config = config
        self._weights = weights
        self._half = half
        self._int8 = int8
        # The graph is filled in place: helper.make_graph and make_model each copy all weights.
        self.model = helper.make_model(
            helper.make_graph([], "bert", _inputs(), [_output(config)]),
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
        )

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node, named after its place in the graph; return its one output."""
        output = output or f"{kind}_{len(self.model.graph.node)}"
        node = helper.make_node(kind, inputs, [output], name=output, **attributes)
        self.model.graph.node.append(node)
        return output

    def const(self, name: str, value: Array) -> str:
        """Store a tensor under `name`, once."""
        if all(tensor.name != name for tensor in self.model.graph.initializer):
            tensor = self.model.graph.initializer.add()
            tensor.name = name
            tensor.data_type = helper.np_dtype_to_tensor_dtype(value.dtype)
            tensor.dims.extend(value.shape)
            tensor.raw_data = value.tobytes()
        return name

    def shape(self, *sizes: int) -> str:
        return self.const("shape_" + "_".join(map(str, sizes)), np.array(sizes, np.int64))

    def scalar(self, value: float) -> str:
        return self.const(f"scalar_{value:g}", np.array(value, np.float32))

    def weight(self, name: str, *, transpose: bool = False) -> str:
        value = self._weights[name].T if transpose else self._weights[name]
        if self._int8 and value.ndim > 1:
            return self._int8_matrix(name, value, channel=1 if transpose else 0)
        if not self._half:
            return self.const(name, value.astype(np.float32, copy=False))
        return self.op("Cast", self.const(name, value.astype(np.float16)), to=TensorProto.FLOAT)

    def _int8_matrix(self, name: str, value: Array, *, channel: int) -> str:
        largest = np.abs(value).max(axis=1 - channel, keepdims=True)
        scale = np.maximum(largest, np.finfo(np.float32).tiny) / np.float32(127)
        rounded = self.const(name, np.rint(value / scale).astype(np.int8))
        scales = self.const(f"{name}.scale", scale.ravel().astype(np.float32))
        return self.op("DequantizeLinear", rounded, scales, axis=channel)


def _inputs() -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]


def _output(config: BertConfig) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(
        "last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", config.hidden]
    )


def _embeddings(graph: _Graph) -> str:
    table = "embeddings.{}_embeddings.weight".format
    words = graph.op("Gather", graph.weight(table("word")), "input_ids")
    types = graph.op("Gather", graph.weight(table("token_type")), "token_type_ids")
    length = graph.op("Shape", "input_ids", start=1, end=2)
    first, axis = graph.shape(0), graph.shape(0)
    positions = graph.op("Slice", graph.weight(table("position")), first, length, axis)
    total = graph.op("Add", graph.op("Add", words, types), positions)
    return _norm(graph, total, "embeddings.LayerNorm")


def _mask(graph: _Graph) -> str:
    """0 for a token and -1e9 for padding, as [batch, 1, 1, sequence]."""
    kept = graph.op("Cast", "attention_mask", to=TensorProto.FLOAT)
    bias = graph.op("Mul", graph.op("Sub", kept, graph.scalar(1.0)), graph.scalar(_MASKED))
    return graph.op("Unsqueeze", bias, graph.shape(1, 2))


def _layer(graph: _Graph, hidden: str, mask: str, name: str) -> str:
    attended = _attention(graph, hidden, mask, f"{name}.attention.self")
    attended = _dense(graph, attended, f"{name}.attention.output.dense")
    residual = graph.op("Add", hidden, attended)
    hidden = _norm(graph, residual, f"{name}.attention.output.LayerNorm")
    wide = graph.op("Gelu", _dense(graph, hidden, f"{name}.intermediate.dense"))
    residual = graph.op("Add", hidden, _dense(graph, wide, f"{name}.output.dense"))
    return _norm(graph, residual, f"{name}.output.LayerNorm")


def _attention(graph: _Graph, hidden: str, mask: str, name: str) -> str:
    query = _heads(graph, _dense(graph, hidden, f"{name}.query"), [0, 2, 1, 3])
    key = _heads(graph, _dense(graph, hidden, f"{name}.key"), [0, 2, 3, 1])
    value = _heads(graph, _dense(graph, hidden, f"{name}.value"), [0, 2, 1, 3])
    scale = graph.scalar(graph.config.head**0.5)
    scores = graph.op("Div", graph.op("MatMul", query, key), scale)
    weights = graph.op("Softmax", graph.op("Add", scores, mask), axis=-1)
    mixed = graph.op("Transpose", graph.op("MatMul", weights, value), perm=[0, 2, 1, 3])
    return graph.op("Reshape", mixed, graph.shape(0, 0, graph.config.hidden))


def _heads(graph: _Graph, value: str, perm: list[int]) -> str:
    split = graph.shape(0, 0, graph.config.heads, graph.config.head)
    return graph.op("Transpose", graph.op("Reshape", value, split), perm=perm)


def _dense(graph: _Graph, value: str, name: str) -> str:
    product = graph.op("MatMul", value, graph.weight(f"{name}.weight", transpose=True))
    return graph.op("Add", product, graph.weight(f"{name}.bias"))


def _norm(graph: _Graph, value: str, name: str) -> str:
    scale, bias = graph.weight(f"{name}.weight"), graph.weight(f"{name}.bias")
    epsilon = graph.config.epsilon
    return graph.op("LayerNormalization", value, scale, bias, axis=-1, epsilon=epsilon)
