"""Canaries: the vectors that a model must give, wherever it runs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from agent.release import space

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.release.catalog import Expected
    from agent.release.manifest import Canary, Manifest, Model

Kind = Literal["cpu", "cuda"]
Precision = Literal["fp32", "fp16", "int8"]

# The lowest cosine with the vectors of the machine that published, by the precision of the weights:
# rounded weights round differently in other kernels.
MIN_COSINES: Final[Mapping[Precision, float]] = {"fp32": 0.999, "fp16": 0.99, "int8": 0.99}
# A GPU adds in another order, and multiplies with shorter numbers (TF32).
CUDA_MIN_COSINE: Final = 0.99
# The tolerance of FastEmbed's own tests, which publish the numbers.
_EXPECTED_APART: Final = 1e-3


def needed(canary: Canary | None, kind: Kind) -> float:
    """Return the cosine that every text must reach on a device of this kind."""
    minimum = canary.min_cosine if canary else 0.0
    return min(minimum, CUDA_MIN_COSINE) if kind == "cuda" else minimum


def problem(
    model: Model, *, dim: int, finite: bool, cosines: Sequence[float], kind: Kind
) -> str | None:
    """Return how a model differs from its manifest, as the rest of a sentence, or None.

    Args:
        model: The model, as in the manifest.
        dim: The count of numbers in its vectors.
        finite: Whether all vectors are finite and not zero.
        cosines: Of its vectors with the canary's, text by text; empty if it was not run.
        kind: The kind of device that it ran on.
    """
    if dim != model.dim and not _is_guessed(model):
        return f"gives {dim} numbers and its manifest says {model.dim}"
    if not finite:
        return "gives vectors that are zero or not finite"
    minimum = needed(model.canary, kind)
    if model.canary is None or min(cosines, default=1.0) >= minimum:
        return None
    lowest, text = min(zip(cosines, model.canary.texts, strict=True))
    return (
        f"fails its canary: cosine {lowest:.4f} for {space.shown(text)}, at least "
        f"{minimum:g} is needed"
    )


def _is_guessed(model: Model) -> bool:
    """Return whether a manifest has only what a model's files seemed to say of its dimension.

    So it is if it was not run when it was published; FastEmbed's always are.
    """
    return model.canary is None and model.loader != "fastembed"


def agree(one: Canary | None, other: Canary | None) -> bool:
    """Return whether two canaries of the same files differ by no more than two CPUs do."""
    if one is None or other is None:
        return one is other
    if (one.texts, one.min_cosine) != (other.texts, other.min_cosine):
        return False
    return min(space.cosines(one, other.vectors)) >= one.min_cosine


def missing(release: Manifest) -> list[str]:
    """Return a line for people about each model of a release that has no canary."""
    return [
        f"{model.name} ({model.loader}) was not run, so it has no canary: pods check its files, "
        "but neither its vectors nor its embedding space."
        for model in release.models
        if model.canary is None
    ]


def unexpected(expected: Expected, vector: Sequence[float]) -> str | None:
    """Return how a vector differs from the published one, as the rest of a sentence, or None."""
    first = vector[: len(expected.first)]
    pairs = zip(first, expected.first, strict=False)
    if len(first) == len(expected.first) and all(abs(a - b) <= _EXPECTED_APART for a, b in pairs):
        return None
    numbers = ", ".join(f"{x:.5f}" for x in first)
    published = ", ".join(f"{x:.5f}" for x in expected.first)
    return f"gives {numbers} for {space.shown(expected.text)}, where {published} is published"
