"""FastEmbed reads what its own list names for a model, and a handful of configs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.release.loaders.selection import Selection
from agent.release.loaders.strays import is_stray

if TYPE_CHECKING:
    from collections.abc import Collection

    from agent.release.wanted import Wanted

_PREPROCESSOR: Final = "preprocessor_config.json"
_TOKENIZER: Final = ("tokenizer.json", "tokenizer_config.json")
# The names that FastEmbed 0.9 asks the Hub for, beside those of its list.
_CONFIGS: Final = (
    *("config.json", "special_tokens_map.json", _PREPROCESSOR),
    *_TOKENIZER,
)
_NO_WEIGHTS: Final = (".onnx", ".json", ".txt", ".safetensors")


def select(want: Wanted, names: Collection[str]) -> Selection:
    """Return what FastEmbed reads of a model's files."""
    assert want.model_file  # noqa: S101 - FastEmbed's list has one for each model
    listed = (want.model_file, *want.additional)
    files = sorted({*listed, *_CONFIGS}.intersection(names))
    missing = next((name for name in needs(want) if name not in names), None)
    return Selection(tuple(files), missing, _beside(want.model_file, {*files}, names))


def needs(want: Wanted) -> tuple[str, ...]:
    """Return the files that FastEmbed cannot do without; lists of words (BM25) have no tokens."""
    listed = (want.model_file or "", *want.additional)
    images = want.kind in {"image", "multimodal"}
    words = want.kind != "image" and listed[0].endswith((".onnx", ".safetensors"))
    return (*listed, *([_PREPROCESSOR] if images else ()), *(_TOKENIZER if words else ()))


def _beside(model_file: str, read: set[str], names: Collection[str]) -> tuple[str, ...]:
    """Return the files of an ONNX graph's directory that may hold its weights."""
    if not model_file.endswith(".onnx"):
        return ()
    folder = model_file.rpartition("/")[0]
    there = (n for n in names if n.rpartition("/")[0] == folder and n not in read)
    return tuple(sorted(n for n in there if not n.endswith(_NO_WEIGHTS) and not is_stray(n)))
