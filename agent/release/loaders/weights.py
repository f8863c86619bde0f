"""Finds the weights of a directory in the order in which transformers looks for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from agent.release import paths
from agent.release.manifest import is_pickle

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SAFETENSORS: Final = "model.safetensors"
INDEX: Final = ".index.json"
# The second is a pickle.
_KINDS: Final = (SAFETENSORS, "pytorch_model.bin")
_SHARD: Final = "model-"


def shards(data: bytes) -> tuple[str, ...]:
    """Return the files that an index names, sorted.

    Raises:
        ValueError: It is no index.
    """
    index = json.loads(data.decode())
    named = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(named, dict) or not named:
        raise ValueError("it has no weight_map")
    if odd := next((n for n in named.values() if not isinstance(n, str) or paths.problem(n)), None):
        raise ValueError(f"its weight_map names {odd!r}, which is no file name")
    return tuple(sorted(set(named.values())))


def of(
    directory: str, names: Collection[str], texts: Mapping[str, bytes]
) -> tuple[tuple[str, ...], str | None]:
    """Return the weights that are read in a directory, and the first of them that is missing.

    Args:
        directory: The prefix of its names: `""` or `"2_Dense/"`.
        names: The names of all files of the model.
        texts: The bytes of its small files, by name.
    """
    for kind in _KINDS:
        whole, index = directory + kind, directory + kind + INDEX
        if whole in names:
            return (whole,), None
        if index in names:
            wanted = tuple(directory + shard for shard in _shards(texts.get(index, b"")))
            missing = next((shard for shard in wanted if shard not in names), None)
            return (index, *(shard for shard in wanted if shard in names)), missing
    shard = any(n.startswith(directory + _SHARD) and n.endswith(".safetensors") for n in names)
    return (), directory + SAFETENSORS + (INDEX if shard else "")


def without_pickles(names: Collection[str]) -> list[str]:
    """Return `names` without the pickles of each directory that has safe weights as well."""
    safe = {_directory(n) for n in names if n.endswith((".safetensors", ".onnx"))}
    return [n for n in names if not (is_pickle(n) and _directory(n) in safe)]


def _shards(data: bytes) -> tuple[str, ...]:
    """Return the files that an index names; none if it is damaged, which its own check says."""
    try:
        return shards(data)
    except (ValueError, RecursionError):
        return ()


def _directory(name: str) -> str:
    return name.rpartition("/")[0]
