"""The loader `huggingface` is a worker's own code: it gets what `allow` names, else all of use."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from agent.release.loaders import weights
from agent.release.loaders.selection import Selection
from agent.release.loaders.sentence_transformers import TOKENIZERS
from agent.release.loaders.strays import is_stray
from agent.release.manifest import FASTEMBED_METADATA, is_pickle

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from agent.release.wanted import Wanted

_CONFIG: Final = "config.json"
# A model of images has this instead of a tokenizer.
_PREPROCESSOR: Final = "preprocessor_config.json"


def asks(names: Collection[str]) -> list[str]:
    """Return the files whose content says which others are read."""
    return [n for n in names if n.endswith(weights.INDEX)]


def select(want: Wanted, names: Collection[str], texts: Mapping[str, bytes]) -> Selection:
    """Return the files of a model that a worker of one's own may read.

    Args:
        want: The model, with the patterns that the catalog allows.
        names: The files that are there.
        texts: The bytes of those of `asks`, by name.
    """
    if want.allow:
        return _allowed(want.allow, names)
    kept = weights.without_pickles([n for n in names if not is_stray(n)])
    return Selection(tuple(sorted(kept)), _missing(kept, texts))


def _allowed(patterns: Collection[str], names: Collection[str]) -> Selection:
    """Return exactly what the catalog names; each pattern must stand for a file."""
    shown = [n for n in names if not _is_hidden(n) or n in patterns]
    named = {p: [n for n in shown if fnmatchcase(n, p)] for p in patterns}
    files = {n for found in named.values() for n in found}
    safe = {*weights.without_pickles(files), *files.intersection(patterns)}
    missing = next((pattern for pattern, found in named.items() if not found), None)
    return Selection(tuple(sorted(safe)), missing)


def _is_hidden(name: str) -> bool:
    hidden = any(part.startswith(".") for part in name.split("/"))
    return hidden or name.endswith((".lock", ".incomplete")) or name == FASTEMBED_METADATA


def _missing(names: Collection[str], texts: Mapping[str, bytes]) -> str | None:
    if _CONFIG not in names:
        return _CONFIG
    if not any(n.endswith((".safetensors", ".onnx")) or is_pickle(n) for n in names):
        return weights.SAFETENSORS
    missing = weights.of("", names, texts)[1]
    if missing not in {None, weights.SAFETENSORS}:  # a shard, or the list of shards
        return missing
    has_words = any(name in names for name in (*TOKENIZERS, _PREPROCESSOR))
    return None if has_words else TOKENIZERS[0]
