"""Embedding spaces: do two sets of vectors mean the same thing? Pure arithmetic.

Vectors from two spaces are not comparable, so serving one while a search index holds the other
breaks search without any error. Canaries (fixed texts with their vectors) show it beforehand.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.manifest import Canary, Manifest, Model

# Short, long (it is cut at the model's own length), non-English, emoji, code, and nearly nothing.
# Part of schema 1: another set needs another schema, else releases could not be compared.
CANARY_TEXTS: Final = (
    "A man is eating food.",
    " ".join(f"The quick brown fox number {n} jumps over the lazy dog." for n in range(60)),
    "Die Universität betreibt ihre Suche auf eigenen Servern. 東京大学の図書館。",
    "Great results today! 🎉🚀 See you at the conference 👋",
    "def cosine(a, b):\n    return sum(x * y for x, y in zip(a, b)) / (norm(a) * norm(b))",
    ".",
)


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """The cosine of the angle between `a` and `b`; 0.0 where it has no meaning.

    That is where the lengths differ, a vector is zero, or a number is not finite, so that a broken
    vector never passes for a good one.
    """
    if len(a) != len(b):
        return 0.0
    norms = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    value = sum(x * y for x, y in zip(a, b, strict=True)) / norms if norms else 0.0
    return value if math.isfinite(value) else 0.0


def lowest_cosine(reference: Canary, vectors: Sequence[Sequence[float]]) -> float:
    """How far `vectors` (one per canary text) are from the reference, at the worst text.

    1.0 is the same direction. A missing vector counts as 0.0.
    """
    if len(vectors) != len(reference.vectors):
        return 0.0
    return min(cosine(a, b) for a, b in zip(reference.vectors, vectors, strict=True))


def another_space(old: Manifest, new: Manifest, *, min_cosine: float) -> str | None:
    """Why stored vectors of `old` would not match those of `new`, or None if they do.

    Every model name that both have is compared: the dimension, and the canaries where both have one
    with the same texts.
    """
    pairs = ((a, b) for a in old.models for b in new.models if a.name == b.name)
    reasons = (_model_reason(a, b, min_cosine) for a, b in pairs)
    return next((reason for reason in reasons if reason), None)


def refusal(old: Manifest, new: Manifest, *, min_cosine: float) -> str | None:
    """Why a bump from `old` to `new` is refused, as one sentence, or None if it is not."""
    reason = another_space(old, new, min_cosine=min_cosine)
    if reason is None:
        return None
    return f"{new.version} embeds into another space than {old.version}: {reason}."


def _model_reason(old: Model, new: Model, min_cosine: float) -> str | None:
    if old.dim != new.dim:
        return f"{new.name} gives {new.dim} numbers instead of {old.dim}"
    if not old.canary or not new.canary or old.canary.texts != new.canary.texts:
        return None
    lowest = lowest_cosine(old.canary, new.canary.vectors)
    if lowest >= min_cosine:
        return None
    return f"{new.name} agrees with the old vectors only to a cosine of {lowest:.3f}"
