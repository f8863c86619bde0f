"""Walks an ONNX model down to its tensors, and to where their data is.

Message and field numbers are onnx.proto's. A field of another wire type than the one there is
unknown, as for any reader of protobuf, and passed over.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, Final

from agent.models.formats import protobuf
from agent.models.formats.protobuf import BYTES, VARINT, Field

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of a model, of a graph, of a tensor, of an entry of a tensor's external data.
GRAPH, OPSETS = 7, 8
INITIALIZER: Final = 5
DIMS, DATA_TYPE, RAW_DATA, EXTERNAL_DATA, DATA_LOCATION = 1, 2, 9, 13, 14
KEY, VALUE = 1, 2
# What a tensor's data location says if its data is in a file of its own.
EXTERNAL: Final = 1

_TEXT_BYTES: Final = 4096
# Which fields lead to tensors, however deep: each holds one, or a message that leads to some.
_LEADS: Final = {
    "model": {GRAPH: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", INITIALIZER: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}


def model(file: BinaryIO) -> Field:
    """Return the whole file, as a field that holds the model."""
    return Field(0, BYTES, 0, 0, file.seek(0, os.SEEK_END))


def is_complete(file: BinaryIO) -> bool:
    """Return whether the model has a graph, and says whose operators are in it.

    Raises:
        ValueError: The model is damaged, outside its parts.
    """
    parts = protobuf.fields(file, 0, model(file).end)
    return {GRAPH, OPSETS} <= {part.number for part in parts if part.wire == BYTES}


def inner(file: BinaryIO, message: Field, number: int) -> Iterator[Field]:
    """Yield the fields of this number that hold a message, a text or bytes.

    Raises:
        ValueError: The message is damaged.
    """
    fields = protobuf.fields(file, message.start, message.end)
    return (field for field in fields if (field.number, field.wire) == (number, BYTES))


def initializers(file: BinaryIO) -> Iterator[Field]:
    """Yield the weights of the main graph.

    Raises:
        ValueError: The model is damaged, outside its tensors.
    """
    for graph in inner(file, model(file), GRAPH):
        yield from inner(file, graph, INITIALIZER)


def tensors(file: BinaryIO) -> Iterator[Field]:
    """Yield every tensor of the model, however deep.

    Raises:
        ValueError: The model is damaged, outside its tensors.
        RecursionError: It is nested too deeply.
    """
    return _tensors(file, "model", model(file))


def external(file: BinaryIO, tensor: Field) -> dict[str, str]:
    """Return what a tensor says of a file that its data is in; nothing if the data is inside.

    Raises:
        ValueError: The tensor is damaged.
    """
    entries: dict[str, str] = {}
    for entry in inner(file, tensor, EXTERNAL_DATA):
        pair = {f.number: _text(file, f) for f in protobuf.fields(file, entry.start, entry.end)}
        entries[pair.get(KEY, "")] = pair.get(VALUE, "")
    return entries


def weight_files(file: BinaryIO) -> set[str]:
    """Return the names of the files that hold tensors of the model, beside it.

    Raises:
        ValueError: The model is damaged.
        RecursionError: It is nested too deeply.
    """
    named = (external(file, tensor).get("location", "") for tensor in tensors(file))
    return {name for name in named if name}


def is_external(file: BinaryIO, tensor: Field) -> bool:
    """Return whether a tensor's data is in another file.

    Raises:
        ValueError: The tensor is damaged.
    """
    if external(file, tensor):
        return True
    fields = protobuf.fields(file, tensor.start, tensor.end)
    places = (f for f in fields if (f.number, f.wire) == (DATA_LOCATION, VARINT))
    return any(next(numbers(file, place)) == EXTERNAL for place in places)


def numbers(file: BinaryIO, field: Field) -> Iterator[int]:
    """Yield the numbers of a field that holds one, or several packed.

    Raises:
        ValueError: It is cut off.
    """
    file.seek(field.start)
    while file.tell() < field.end:
        yield protobuf.varint(file)


def _tensors(file: BinaryIO, kind: str, message: Field) -> Iterator[Field]:
    for field in protobuf.fields(file, message.start, message.end):
        leads_to = _LEADS[kind].get(field.number) if field.wire == BYTES else None
        if leads_to == "tensor":
            yield field
        elif leads_to:
            yield from _tensors(file, leads_to, field)


def _text(file: BinaryIO, field: Field) -> str:
    file.seek(field.start)
    return file.read(min(field.size, _TEXT_BYTES)).decode(errors="replace")
