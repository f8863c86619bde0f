"""FastEmbed's own lists of models, of every kind. Child processes import this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastembed import (
    ImageEmbedding,
    LateInteractionMultimodalEmbedding,
    LateInteractionTextEmbedding,
    SparseTextEmbedding,
    TextEmbedding,
)
from fastembed.rerank.cross_encoder import TextCrossEncoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agent.release.wanted import Kind

# A name that stands in several, such as a CLIP model's, means the first.
_LISTS: Final[Mapping[Kind, Any]] = {
    "text": TextEmbedding,
    "sparse": SparseTextEmbedding,
    "late-interaction": LateInteractionTextEmbedding,
    "rerank": TextCrossEncoder,
    "image": ImageEmbedding,
    "multimodal": LateInteractionMultimodalEmbedding,
}
# Of a score: what a reranker gives for a pair of texts.
_SCORE: Final = 1


def known() -> dict[str, tuple[str, str, list[str], Kind]]:
    """Return repository, weights file, further files and kind by model name."""
    found: dict[str, tuple[str, str, list[str], Kind]] = {}
    for kind, m in _listed():
        if repo := m["sources"]["hf"]:
            found.setdefault(m["model"], (repo, m["model_file"], m["additional_files"], kind))
    return found


def not_run(name: str) -> tuple[str, int] | None:
    """Return what a model is and its dimension, if the agent does not run it; else None."""
    kind, m = next(((kind, m) for kind, m in _listed() if m["model"] == name), (None, None))
    if m is None or (kind == "text" and m["model_file"].endswith(".onnx")):
        return None
    dim = m.get("dim") or m.get("vocab_size") or _SCORE
    return ("static" if kind == "text" else str(kind)), int(dim)


def _listed() -> Iterator[tuple[Kind, dict[str, Any]]]:
    for kind, models in _LISTS.items():
        yield from ((kind, m) for m in models.list_supported_models())
