"""Loads the tokenizer of a sentence-transformers model, if it is BERT's own.

`transformers` makes such a tokenizer anew from the vocabulary and `tokenizer_config.json`, some
versions of it from `tokenizer.json`. It is loaded here only if both come to the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import tokenizers
from tokenizers import normalizers

from agent.models.runtimes.unrun_model import NotRunError

if TYPE_CHECKING:
    from pathlib import Path

    from agent.models.runtimes.bert import files
    from agent.models.runtimes.bert.recipe import Recipe

FILE: Final = "tokenizer.json"
_CONFIG: Final = "tokenizer_config.json"
_MADE_ANEW: Final = ("BertTokenizer", "BertTokenizerFast")
_AS_IT_IS: Final = ("PreTrainedTokenizerFast", "TokenizersBackend")
_AROUND: Final = ("[CLS]", "A", "[SEP]")


def load(directory: Path, recipe: Recipe) -> tokenizers.Tokenizer:
    """Return the tokenizer, which cuts texts at the longest and pads a batch at their ends.

    Raises:
        NotRunError: It is not understood.
        Exception: The library's own error for a file that does not load.
    """
    path = directory / FILE
    if not path.is_file():
        raise NotRunError(f"{FILE} is missing")
    described: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    if reason := _strange(described, recipe.tokenizer):
        raise NotRunError(reason)
    made = tokenizers.Tokenizer.from_file(str(path))
    if recipe.lower_case:
        made.normalizer = normalizers.Sequence([normalizers.Lowercase(), made.normalizer])
    made.enable_truncation(recipe.max_length)
    # Which token fills up does not matter: nothing looks at it.
    made.enable_padding(pad_id=0)
    return made


def _strange(described: dict[str, Any], settings: files.Tokenizer) -> str | None:
    """Return what is not understood of a tokenizer; None if all is."""
    kind = settings.tokenizer_class or _MADE_ANEW[0]
    if kind not in (*_MADE_ANEW, *_AS_IT_IS) or settings.processor_class:
        return f"its tokenizer is a {settings.processor_class or kind}, not BERT's"
    if {settings.truncation_side, settings.padding_side} != {"right"}:
        return "its tokenizer does not cut and pad texts at their end"
    expected = {
        "clean_text": True,
        "handle_chinese_chars": settings.tokenize_chinese_chars,
        "strip_accents": settings.strip_accents,
        "lowercase": settings.do_lower_case,
    }
    normalizer = dict(described.get("normalizer") or {})
    if normalizer.pop("type", None) != "BertNormalizer" or not _is_words(described):
        return f"{FILE} is not of BERT's kind"
    if kind in _MADE_ANEW and normalizer != expected:
        return f"{FILE} and {_CONFIG} treat letters differently"
    added = {each["id"]: each["content"] for each in described.get("added_tokens") or []}
    listed = settings.added_tokens_decoder
    if listed is not None and {int(n): each["content"] for n, each in listed.items()} != added:
        return f"{FILE} and {_CONFIG} add different tokens"
    return None


def _is_words(described: dict[str, Any]) -> bool:
    """Return whether texts become the pieces of words that BERT knows, in [CLS] and [SEP]."""
    model = described["model"]
    pieces = (
        model.get("type", "WordPiece"),
        model.get("unk_token"),
        model.get("continuing_subword_prefix"),
        model.get("max_input_chars_per_word"),
    )
    before = (described.get("pre_tokenizer") or {}).get("type")
    usual = pieces == ("WordPiece", "[UNK]", "##", 100) and before == "BertPreTokenizer"
    return usual and _is_wrapped(described.get("post_processor") or {}, model["vocab"])


def _is_wrapped(after: dict[str, Any], vocab: dict[str, int]) -> bool:
    first, _, last = _AROUND
    ends = {first: vocab.get(first), last: vocab.get(last)}
    if after.get("type") == "BertProcessing":
        return {after["cls"][0]: after["cls"][1], after["sep"][0]: after["sep"][1]} == ends
    if after.get("type") != "TemplateProcessing":
        return False
    parts = [part for each in after["single"] for part in each.values()]
    ids = {name: each["ids"] for name, each in after["special_tokens"].items()}
    named = all(ids.get(name) == [number] for name, number in ends.items())
    return named and tuple(part["id"] for part in parts) == _AROUND
