"""Reads from a model's files how its vectors are computed, or why that is not understood."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from agent.models.runtimes.bert import files, weights
from agent.models.runtimes.unrun_model import NotRunError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from agent.models.formats.onnx_graph import Tensor

PoolingMode: TypeAlias = Literal["mean", "cls", "max"]

_TYPE: Final = re.compile(
    r"sentence_transformers\.(?:models|base\.modules|sentence_transformer\.modules)"
    r"(?:\.[a-z_]+)?\.(Transformer|Pooling|Dense|Normalize)"
)
_FOLDER: Final = re.compile(r"[A-Za-z0-9_-]+")
# The names of activations in ONNX.
_INSIDE: Final = {"gelu": "Gelu", "relu": "Relu"}
_BEHIND: Final = {
    "torch.nn.modules.activation.Tanh": "Tanh",
    "torch.nn.modules.activation.ReLU": "Relu",
    "torch.nn.modules.linear.Identity": "Identity",
}
_MODES: Final[Mapping[str, PoolingMode]] = {"mean": "mean", "cls": "cls", "max": "max"}
# They make another model of the files beside them.
_OTHERS: Final = ("adapter_config.json", "processor_config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class Dense:
    """A layer behind the pooling: the name before its weights', and its activation in ONNX."""

    name: str
    activation: str


@dataclass(frozen=True)
class Recipe:
    """All that the graph of a model follows from, and its tokens.

    Attributes:
        config: The encoder's sizes.
        activation: Between the two matrices of each layer, in ONNX.
        pooling: How the states of a text become one vector.
        after: The steps that follow; None stands for a normalization.
        weights: All weights, by name.
        dim: The count of numbers of a vector.
        max_length: The longest text, in tokens.
        lower_case: Whether texts are lowered, besides what the tokenizer does.
        prompt: What is put before each text.
        tokenizer: The tokenizer's settings.
    """

    config: files.Bert
    activation: str
    pooling: PoolingMode
    after: tuple[Dense | None, ...]
    weights: Mapping[str, Tensor]
    dim: int
    max_length: int
    lower_case: bool
    prompt: str
    tokenizer: files.Tokenizer


def read(directory: Path) -> Recipe:
    """Return the recipe of the model in a directory.

    Raises:
        NotRunError: A file says what is not understood.
        Exception: The files are damaged, or do not fit together.
    """
    for name in _OTHERS:
        if (directory / name).exists():
            raise NotRunError(f"{name} is not understood")
    config, encoder = _config(directory), _encoder(directory)
    pooling, later = _modules(directory)
    steps = _Steps(config.hidden_size, weights.encoder(directory, weights.shapes(config)))
    for kind, folder in later:
        steps.add(directory, kind, folder)
    tokenizer = files.read_if_there(directory, "tokenizer_config.json", files.Tokenizer)
    return Recipe(
        config=config,
        activation=_INSIDE[config.hidden_act],
        pooling=_mode(pooling),
        after=tuple(steps.after),
        weights=steps.weights,
        dim=steps.dim,
        max_length=_max_length(config, encoder, tokenizer),
        lower_case=encoder.do_lower_case,
        prompt=_prompt(directory, pooling),
        tokenizer=tokenizer,
    )


class _Steps:
    """The steps behind the pooling, as they are read, and the weights with theirs."""

    def __init__(self, dim: int, found: dict[str, Tensor]) -> None:
        self.dim = dim
        self.weights = found
        self.after: list[Dense | None] = []

    def add(self, directory: Path, kind: str, folder: str) -> None:
        """Read the step that follows; raises as `read`."""
        if kind == "Normalize":
            files.read_if_there(directory, f"{folder}/config.json", files.Normalize)
            self.after.append(None)
            return
        found = files.read(directory, f"{folder}/config.json", files.Dense)
        if found.activation_function not in _BEHIND:
            raise NotRunError(f"the activation of {folder} is {found.activation_function}")
        shapes: dict[str, tuple[int, ...]] = {"linear.weight": (found.out_features, self.dim)}
        if found.bias:
            shapes["linear.bias"] = (found.out_features,)
        self.weights |= weights.dense(directory, folder, shapes)
        self.after.append(Dense(f"{folder}.linear", _BEHIND[found.activation_function]))
        self.dim = found.out_features


