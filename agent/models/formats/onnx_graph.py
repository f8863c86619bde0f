"""Writes an ONNX model: its nodes, and weights that stay where they are, in other files.

Message and field numbers are onnx.proto's.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from agent.models.formats import onnx
from agent.models.formats.protobuf import bytes_field, fixed32_field, number_field

if TYPE_CHECKING:
    from collections.abc import Sequence

# Data types of onnx.proto.
FLOAT, INT64, FLOAT16, BFLOAT16 = 1, 7, 10, 16

# The first operator set with Gelu; onnxruntime has read it since 1.17. IR 9 is that set's own.
_OPSET: Final = 20
_IR_VERSION: Final = 9
# Kinds of attributes.
_FLOAT, _INT, _INTS = 1, 2, 7

Attribute: TypeAlias = "float | int | Sequence[int]"


class Tensor(NamedTuple):
    """A weight in a file.

    Attributes:
        file: The file's path, from the directory that the model is in.
        kind: Its data type, one of those above.
        shape: Its shape.
        offset: The first of its bytes.
        length: The count of its bytes.
    """

    file: str
    kind: int
    shape: tuple[int, ...]
    offset: int
    length: int


class Graph:
    """A graph in the making; a value is known by its name."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._stored: set[str] = set()
        self._count = 0

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Attribute) -> str:
        """Add a node with one output; return the output."""
        self._count += 1
        output = output or f"{kind}_{self._count}"
        names = b"".join(bytes_field(1, name.encode()) for name in inputs)
        node = names + bytes_field(2, output.encode()) + bytes_field(3, output.encode())
        node += bytes_field(4, kind.encode())
        node += b"".join(bytes_field(5, _attribute(*pair)) for pair in attributes.items())
        self._parts.append(bytes_field(1, node))
        return output

    def input(self, name: str, *sizes: str) -> str:
        """Add an input of whole numbers; a size is the name of one that each run chooses."""
        self._parts.append(bytes_field(11, _value(name, INT64, sizes)))
        return name

    def output(self, name: str, *sizes: str | int) -> None:
        """Add an output of floats."""
        self._parts.append(bytes_field(12, _value(name, FLOAT, sizes)))

    def integers(self, *values: int) -> str:
        """Return a constant list of whole numbers."""
        name = "integers_" + "_".join(map(str, values))
        data = struct.pack(f"<{len(values)}q", *values)
        return self._constant(name, INT64, (len(values),), data)

    def scalar(self, value: float) -> str:
        """Return a constant number."""
        return self._constant(f"scalar_{value!r}", FLOAT, (), struct.pack("<f", value))

    def rows(self, name: str, tensor: Tensor, numbers: str) -> str:
        """Return the rows of a table of weights that have these numbers, in float32."""
        found = self.op("Gather", self._stored_weight(name, tensor), numbers)
        return found if tensor.kind == FLOAT else self.op("Cast", found, to=FLOAT)

    def weight(self, name: str, tensor: Tensor) -> str:
        """Return a weight in float32; its bytes are read from its own file, and only there."""
        self._stored_weight(name, tensor)
        return name if tensor.kind == FLOAT else self.op("Cast", name, to=FLOAT)

    def _stored_weight(self, name: str, tensor: Tensor) -> str:
        where = {"location": tensor.file, "offset": tensor.offset, "length": tensor.length}
        entries = (
            bytes_field(onnx.KEY, key.encode()) + bytes_field(onnx.VALUE, str(value).encode())
            for key, value in where.items()
        )
        data = b"".join(bytes_field(onnx.EXTERNAL_DATA, entry) for entry in entries)
        data += number_field(onnx.DATA_LOCATION, onnx.EXTERNAL)
        self._initializer(name, tensor.kind, tensor.shape, data)
        return name

    def model(self) -> bytes:
        """Return the model as a file holds it."""
        graph = bytes_field(2, b"graph") + b"".join(self._parts)
        opset = bytes_field(1, b"") + number_field(2, _OPSET)
        head = number_field(1, _IR_VERSION) + bytes_field(onnx.OPSETS, opset)
        return head + bytes_field(onnx.GRAPH, graph)

    def _constant(self, name: str, kind: int, shape: tuple[int, ...], data: bytes) -> str:
        if name not in self._stored:
            self._initializer(name, kind, shape, bytes_field(onnx.RAW_DATA, data))
        return name

    def _initializer(self, name: str, kind: int, shape: tuple[int, ...], data: bytes) -> None:
        self._stored.add(name)
        head = b"".join(number_field(onnx.DIMS, size) for size in shape)
        head += number_field(onnx.DATA_TYPE, kind) + bytes_field(8, name.encode())
        self._parts.append(bytes_field(onnx.INITIALIZER, head + data))


def _attribute(name: str, value: Attribute) -> bytes:
    head = bytes_field(1, name.encode())
    if isinstance(value, float):
        return head + fixed32_field(2, struct.pack("<f", value)) + number_field(20, _FLOAT)
    if isinstance(value, int):
        return head + number_field(3, value) + number_field(20, _INT)
    return head + b"".join(number_field(8, each) for each in value) + number_field(20, _INTS)


def _value(name: str, kind: int, sizes: Sequence[str | int]) -> bytes:
    """Return a ValueInfoProto."""
    dims = (
        number_field(1, size) if isinstance(size, int) else bytes_field(2, size.encode())
        for size in sizes
    )
    shape = b"".join(bytes_field(1, dim) for dim in dims)
    tensor = number_field(1, kind) + bytes_field(2, shape)
    return bytes_field(1, name.encode()) + bytes_field(2, bytes_field(1, tensor))
