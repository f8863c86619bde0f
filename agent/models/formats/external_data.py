"""Moves an ONNX model's weights out of it, into a file that onnxruntime maps instead of copying.

A model with its weights inside is read and copied whole when it is loaded; external data is mapped.
For bge-large (1.3 GB) stock FastEmbed takes half the time and 0.2 GB less for it, and a session
without prepacking 0.1 s instead of 3 s.

Offsets are multiples of 4 KiB, as ONNX's external data
format (docs/ExternalData.md) wants them and as onnxruntime's own `ModelSavingOptions` makes them.
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final

from agent.files import durable
from agent.files.durable import writing
from agent.models.formats import onnx, protobuf, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from agent.models.formats.protobuf import Field, Piece

# Smaller tensors stay inside: onnxruntime reads shapes and axes from there only.
_THRESHOLD_BYTES: Final = 1024
_PAGE_BYTES: Final = 4096


def externalize(source: Path, target: Path) -> bool:
    """Write the model at `source` to `target`, with its large weights in `<target>.data` beside it.

    Large is an initializer of the main graph that has 1024 bytes of raw data or more. All else is
    copied byte for byte: small and typed initializers, sparse ones, constants in nodes, functions
    and nested graphs. No byte of a weight is read twice, and never more than 1 MiB at a time; what
    is kept in memory besides is a few KiB for each tensor that is moved.

    Both files are new ones, on disk when this returns, and appear whole or not at all, the data
    first; a killed process leaves no more than names that begin with a dot. `target` may be
    `source`.

    Args:
        source: A model, its name ending in `.onnx`.
        target: The new model; its directory is there.

    Returns:
        Whether it was written. It is not if there is nothing to move, or if any tensor of the
        model, however deep, has external data already: its place is relative to the model.

    Raises:
        VerificationError: The source is damaged, as `whole.check` or a walk to all tensors
            finds, or it became shorter meanwhile.
        NoSpaceError: The volume of the target is full.
        ConfigError: The target cannot be written.
        OSError: The source cannot be read.
    """
    whole.check(source, source.name)
    data = target.with_name(f"{target.name}.data")
    with whole.refusing(source.name), source.open("rb") as file:
        moved = _Moved(data.name)
        model = _without(moved, file)
        if not moved.pieces:
            return False
        with _appearing(target) as one, _appearing(data) as other:
            _write(file, model, one, target.name)
            _write(file, moved.pieces, other, data.name)
    durable.sync_directory(target.parent)
    return True


class _Moved:
    """The weights that are moved, as they will stand in the file of this name."""

    def __init__(self, name: str) -> None:
        self.pieces: list[Piece] = []
        self._name = name
        self._size = 0

    def add(self, raw: Field) -> bytes:
        """Append a tensor's raw data; return the fields of the tensor that say where it is now."""
        gap = -self._size % _PAGE_BYTES
        offset = self._size + gap
        self._size = offset + raw.size
        self.pieces += [bytes(gap), (raw.start, raw.end)]
        where = {"location": self._name, "offset": str(offset), "length": str(raw.size)}
        entries = b"".join(_entry(key, value) for key, value in where.items())
        return entries + protobuf.number_field(onnx.DATA_LOCATION, onnx.EXTERNAL)


def _entry(key: str, value: str) -> bytes:
    first = protobuf.bytes_field(onnx.KEY, key.encode())
    second = protobuf.bytes_field(onnx.VALUE, value.encode())
    return protobuf.bytes_field(onnx.EXTERNAL_DATA, first + second)


def _without(moved: _Moved, file: BinaryIO) -> list[Piece]:
    """Return the model without the weights that it adds to `moved`.

    It adds none if the data of some tensor is elsewhere already.
    """
    if any(onnx.is_external(file, tensor) for tensor in onnx.tensors(file)):
        return []
    model = onnx.model(file)
    graphs = onnx.inner(file, model, onnx.GRAPH)
    return protobuf.spliced(model, ((graph, _graph(file, graph, moved)) for graph in graphs))


def _graph(file: BinaryIO, graph: Field, moved: _Moved) -> list[Piece]:
    tensors = onnx.inner(file, graph, onnx.INITIALIZER)
    changes = ((tensor, _tensor(file, tensor, moved)) for tensor in tensors)
    return protobuf.message_field(onnx.GRAPH, protobuf.spliced(graph, changes))


def _tensor(file: BinaryIO, tensor: Field, moved: _Moved) -> list[Piece]:
    # Where a field is repeated that may be there once, the last counts: protobuf's rule.
    raws = list(onnx.inner(file, tensor, onnx.RAW_DATA))
    if not raws or raws[-1].size < _THRESHOLD_BYTES:
        return [(tensor.head, tensor.end)]
    rest = protobuf.spliced(tensor, ((raw, ()) for raw in raws))
    return protobuf.message_field(onnx.INITIALIZER, [*rest, moved.add(raws[-1])])


@contextmanager
def _appearing(path: Path) -> Iterator[int]:
    """Give a descriptor to write a new file by, which is `path` once the block ends well."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with writing(path.name):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, durable.FILE_MODE)
    try:
        yield descriptor
        with writing(path.name):
            os.fsync(descriptor)
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _write(file: BinaryIO, pieces: Iterable[Piece], descriptor: int, name: str) -> None:
    for block in protobuf.blocks(file, pieces):
        rest = memoryview(block)
        with writing(name):
            while rest:
                rest = rest[os.write(descriptor, rest) :]
