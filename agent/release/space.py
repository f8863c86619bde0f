"""Embedding spaces: compares the vectors of two releases. Pure arithmetic.

Vectors of two spaces cannot be compared: if a search index holds the one and the other is served,
search breaks without any error. Canaries (fixed texts with their vectors) show it beforehand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.errors import NewSpaceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.release.manifest import Canary, Manifest, Model

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
_SHOWN: Final = 40


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the cosine of the angle between `a` and `b`; 0.0 where it has no meaning.

    It has none if the lengths differ, a vector is zero, or a number is not finite. So a broken
    vector never passes for a good one.
    """
    if len(a) != len(b):
        return 0.0
    norms = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    value = sum(x * y for x, y in zip(a, b, strict=True)) / norms if norms else 0.0
    return value if math.isfinite(value) else 0.0


def cosines(reference: Canary, vectors: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Return the cosine of each of `vectors` with that of the reference, text by text.

    1.0 is the same direction. If the number of vectors differs, each counts as 0.0.
    """
    if len(vectors) != len(reference.vectors):
        return (0.0,) * len(reference.vectors)
    return tuple(cosine(a, b) for a, b in zip(reference.vectors, vectors, strict=True))


class Compared(NamedTuple):
    """One model of two releases, of the same name.

    Attributes:
        name: The model's name.
        loader: The loader of the new one.
        problem: Why the vectors cannot be compared, as the rest of a sentence; None if they can.
        cosines: The cosines of the canaries' vectors, by text.
        is_known: False if nothing tells whether the spaces differ: no canary of the same texts.
    """

    name: str
    loader: str
    problem: str | None
    cosines: dict[str, float]
    is_known: bool = True


def compare(old: Manifest, new: Manifest) -> tuple[Compared, ...]:
    """Compare the vectors of two releases, for every model name that both have.

    A model is compared with the old one of the same loader; if its loader is new, with any of its
    name. Two loaders may cut long texts at different lengths: a release that has a model for both
    does not agree even with itself across them.
    """
    return tuple(_compare(a, b) for b in new.models for a in _counterparts(b, old))


def another_space(old: Manifest, new: Manifest, *, min_cosine: float) -> str | None:
    """Return why vectors of `old` do not match those of `new`, or None if they do.

    Every model name that both have is compared: the dimension, and the canaries if both have one
    with the same texts.
    """
    reasons = (_reason(compared, min_cosine) for compared in compare(old, new))
    return next((reason for reason in reasons if reason), None)


def refusal(old: Manifest, new: Manifest, *, min_cosine: float) -> str | None:
    """Return why a bump from `old` to `new` is refused, as one sentence, or None."""
    reason = another_space(old, new, min_cosine=min_cosine)
    if reason is None:
        return None
    return f"{new.version} embeds into another space than {old.version}: {reason}."


@dataclass(frozen=True)
class Guard:
    """Refuses a release of another embedding space than that of the stored vectors.

    Attributes:
        min_cosine: The lowest cosine at which two releases share a space (`--space-cosine`).
        lifted: Whether the operator accepts another space (`--allow-new-space`).
    """

    min_cosine: float
    lifted: bool = False

    def check(self, old: Manifest | None, new: Manifest, *, allowed: bool = False) -> None:
        """Refuse `new` if stored vectors, which are of `old`, do not match its vectors.

        Args:
            old: The release that stored vectors are of; None if there is none.
            new: The release that is to follow.
            allowed: Whether the marker allows another space.

        Raises:
            NewSpaceError: They do not match.
        """
        if old is None or allowed or self.lifted:
            return
        if reason := refusal(old, new, min_cosine=self.min_cosine):
            raise NewSpaceError(reason)


def describe(compared: Compared) -> list[str]:
    """Return the lines that people see: the model, then each text."""
    model = f"{compared.name} ({compared.loader})"
    if compared.problem:
        return [f"{model} {compared.problem}"]
    lowest = min(compared.cosines.values())
    rows = (f"  {value:.4f}  {shown(text)}" for text, value in compared.cosines.items())
    return [f"{model} agrees to a cosine of {lowest:.4f}", *rows]


def shown(text: str) -> str:
    """Return a text for a sentence: quoted, and cut short."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _counterparts(new: Model, old: Manifest) -> list[Model]:
    named = [model for model in old.models if model.name == new.name]
    return [model for model in named if model.loader == new.loader] or named


def _compare(old: Model, new: Model) -> Compared:
    if old.dim != new.dim:
        return Compared(new.name, new.loader, f"gives {new.dim} numbers instead of {old.dim}", {})
    if not old.canary or not new.canary or old.canary.texts != new.canary.texts:
        problem = "has no canary of the same texts in both"
        return Compared(new.name, new.loader, problem, {}, is_known=False)
    found = cosines(old.canary, new.canary.vectors)
    return Compared(new.name, new.loader, None, dict(zip(new.canary.texts, found, strict=True)))


def _reason(compared: Compared, min_cosine: float) -> str | None:
    if not compared.is_known:
        return None
    if compared.problem:
        return f"{compared.name} {compared.problem}"
    text, lowest = min(compared.cosines.items(), key=lambda pair: pair[1])
    if lowest >= min_cosine:
        return None
    agrees = f"{compared.name} agrees with the old vectors only to a cosine of {lowest:.3f}"
    return f"{agrees}, for {shown(text)}"
