"""Checks by a file's format that it is complete, where no digest says so.

Hand-made trees have no manifest. A failed upload to Azure Files leaves a file of full size whose
end is zeros, a Git clone without LFS leaves pointers, and a broken copy leaves a shorter file:
sizes prove nothing, formats do.
"""

from __future__ import annotations

import codecs
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final

from agent.errors import VerificationError
from agent.models.formats import onnx
from agent.models.formats.safetensors import safetensors_header
from agent.release import layout
from agent.release.loaders import sentence_transformers, weights
from agent.release.tree import LINK_BYTES, LINK_MAGIC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_TAIL_BYTES: Final = 64 * 1024
# An upload is made of ranges of 4 MiB, so it breaks off at a multiple of that. The end of sound
# weights may be zeros too, but not for as long as this.
RANGE_BYTES: Final = 4 * 1024 * 1024
_SHORT_BYTES: Final = 4096
_OTHER_ENCODINGS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NAME_BYTES: Final = 255
_OBJECTS: Final = ("config.json", "tokenizer_config.json", "special_tokens_map.json")


class _LinkError(Exception):
    """The file is a link (`XSym`), as Windows and macOS clients write it on SMB shares."""


class _MissingError(Exception):
    """The weights of a graph are in a file that is not there; its name is the argument."""


def check(path: Path, name: str, *, digested: bool = False) -> None:
    """Make sure that the file at `path` is complete, as far as its format tells.

    Args:
        path: The file; files that it refers to must lie beside it.
        name: Its name in errors.
        digested: Whether it was held to a digest: what zeros are in it belong there then.

    Raises:
        VerificationError: It is not.
    """

    def beside(other: str) -> int | None:
        found = path.parent / other
        return found.stat().st_size if found.is_file() else None

    with path.open("rb") as file:
        check_file(file, name, beside, digested=digested)


def check_file(
    file: BinaryIO, name: str, beside: Callable[[str], int | None], *, digested: bool = False
) -> None:
    """Make sure that an open file is complete; see `check`.

    Args:
        file: The file.
        name: Its name in errors; its end says which format it has.
        beside: Returns the size of another file of the same directory; None if there is none.
        digested: As for `check`.

    Raises:
        VerificationError: It is not.
    """
    with refusing(name):
        _check_bytes(file)
        if not digested:
            _check_ranges(file)
        if name.endswith(".onnx"):
            _check_onnx(file, beside)
        elif name.endswith(".safetensors"):
            safetensors_header(file)
        elif name.endswith(".json") or _is_words(name):
            _check_text(file, name)


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Refuse the file if a walk through damaged data raises.

    Raises:
        VerificationError: The block raised ValueError, OverflowError or RecursionError.
    """
    try:
        yield
    except _LinkError:
        raise VerificationError(
            f"{name} is a link, as it looks without the mount option mfsymlinks, not the file.",
            remedy="Copy the tree again with its links resolved (cp -rL, rsync -rL).",
        ) from None
    except _MissingError as error:
        raise VerificationError(
            f"{name} has its weights in {error.args[0]!r}, which was not found beside it.",
            remedy="Put that file into the same directory; a catalog's allow must name it, too.",
        ) from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise VerificationError(
            f"{name} is damaged: {error}.", remedy="Copy the file again from its source."
        ) from None


def _check_bytes(file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    begin = file.read(len(_LFS_POINTER))
    if begin == _LFS_POINTER:
        raise ValueError("it is a Git-LFS pointer, not the file")
    if size == LINK_BYTES and begin.startswith(LINK_MAGIC):
        raise _LinkError
    last_range = size % RANGE_BYTES
    tail = min(size, last_range if _SHORT_BYTES <= last_range < _TAIL_BYTES else _TAIL_BYTES)
    file.seek(size - tail)
    if tail and not any(file.read(tail)):
        raise ValueError(f"its last {tail} bytes are zeros, as after an upload that broke off")


def _check_ranges(file: BinaryIO) -> None:
    """Refuse a whole range of zeros: one that was never written, in the middle of an upload."""
    size = file.seek(0, os.SEEK_END)
    for start in range(0, size - RANGE_BYTES + 1, RANGE_BYTES):
        file.seek(start)
        if not any(file.read(_SHORT_BYTES)) and not any(file.read(RANGE_BYTES - _SHORT_BYTES)):
            raise ValueError(
                f"the {RANGE_BYTES} bytes from {start} on are zeros, as where an upload left a "
                "range out"
            )


def refuse_hole(name: str, start: int | None) -> None:
    """Refuse a file of which a range was never written, before a byte of it is read.

    Args:
        name: Its name in errors.
        start: Where the range begins; None if there is none.

    Raises:
        VerificationError: There is one.
    """
    if start is not None:
        raise VerificationError(
            f"{name} is damaged: the {RANGE_BYTES} bytes from {start} on were never written.",
            remedy="Copy the file again from its source.",
        )


def _is_words(name: str) -> bool:
    """Return true for text that a loader reads; a licence may be in any encoding."""
    of_fastembed = name.startswith(layout.FASTEMBED) and name.endswith(".txt")
    return of_fastembed or name.rpartition("/")[2] in {"vocab.txt", "merges.txt"}


def _check_text(file: BinaryIO, name: str) -> None:
    """Read text as loaders do: in UTF-8, and without a byte order mark, which they trip over."""
    file.seek(0)
    data = file.read()
    if data.startswith(_OTHER_ENCODINGS):
        raise VerificationError(
            f"{name} is damaged: it begins with a byte order mark, over which its loader trips.",
            remedy="Save it as UTF-8 without BOM.",
        )
    text = data.decode()
    if name.endswith(".json"):
        _check_json(json.loads(text), data, name.rpartition("/")[2])


def _check_json(value: object, data: bytes, last: str) -> None:
    if last in _OBJECTS and not isinstance(value, dict):
        raise ValueError("it is JSON, but no object")
    if last == "tokenizer.json" and not (isinstance(value, dict) and "model" in value):
        raise ValueError("it is JSON, but no tokenizer")
    if last == sentence_transformers.MODULES:
        sentence_transformers.modules(data)
    if last.endswith(weights.INDEX):
        weights.shards(data)


def _check_onnx(file: BinaryIO, beside: Callable[[str], int | None]) -> None:
    """Walk the protobuf down to the weights, so that a cut anywhere shows."""
    for tensor in onnx.initializers(file):
        _check_external(onnx.external(file, tensor), beside)
    if not onnx.is_complete(file):
        raise ValueError("it holds no whole ONNX model")


def _check_external(entries: dict[str, str], beside: Callable[[str], int | None]) -> None:
    if not entries:
        return
    location = entries.get("location", "")
    named = location.strip(".") and "/" not in location and len(location.encode()) <= _NAME_BYTES
    if not named:
        raise ValueError(f"its weights are in {location[:200]!r}, which is not beside it")
    size = beside(location)
    if size is None:
        raise _MissingError(location)
    needed = int(entries.get("offset", "0")) + int(entries.get("length", "0"))
    if size < needed:
        raise ValueError(f"{location} has {size} bytes and {needed} are needed")
