"""Reads the header of a safetensors file, without its tensors."""

from __future__ import annotations

import json
import os
from typing import Any, BinaryIO, Final

_MAX_HEADER: Final = 100 * 1024 * 1024


def safetensors_header(file: BinaryIO) -> dict[str, Any]:
    """Return the header of a safetensors file: dtype, shape and place of each tensor, by name.

    Raises:
        ValueError: The header is broken, or the tensors do not fill the file exactly.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if not 0 < length <= min(size - 8, _MAX_HEADER):
        raise ValueError("its safetensors header does not fit into it")
    header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its safetensors header is not an object")  # noqa: TRY004 - damaged data
    tensors = {name: info for name, info in header.items() if name != "__metadata__"}
    try:
        end = max(int(info["data_offsets"][1]) for info in tensors.values())
    except (TypeError, KeyError, IndexError, ValueError, OverflowError):
        raise ValueError("its safetensors header lists no tensors") from None
    if 8 + length + end != size:
        raise ValueError(f"its tensors need {8 + length + end} bytes and it has {size}")
    return tensors
