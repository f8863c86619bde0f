"""One model to look for, and the files that its loader needs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from agent.release.manifest import FASTEMBED_METADATA, is_pickle
from agent.release.model_ref import ModelRef  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from collections.abc import Sequence

_IGNORED_SUFFIXES: Final = (".lock", ".incomplete", ".md", ".h5", ".ot", ".msgpack", ".gguf")
_TOKENIZERS: Final = ("tokenizer.json", "vocab.txt", "sentencepiece.bpe.model", "spiece.model")
_ALL: Final = ("*",)
_OTHERS: Final = ".safetensors"


@dataclass(frozen=True)
class Wanted:
    """One model to look for.

    Attributes:
        ref: Which one.
        model_file: FastEmbed's weights, None for other loaders.
        additional: Further files of FastEmbed's list, such as weights beside the graph.
        allow: Patterns of the files that the loader `huggingface` is given.
        optimize: Whether ONNX weights are published as external data.
    """

    ref: ModelRef
    model_file: str | None = None
    additional: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    optimize: bool = False


def pick(want: Wanted, names: Sequence[str]) -> list[str]:
    """Return the files that the loader may read, out of `names`; no pickle beside safe weights."""
    kept = [n for n in names if not _ignored(n)]
    if want.model_file:
        beside = {"", want.model_file.rpartition("/")[0]}
        # Weights of other loaders may be gigabytes, and FastEmbed reads none of them.
        kept = [n for n in kept if n.rpartition("/")[0] in beside and not n.endswith(_OTHERS)]
    elif want.ref.loader == "huggingface":
        kept = [n for n in kept if any(fnmatchcase(n, each) for each in want.allow or _ALL)]
    else:
        kept = [n for n in kept if n.split("/")[0] not in {"onnx", "openvino"}]
    has_safe = any(name.endswith((".safetensors", ".onnx")) for name in kept)
    return sorted(n for n in kept if not (has_safe and is_pickle(n)))


def missing(want: Wanted, names: Sequence[str]) -> str | None:
    """Return the first file that the loader cannot do without and that is not in `names`."""
    if want.model_file:
        needed = (want.model_file, *want.additional, "tokenizer.json", "tokenizer_config.json")
        return next((name for name in needed if name not in names), None)
    if "config.json" not in names:
        return "config.json"
    if not any(name.endswith(".safetensors") or is_pickle(name) for name in names):
        return "model.safetensors"
    return None if any(name in names for name in _TOKENIZERS) else "tokenizer.json"


def _ignored(name: str) -> bool:
    hidden = any(part.startswith(".") for part in name.split("/"))
    return hidden or name.endswith(_IGNORED_SUFFIXES) or name == FASTEMBED_METADATA
