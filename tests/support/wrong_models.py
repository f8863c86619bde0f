"""The real MiniLM, gone wrong in the ways that no digest sees: sound files of an unsound model.

Each function takes the right model's directory, its weights as external data, and writes another
directory that FastEmbed loads without complaint. The weights are linked, not copied.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.support import models
from tests.support.bert import BertConfig, build, save

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Longer sequences than this come out wrong where a provider's bug is imitated.
_LONG: Final = 128
_WAS: Final = "right_hidden_state"
_OUTPUT: Final = "last_hidden_state"


def cased_tokenizer(right: Path, directory: Path) -> None:
    """The tokenizer no longer lowers its text: names and first words become unknown."""
    _link(right, directory, "tokenizer.json")
    tokenizer = json.loads((right / "tokenizer.json").read_text("utf-8"))
    tokenizer["normalizer"]["lowercase"] = False
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")


def another_vocabulary(right: Path, directory: Path) -> None:
    """The tokenizer is of a model with the same words in another order."""
    _link(right, directory, "tokenizer.json")
    tokenizer = json.loads((right / "tokenizer.json").read_text("utf-8"))
    vocab: dict[str, int] = tokenizer["model"]["vocab"]
    words = [word for word, index in vocab.items() if index > 2000]
    numbers = [vocab[word] for word in words]
    vocab |= dict(zip(words, numbers[1:] + numbers[:1], strict=True))
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")


def cls_pooling(right: Path, directory: Path) -> None:
    """Every token's state is the first one's, so that the mean of them is no mean."""

    def change(graph: onnx.GraphProto) -> None:
        _nodes(
            graph,
            ("Slice", [_WAS, _ints(graph, 0), _ints(graph, 1), _ints(graph, 1)], "first"),
            ("Shape", [_WAS], "like"),
            ("Expand", ["first", "like"], _OUTPUT),
        )

    _with_graph(right, directory, change)


def half_the_layers(right: Path, directory: Path) -> None:
    """Another model under the right name: three layers of six, of the same dimension."""
    whole = models.MINILM_CONFIG
    config = BertConfig(
        layers=whole.layers // 2,
        hidden=whole.hidden,
        heads=whole.heads,
        intermediate=whole.intermediate,
        vocab=whole.vocab,
    )
    _link(right, directory, "model.onnx", "model.onnx.data")
    save(build(config, models.minilm_weights()), directory / "model.onnx")


def not_a_number(right: Path, directory: Path) -> None:
    """Long texts overflow to NaN."""

    def change(graph: onnx.GraphProto) -> None:
        nan = numpy_helper.from_array(np.array(np.nan, np.float32), "nan")
        graph.initializer.append(nan)
        _where_long(graph, ["nan"])

    _with_graph(right, directory, change)


def provider_bug(right: Path, directory: Path) -> None:
    """A kernel that is right for short sequences, to the last bit, and wrong for long ones."""

    def change(graph: onnx.GraphProto) -> None:
        lowest = np.iinfo(np.int64).min
        last = [_ints(graph, number) for number in (-1, lowest, 2, -1)]
        _nodes(graph, ("Slice", [_WAS, *last], "reversed"))
        _where_long(graph, ["reversed"])

    _with_graph(right, directory, change)


EVERY: Final[dict[str, Callable[[Path, Path], None]]] = {
    "cased-tokenizer": cased_tokenizer,
    "another-vocabulary": another_vocabulary,
    "cls-pooling": cls_pooling,
    "half-the-layers": half_the_layers,
    "nan": not_a_number,
    "provider-bug": provider_bug,
}


def _link(right: Path, directory: Path, *but: str) -> None:
    directory.mkdir(parents=True)
    for path in right.iterdir():
        if path.name not in but:
            os.link(path, directory / path.name)


def _with_graph(right: Path, directory: Path, change: Callable[[onnx.GraphProto], None]) -> None:
    """The right model, with something behind its output."""
    _link(right, directory, "model.onnx")
    model: Any = onnx.load(right / "model.onnx", load_external_data=False)
    last = model.graph.node[-1]
    assert last.output[0] == _OUTPUT
    last.output[0] = _WAS
    change(model.graph)
    (directory / "model.onnx").write_bytes(model.SerializeToString())


def _where_long(graph: onnx.GraphProto, instead: list[str]) -> None:
    """Give `instead` where the sequence is long."""
    _nodes(
        graph,
        ("Shape", ["input_ids"], "shape"),
        ("Slice", ["shape", _ints(graph, 1), _ints(graph, 2)], "length"),
        ("Greater", ["length", _ints(graph, _LONG)], "is_long"),
        ("Where", ["is_long", *instead, _WAS], _OUTPUT),
    )


def _nodes(graph: onnx.GraphProto, *nodes: tuple[str, list[str], str]) -> None:
    for kind, inputs, output in nodes:
        graph.node.append(helper.make_node(kind, inputs, [output], name=f"wrong_{output}"))


def _ints(graph: onnx.GraphProto, number: int) -> str:
    """A constant of one number, stored once."""
    name = f"int_{number}"
    if all(each.name != name for each in graph.initializer):
        graph.initializer.append(numpy_helper.from_array(np.array([number], np.int64), name))
    return name
