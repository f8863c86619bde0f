"""Protobuf's wire format: walks the messages in a file, and makes others out of them.

The rules are those of https://protobuf.dev/programming-guides/encoding. A walk seeks over values,
so that one of 1 GB costs no more than one of 1 byte; and a message that is made of others is a list
of pieces, whose bytes are read from the file only when it is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# Part of a message in the making: new bytes, or where in the file its bytes begin and end.
Piece: TypeAlias = bytes | tuple[int, int]

_BLOCK_BYTES: Final = 1024 * 1024

# Wire types. Groups, 3 and 4, went out of use before the first ONNX model.
VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: As the message's definition numbers it.
        wire: Its wire type, one of those above.
        head: Where its key begins, as an offset into the file.
        start: Where its value begins: a varint's first byte, or the first of `BYTES`.
        end: Where its value ends, and the next field begins.
    """

    number: int
    wire: int
    head: int
    start: int
    end: int

    @property
    def size(self) -> int:
        """The bytes of its value."""
        return self.end - self.start


def fields(file: BinaryIO, start: int, end: int) -> Iterator[Field]:
    """Yield the fields of the message between two offsets, also if others move the file meanwhile.

    Raises:
        ValueError: The bytes are no message, or a field does not fit between the offsets.
    """
    head = start
    while head < end:
        file.seek(head)
        key = varint(file)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            at = file.tell()
            varint(file)
            length = file.tell() - at
        else:
            length = {FIXED64: 8, FIXED32: 4}.get(wire, -1)
            length = varint(file) if wire == BYTES else length
            at = file.tell()
        if not number or length < 0 or at + length > end:
            raise ValueError("its protobuf is cut off or not one at all")
        yield Field(number, wire, head, at, at + length)
        head = at + length


def varint(file: BinaryIO) -> int:
    """Return the number that stands where the file is read next.

    Raises:
        ValueError: The file ends before it does, or it has over 64 bits.
    """
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("its protobuf is cut off")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:  # noqa: PLR2004 - the continuation bit
            return value
    raise ValueError("its protobuf has a number of over 64 bits")


def number_field(number: int, value: int) -> bytes:
    """Return a field that holds a number, which is not negative."""
    return _varint_bytes(number << 3 | VARINT) + _varint_bytes(value)


def fixed32_field(number: int, value: bytes) -> bytes:
    """Return a field that holds four bytes, such as those of a float."""
    return _varint_bytes(number << 3 | FIXED32) + value


def bytes_field(number: int, value: bytes) -> bytes:
    """Return a field that holds bytes, a text in UTF-8, or a message."""
    return _head(number, len(value)) + value


def message_field(number: int, content: Sequence[Piece]) -> list[Piece]:
    """Return a field that holds a message of this content."""
    length = sum(len(each) if isinstance(each, bytes) else each[1] - each[0] for each in content)
    return [_head(number, length), *content]


def spliced(message: Field, changes: Iterable[tuple[Field, Sequence[Piece]]]) -> list[Piece]:
    """Return the content of a message, byte for byte but for some of its fields.

    Args:
        message: A field that holds it.
        changes: Fields of it, in its order, each with what stands in its place.
    """
    pieces: list[Piece] = []
    at = message.start
    for field, instead in changes:
        pieces += [(at, field.head), *instead]
        at = field.end
    return [*pieces, (at, message.end)]


def blocks(file: BinaryIO, pieces: Iterable[Piece]) -> Iterator[bytes]:
    """Yield the bytes of the pieces, at most 1 MiB of the file at a time.

    Raises:
        ValueError: The file has become shorter.
    """
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
            continue
        at, end = piece
        file.seek(at)
        while at < end:
            block = file.read(min(end - at, _BLOCK_BYTES))
            if not block:
                raise ValueError("it became shorter while it was read")
            yield block
            at += len(block)


def _head(number: int, length: int) -> bytes:
    return _varint_bytes(number << 3 | BYTES) + _varint_bytes(length)


def _varint_bytes(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - what fits beside the continuation bit
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