def _config(directory: Path) -> files.Bert:
    kind = files.read(directory, "config.json", files.Kind).model_type
    if kind != "bert":
        raise NotRunError(f"its model_type is {kind}, not bert")
    config = files.read(directory, "config.json", files.Bert)
    if reason := _strange(config):
        raise NotRunError(reason)
    return config


def _strange(config: files.Bert) -> str | None:
    """Return what is not understood of an encoder; None if all is."""
    if config.hidden_act not in _INSIDE:
        return f"its hidden_act is {config.hidden_act}, not {' or '.join(_INSIDE)}"
    if config.position_embedding_type not in {"absolute", None}:
        return f"its position_embedding_type is {config.position_embedding_type}, not absolute"
    if config.num_attention_heads < 1 or config.hidden_size % config.num_attention_heads:
        return f"its {config.num_attention_heads} heads do not share {config.hidden_size} numbers"
    strange = {
        "is_decoder": config.is_decoder,
        "add_cross_attention": config.add_cross_attention,
        "pruned_heads": config.pruned_heads,
        "quantization_config": config.quantization_config,
        "auto_map": config.auto_map,
    }
    return next((f"its config.json has {name}" for name, value in strange.items() if value), None)


def _modules(directory: Path) -> tuple[files.Pooling, list[tuple[str, str]]]:
    """Return the pooling, and the kinds and folders of the modules that follow it."""
    listed = files.read(directory, "modules.json", list[files.Module])
    found = [(_kind(module), module.path) for module in listed]
    if [kind for kind, _ in found[:2]] != ["Transformer", "Pooling"]:
        raise NotRunError("its modules.json does not begin with Transformer and Pooling")
    (_, home), (_, folder), *later = found
    if home:
        raise NotRunError(f"its encoder is in the folder {home}")
    for path in (folder, *(path for _, path in later)):
        if not _FOLDER.fullmatch(path):
            raise NotRunError(f"its modules.json has the folder {path!r}")
    if {"Transformer", "Pooling"} & {kind for kind, _ in later}:
        raise NotRunError("its modules.json has more than one Transformer or Pooling")
    return files.read(directory, f"{folder}/config.json", files.Pooling), later


def _kind(module: files.Module) -> str:
    known = _TYPE.fullmatch(module.type)
    if not known:
        raise NotRunError(f"its modules.json has {module.type}")
    return known[1]


def _mode(pooling: files.Pooling) -> PoolingMode:
    modes = list(pooling.modes())
    if len(modes) != 1 or modes[0] not in _MODES:
        raise NotRunError(f"its pooling is {' and '.join(modes) or 'none'}, not mean, cls or max")
    return _MODES[modes[0]]


def _encoder(directory: Path) -> files.Encoder:
    named = [path.name for path in directory.glob("sentence_*_config.json")]
    if others := sorted({*named} - {"sentence_bert_config.json"}):
        raise NotRunError(f"{others[0]} is not understood")
    return files.read_if_there(directory, "sentence_bert_config.json", files.Encoder)


def _max_length(config: files.Bert, encoder: files.Encoder, tokenizer: files.Tokenizer) -> int:
    """Return the longest text, in tokens, as sentence-transformers finds it."""
    most = config.max_position_embeddings
    length = encoder.max_seq_length or int(min(tokenizer.model_max_length, most))
    if length > most:
        raise NotRunError(f"its max_seq_length is {length}, and it has {most} positions")
    return length


def _prompt(directory: Path, pooling: files.Pooling) -> str:
    """Return what `encode` puts before each text."""
    name = "config_sentence_transformers.json"
    found = files.read_if_there(directory, name, files.Sentences)
    if found.default_prompt_name is None:
        return ""
    prompt = found.prompts.get(found.default_prompt_name)
    if prompt is None:
        raise NotRunError(f"{name} has no prompt {found.default_prompt_name}")
    if prompt and not pooling.include_prompt:
        raise NotRunError("its pooling leaves out the prompt")
    return prompt
