"""The JSON files of a sentence-transformers model, as far as they change vectors.

Fields that are not listed may mean anything: where they are forbidden, a file that has some is not
understood.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from agent.models.runtimes.unrun_model import NotRunError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T = TypeVar("T")


def read(directory: Path, name: str, kind: type[T]) -> T:
    """Return what a file says.

    Raises:
        NotRunError: It is missing, or says what is not understood.
        Exception: It is not JSON.
    """
    path = directory / name
    if not path.is_file():
        raise NotRunError(f"{name} is missing")
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except msgspec.ValidationError as error:
        raise NotRunError(f"{name} is not understood: {error}") from None


def read_if_there(directory: Path, name: str, kind: type[T]) -> T:
    """Return what a file says, or what its absence means; raises as `read`."""
    return read(directory, name, kind) if (directory / name).is_file() else kind()


class Kind(msgspec.Struct, frozen=True):
    """The kind of a model."""

    model_type: str | None = None


class Bert(msgspec.Struct, frozen=True):
    """The parts of `config.json` that change vectors; the defaults are BertConfig's."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    position_embedding_type: str | None = "absolute"
    is_decoder: bool = False
    add_cross_attention: bool = False
    pruned_heads: dict[str, Any] = msgspec.field(default_factory=dict)
    quantization_config: dict[str, Any] | None = None
    auto_map: dict[str, Any] | None = None
    tokenizer_class: str | None = None


class Module(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of `modules.json`."""

    type: str
    path: str
    idx: int = 0
    name: str = ""


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The encoding of a text."""

    method: Literal["forward"]
    method_output_name: Literal["last_hidden_state"]


class Modalities(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The encoding of each kind of input."""

    text: Text


class Encoder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`sentence_bert_config.json`."""

    max_seq_length: int | None = None
    do_lower_case: bool = False
    transformer_task: Literal["feature-extraction"] = "feature-extraction"
    modality_config: Modalities | None = None
    module_output_name: Literal["token_embeddings"] = "token_embeddings"


class Pooling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `config.json` of a Pooling module, as older and newer versions write it."""

    word_embedding_dimension: int | None = None
    embedding_dimension: int | None = None
    pooling_mode: str | list[str] | None = None
    pooling_mode_cls_token: bool = False
    pooling_mode_max_tokens: bool = False
    pooling_mode_mean_tokens: bool = False
    pooling_mode_mean_sqrt_len_tokens: bool = False
    pooling_mode_weightedmean_tokens: bool = False
    pooling_mode_lasttoken: bool = False
    include_prompt: bool = True

    def modes(self) -> Iterator[str]:
        """Yield the modes, in the order in which sentence-transformers joins their vectors."""
        if self.pooling_mode is not None:
            yield from (
                [self.pooling_mode] if isinstance(self.pooling_mode, str) else self.pooling_mode
            )
            return
        older = {
            "cls": self.pooling_mode_cls_token,
            "max": self.pooling_mode_max_tokens,
            "mean": self.pooling_mode_mean_tokens,
            "mean_sqrt_len_tokens": self.pooling_mode_mean_sqrt_len_tokens,
            "weightedmean": self.pooling_mode_weightedmean_tokens,
            "lasttoken": self.pooling_mode_lasttoken,
        }
        yield from (mode for mode, is_on in older.items() if is_on)


class Dense(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `config.json` of a Dense module."""

    in_features: int
    out_features: int
    bias: bool = True
    activation_function: str = "torch.nn.modules.activation.Tanh"
    module_input_name: Literal["sentence_embedding"] = "sentence_embedding"
    module_output_name: Literal["sentence_embedding"] | None = None
    use_residual: Literal[False] = False


class Normalize(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `config.json` of a Normalize module, which older versions do not write."""

    module_input_name: Literal["sentence_embedding"] = "sentence_embedding"
    module_output_name: Literal["sentence_embedding"] | None = None


class Sentences(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`config_sentence_transformers.json`."""

    prompts: dict[str, str | None] = msgspec.field(default_factory=dict)
    default_prompt_name: str | None = None
    model_type: Literal["SentenceTransformer"] = "SentenceTransformer"
    similarity_fn_name: str | None = None
    version: dict[str, str] = msgspec.field(default_factory=dict, name="__version__")


class Tokenizer(msgspec.Struct, frozen=True):
    """The parts of `tokenizer_config.json` that change tokens; the defaults are BertTokenizer's."""

    tokenizer_class: str | None = None
    do_lower_case: bool = True
    tokenize_chinese_chars: bool = True
    strip_accents: bool | None = None
    model_max_length: float = 10**30
    truncation_side: str = "right"
    padding_side: str = "right"
    processor_class: str | None = None
    added_tokens_decoder: dict[str, dict[str, Any]] | None = None
