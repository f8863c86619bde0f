"""sentence-transformers reads the modules that `modules.json` names, each in its own directory."""

from __future__ import annotations

import json
import posixpath
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.release import paths
from agent.release.loaders import weights
from agent.release.loaders.selection import Selection
from agent.release.loaders.strays import is_stray

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

MODULES: Final = "modules.json"

# What transformers and its tokenizers read in the directory of an encoder, but for weights.
_ENCODER: Final = (
    *("config.json", "generation_config.json", "adapter_config.json", "adapter_model.safetensors"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.*", "vocab-*", "*.vocab", "merges.txt", "*.model", "*.codes", "*.tiktoken"),
    *("entity_vocab.json", "emoji.json", "normalizer.json", "source.spm", "target.spm"),
    *("chat_template.*", "*preprocessor_config.json", "processor_config.json", "*.py"),
    "sentence_*_config.json",
)
_TOP: Final = (MODULES, "config_sentence_transformers.json")
TOKENIZERS: Final = (
    *("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model"),
    *("sentencepiece.bpe.model", "spiece.model"),
)

_ENCODERS: Final = "Transformer"
_WITH_CONFIG: Final = ("Pooling", "Dropout")
_WITH_WEIGHTS: Final = ("Dense", "LayerNorm", "WeightedLayerPooling", "CLIPModel")
# Its vectors of words need no config.
_STATIC: Final = "StaticEmbedding"
_WITHOUT_FILES: Final = "Normalize"
# Other runtimes' forms of the same model.
_OTHERS: Final = ("onnx/", "openvino/")


class Module(NamedTuple):
    """One step of a model: the last word of its type, and the prefix of its files' names."""

    kind: str
    directory: str


def modules(data: bytes) -> tuple[Module, ...]:
    """Return the modules that a `modules.json` names.

    Raises:
        ValueError: It is no list of modules.
    """
    listed = json.loads(data.decode())
    if not isinstance(listed, list) or not listed:
        raise ValueError("it is JSON, but no list of modules")
    return tuple(map(_module, listed))


def asks(names: Collection[str]) -> list[str]:
    """Return the files whose content says which others are read."""
    return [n for n in names if n == MODULES or n.endswith(weights.INDEX)]


def select(names: Collection[str], texts: Mapping[str, bytes]) -> Selection:
    """Return what sentence-transformers reads of a model's files.

    Args:
        names: The files that are there.
        texts: The bytes of those of `asks`, by name.
    """
    files = {name for name in _TOP if name in names}
    missing = [] if MODULES in names else [MODULES]
    for module in _modules(texts.get(MODULES, b"")):
        read, lacking = _select(module, names, texts)
        files |= {*read}
        missing += [lacking] if lacking else []
    return Selection(tuple(sorted(files)), next(iter(missing), None))


def _modules(data: bytes) -> tuple[Module, ...]:
    """Return the modules; where the list is missing or damaged, an encoder, which is in all."""
    try:
        return modules(data)
    except (ValueError, RecursionError):
        return (Module(_ENCODERS, ""),)


def _module(entry: object) -> Module:
    kind = entry.get("type") if isinstance(entry, dict) else None
    path = entry.get("path", "") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or not isinstance(path, str):
        raise ValueError("it is JSON, but no list of modules with a type and a path")  # noqa: TRY004 - damaged data
    inside = posixpath.normpath(path) if path else "."
    if inside != "." and paths.problem(inside):
        raise ValueError(f"its module {path[:200]!r} lies in no directory of the model")
    return Module(kind.rpartition(".")[2], "" if inside == "." else f"{inside}/")


def _select(
    module: Module, names: Collection[str], texts: Mapping[str, bytes]
) -> tuple[list[str], str | None]:
    """Return the files of one module that are read, and the first that is missing."""
    directory = module.directory
    if module.kind == _ENCODERS:
        return _encoder(directory, names, texts)
    inside = [n for n in names if n.startswith(directory) and not is_stray(n)]
    kept = weights.without_pickles([n for n in inside if not n.startswith(_OTHERS)])
    return kept, next(_lacking(module, kept, texts), None)


def _lacking(module: Module, names: Collection[str], texts: Mapping[str, bytes]) -> Iterator[str]:
    config = module.directory + "config.json"
    if module.kind in {*_WITH_CONFIG, *_WITH_WEIGHTS} and config not in names:
        yield config
    if module.kind == _STATIC and module.directory + TOKENIZERS[0] not in names:
        yield module.directory + TOKENIZERS[0]
    if module.kind in {*_WITH_WEIGHTS, _STATIC}:
        yield from filter(None, weights.of(module.directory, names, texts)[1:])
    if module.kind != _WITHOUT_FILES and not names:
        yield config


def _encoder(
    directory: str, names: Collection[str], texts: Mapping[str, bytes]
) -> tuple[list[str], str | None]:
    read, missing = weights.of(directory, names, texts)
    inside = (n for n in names if n.rpartition("/")[0] == directory.rstrip("/"))
    configs = [n for n in inside if _is_read(n.rpartition("/")[2]) and not is_stray(n)]
    lacking = [] if directory + "config.json" in configs else [directory + "config.json"]
    lacking += [missing] if missing else []
    if not any(directory + name in configs for name in TOKENIZERS):
        lacking.append(directory + TOKENIZERS[0])
    return [*read, *configs], next(iter(lacking), None)


def _is_read(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in _ENCODER)
